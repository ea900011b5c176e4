"""Images without a registry: made by hand, packed, and brought into containerd."""

import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PAUSE_IMAGE = "localhost/pause:1"

_PAUSE_SOURCE = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
"""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImageError(RuntimeError):
    """An image could not be made or loaded; the message ends with what the failing program said."""


@dataclass(frozen=True)
class Image:
    """A one-layer image of programs that need no libraries."""

    reference: str
    files: Mapping[str, Path]
    """Path in the image → file on this machine; each becomes executable by everybody."""
    entrypoint: Sequence[str]
    links: Mapping[str, str] | None = None
    """Path in the image → what the symbolic link there points to."""

    def save(self, archive: Path) -> Path:
        """An OCI archive of this image at the given path; the same bytes for the same files."""
        layer = self._layer()
        config = self._config(layer)
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
        manifest_bytes = json.dumps(manifest).encode()
        entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest_bytes)
        index = {"schemaVersion": 2, "manifests": [{**entry, "annotations": _name_annotations(self.reference)}]}
        with tarfile.open(archive, "w") as tar:
            _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add(tar, "index.json", json.dumps(index).encode())
            for blob in (layer, config, manifest_bytes):
                _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        return archive

    def _layer(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, source in sorted(self.files.items()):
                _add(tar, name.lstrip("/"), source.read_bytes(), mode=0o755)
            for name, target in sorted((self.links or {}).items()):
                link = tarfile.TarInfo(name.lstrip("/"))
                link.type, link.linkname = tarfile.SYMTYPE, target
                tar.addfile(link)
        return buffer.getvalue()

    def _config(self, layer: bytes) -> bytes:
        content = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": list(self.entrypoint), "Env": ["PATH=/bin"], "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
        return json.dumps(content).encode()


def pause_archive(folder: Path) -> Path:
    """An archive of the image whose one process does nothing: it holds a pod's namespaces open."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "pause"
    compiler = ["gcc", "-x", "c", "-", "-Os", "-static", "-s", "-o", str(program)]
    compiled = subprocess.run(compiler, input=_PAUSE_SOURCE, capture_output=True, text=True)
    if compiled.returncode != 0:
        raise ImageError(f"the pause program could not be compiled:\n{compiled.stderr}")
    return Image(PAUSE_IMAGE, {"/pause": program}, ["/pause"]).save(folder / "pause.tar")


def load(path: Path, importer: Sequence[str | Path], held: frozenset[str] = frozenset()) -> None:
    """Feeds an image to a program that reads a tar from its standard input.

    `path` is a Docker or OCI archive or an OCI layout folder. Of a folder, the blobs that the reader holds already
    (hex digests) stay behind: of an image whose code has changed that is nearly all.
    """
    if path.is_dir():
        _load_folder(path, importer, held)
        return
    with _opened(path) as archive:
        process = subprocess.run(importer, stdin=archive, capture_output=True)
    _check(path, process.returncode, process.stderr)


def _opened(path: Path) -> io.BufferedReader:
    if not path.exists():
        raise ImageError(f"there is no image at {path}")
    return path.open("rb")


def _load_folder(path: Path, importer: Sequence[str | Path], held: frozenset[str]) -> None:
    if not (path / "index.json").exists():
        raise ImageError(f"{path} is no OCI layout: it holds no index.json")
    known = [f"--exclude=blobs/sha256/{name}" for name in sorted(held)]
    pack: list[str | Path] = ["tar", "-C", path, *known, "-cf", "-", "--", *sorted(os.listdir(path))]
    with subprocess.Popen(pack, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as packing:
        process = subprocess.run(importer, stdin=packing.stdout, capture_output=True)
    _check(path, process.returncode, process.stderr)


def _check(path: Path, code: int, said: bytes) -> None:
    if code != 0:
        raise ImageError(f"{path} could not be loaded: {said.decode(errors='replace').strip()[-1000:]}")


def _name_annotations(reference: str) -> dict[str, str]:
    return {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
