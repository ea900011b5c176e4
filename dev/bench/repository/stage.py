"""The model, the server that holds it, and turns of the contenders between the two."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.bench.repository import contenders
from dev.bench.repository.contenders import Job, Turn
from dev.localcluster.s3 import S3Server

BUCKET = "bench"
BLOCK_BYTES = 2**20
FILES_PER_DIRECTORY = 1000
MEGABYTE = 1_000_000


@dataclass
class Stage:
    """A running server, a model on disk, and where fetched copies go. `digest` is known once it is published."""

    server: S3Server
    directory: Path
    digest: str = ""

    @property
    def model(self) -> Path:
        return self.directory / "model"

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    def publish(self, contender: str) -> Turn:
        """One upload under a prefix of the contender's own; only the last one of ours stays for the fetches."""
        turn = self._take(contender, "publish", self.model)
        if contender == "mmm":
            self.digest = turn.digest
        return turn

    def fetch(self, contender: str) -> Turn:
        """One download of the same version, which is removed again."""
        turn = self.fetch_and_keep(contender)
        shutil.rmtree(self.cache)
        return turn

    def fetch_and_keep(self, contender: str) -> Turn:
        """One download, or one look at what an earlier one left."""
        return self._take(contender, "fetch", self.cache)

    def forget(self, contender: str) -> None:
        """Remove what a contender has published."""
        shutil.rmtree(self._bucket / contender, ignore_errors=True)

    @property
    def _bucket(self) -> Path:
        return self.server.directory / "data" / BUCKET

    def _take(self, contender: str, action: str, local: Path) -> Turn:
        job = Job(
            contender=contender,
            action=action,
            local=str(local),
            endpoint=self.server.endpoint,
            region=self.server.region,
            access_key=self.server.access_key,
            secret_key=self.server.secret_key,
            bucket=BUCKET,
            # Everybody fetches what we have published.
            prefix=contender if action == "publish" else "mmm",
            digest=self.digest,
        )
        command = [sys.executable, "-c", f"from {contenders.__name__} import main; main()", json.dumps(asdict(job))]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return Turn(**json.loads(ended.stdout))


@contextmanager
def open_stage(directory: Path, megabytes: int, files: int) -> Iterator[Stage]:
    """A stage with a model of so many files; afterwards nothing of it is left."""
    directory.mkdir(parents=True)
    try:
        with S3Server(directory / "s3") as server:
            (server.directory / "data" / BUCKET).mkdir()
            stage = Stage(server, directory)
            make_model(stage.model, megabytes * MEGABYTE, files)
            yield stage
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def make_model(directory: Path, total: int, files: int) -> None:
    """A directory of a config and files of random bytes that begin as plain text does: so many in all, at least two."""
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "clip"}')
    source, files = random.Random(files), max(1, files - 1)
    block = source.randbytes(BLOCK_BYTES)
    for number in range(files):
        location = directory / f"part-{number // FILES_PER_DIRECTORY}" / f"{number:05}.txt"
        location.parent.mkdir(exist_ok=True)
        size = total // files
        with location.open("wb") as file:
            # Each file differs, so that no store can share their bytes.
            file.write(b"%016x" % source.getrandbits(64))
            for begin in range(16, size, BLOCK_BYTES):
                file.write(block[: min(BLOCK_BYTES, size - begin)])
