"""A real S3 server with a model repository in it."""

import asyncio
import json
import struct
from pathlib import Path

from dev.localcluster.s3 import S3Server
from mmm_operator.snapshot import Manifest
from mmm_repository import publish
from mmm_repository.storage import AddressingStyle, StorageOptions, secret

BUCKET = "models"


class Bucket:
    """Model versions under `s3://models/<name>`."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.server = server
        self.folder = folder

    @property
    def storage(self) -> Manifest:
        """`spec.storage` for it, with the Secret `s3`."""
        return {"endpoint": self.server.endpoint, "credentialsSecretRef": {"name": "s3"}}

    @property
    def credentials(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.server.access_key, "AWS_SECRET_ACCESS_KEY": self.server.secret_key}

    def publish(self, model: str, version: str) -> str:
        """The digest of a new version; the bytes of every version differ."""
        options = StorageOptions(
            endpoint=self.server.endpoint,
            addressing_style=AddressingStyle.PATH,
            access_key_id=secret(self.server.access_key),
            secret_access_key=secret(self.server.secret_key),
        )
        return self.publish_at(options, write_model(self.folder / f"{model}-{version}", version), model, version)

    @staticmethod
    def publish_at(options: StorageOptions, source: Path, model: str, version: str) -> str:
        """The same in any store that has the bucket."""
        return asyncio.run(publish(source, f"s3://{BUCKET}/{model}", version, options)).digest

    def put(self, key: str, content: bytes) -> None:
        """An object that no publisher of ours wrote."""
        target = self._file(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def read(self, key: str) -> bytes:
        """What an object holds."""
        return self._file(key).read_bytes()

    def remove(self, key: str) -> None:
        """Take an object away."""
        self._file(key).unlink()

    def replace(self, key: str, content: bytes) -> None:
        """Other bytes in an object, and with them another tag."""
        self.remove(key)
        self.put(key, content)

    def _file(self, key: str) -> Path:
        return self.server.directory / "data" / BUCKET / key


def write_model(folder: Path, seed: str) -> Path:
    """A directory that is well-formed, though no server could do anything with it; the directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "seed": seed}))
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (-len(header) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.0, 2.0))
    return folder
