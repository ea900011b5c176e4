"""What each image is made of."""

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "localhost/multimodal-operator"
INSIDE = "dev/images/inside"
BASE_IMAGE = "docker.io/library/python:3.11-slim-bookworm"


@dataclass(frozen=True)
class Recipe:
    """One Dockerfile with the arguments and the files of this tree that it reads."""

    name: str
    sources: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...] = ()
    root: Path = ROOT

    @property
    def dockerfile(self) -> Path:
        return self.root / f"Dockerfile.{self.name}"

    def reference(self, tag: str) -> str:
        return f"{REPOSITORY}/{self.name}:{tag}"

    def files(self) -> Iterator[Path]:
        """Every file that can change the image, in a fixed order."""
        yield from (self.dockerfile, self.root / ".dockerignore")
        for source in self.sources:
            path = self.root / source
            yield from [path] if path.is_file() else sorted(p for p in path.rglob("*") if _is_source(p))

    def tag(self, base: str) -> str:
        """Twelve digits that change when the image would: `base` identifies the image that it stands on."""
        digest = hashlib.sha256(repr((self.name, self.arguments, base)).encode())
        for path in self.files():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(self.root)} {content}\n".encode())
        return digest.hexdigest()[:12]


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def recipes() -> dict[str, Recipe]:
    """The images by name. The server is built for the CPU: the tests have no GPU, and it is a sixth of the size."""
    version = ("VERSION", _version())
    return {
        "operator": Recipe("operator", (*_sources("operator"), f"{INSIDE}/install.sh"), (version,)),
        "server": Recipe("server", (*_sources("server"), INSIDE), (version, ("ACCELERATOR", "cpu"))),
    }


def _sources(part: str) -> tuple[str, ...]:
    packages = (f"{part}/src/mmm_{part}", "repository/src/mmm_repository")
    return ("requirements/uv.lock", f"requirements/{part}.lock", *packages)
