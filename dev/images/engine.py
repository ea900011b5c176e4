"""The two programs that can build a Dockerfile here: a Docker engine, or buildah without any daemon."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from . import base
from .command import BuildError, require, run, succeeds
from .recipe import BASE_IMAGE, Recipe

# What tells pip and uv where wheels come from; the Dockerfiles read it from a secret, so that no image remembers it.
WHEEL_VARIABLES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
HOST_UV_CACHE = "/var/cache/host-uv"


class Engine(Protocol):
    """Builds an image, keeps it under its names, and writes it out as an OCI image layout."""

    def base(self) -> str:
        """What identifies the base image; it is made or pulled if it has to be."""
        ...

    def holds(self, reference: str) -> bool: ...

    def build(self, recipe: Recipe, references: list[str]) -> None: ...

    def export(self, reference: str, layout: Path) -> None:
        """Fills `layout`; blobs that are there already need not be written again."""
        ...

    def names(self) -> list[str]:
        """The references of all images in the engine's storage."""
        ...

    def remove(self, references: list[str]) -> None: ...

    def prune(self) -> None:
        """Removes untagged images: the steps that earlier builds kept for the next one."""
        ...


def choose_engine() -> Engine:
    """A Docker engine if one answers, else buildah."""
    if succeeds(["docker", "version", "--format", "{{.Server.Version}}"], timeout=10):
        return Docker()
    require("buildah", "install it (Debian: apt-get install buildah skopeo debootstrap) or start a Docker engine")
    if os.geteuid() != 0:
        raise BuildError("no Docker engine answers, and buildah needs root to mount layers: run this as root")
    return Buildah()


class Buildah:
    def base(self) -> str:
        return base.ensure_base()

    def holds(self, reference: str) -> bool:
        return succeeds(["buildah", "inspect", "--type", "image", reference])

    def build(self, recipe: Recipe, references: list[str]) -> None:
        # chroot isolation and the host's network need no namespaces, which a CI container may not have.
        command = [
            "buildah",
            "bud",
            "--isolation",
            "chroot",
            "--network",
            "host",
            "--pull=never",
            "--layers",
            "--force-rm",
        ]
        extra = {}
        cache = _uv_cache()
        if cache is not None:
            # The wheels that the developer's own virtual environment was made of are here already.
            command += ["--volume", f"{cache}:{HOST_UV_CACHE}"]
            extra["UV_CACHE_DIR"] = HOST_UV_CACHE
        with _secrets(extra) as secrets:
            run([*command, *secrets, *_build_options(recipe, references)])

    def export(self, reference: str, layout: Path) -> None:
        target = f"oci:{layout}:{reference}"
        if shutil.which("skopeo"):
            # Only skopeo can write layers as they are: unchanged ones are not even read, and nothing is compressed for
            # containerd to undo.
            source = f"containers-storage:{reference}"
            run(["skopeo", "copy", "--quiet", "--dest-oci-accept-uncompressed-layers", source, target])
        else:
            run(["buildah", "push", "--quiet", reference, target])

    def names(self) -> list[str]:
        return run(["buildah", "images", "--noheading", "--format", "{{.Name}}:{{.Tag}}"]).split()

    def remove(self, references: list[str]) -> None:
        run(["buildah", "rmi", *references])

    def prune(self) -> None:
        run(["buildah", "rmi", "--prune"])


class Docker:
    def base(self) -> str:
        return BASE_IMAGE

    def holds(self, reference: str) -> bool:
        return succeeds(["docker", "image", "inspect", reference])

    def build(self, recipe: Recipe, references: list[str]) -> None:
        with _secrets({}) as secrets:
            run(["docker", "build", "--quiet", *secrets, *_build_options(recipe, references)])

    def export(self, reference: str, layout: Path) -> None:
        saving = subprocess.Popen(["docker", "save", reference], stdout=subprocess.PIPE)
        unpacking = subprocess.run(["tar", "-x", "-C", str(layout)], stdin=saving.stdout, check=False)
        if saving.wait() != 0 or unpacking.returncode != 0:
            raise BuildError(f"`docker save {reference}` failed")
        if not (layout / "index.json").exists():
            raise BuildError("this Docker engine saves no OCI image layout: version 25 is the first that does")

    def names(self) -> list[str]:
        return run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).split()

    def remove(self, references: list[str]) -> None:
        run(["docker", "image", "rm", *references])

    def prune(self) -> None:
        run(["docker", "image", "prune", "--force"])


def _build_options(recipe: Recipe, references: list[str]) -> list[str]:
    options = [text for reference in references for text in ("--tag", reference)]
    for name, value in recipe.arguments:
        options += ["--build-arg", f"{name}={value}"]
    return [*options, "--file", str(recipe.dockerfile), str(recipe.root)]


@contextmanager
def _secrets(extra: dict[str, str]) -> Iterator[list[str]]:
    """Options that hand the builder this machine's way to the wheels, and the authorities that it trusts."""
    variables = {name: os.environ[name] for name in WHEEL_VARIABLES if os.environ.get(name)} | extra
    authorities = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder, "wheels")
        wheels.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))
        options = ["--secret", f"id=wheels,src={wheels}"]
        if authorities.is_file():
            options += ["--secret", f"id=certificates,src={authorities}"]
        yield options


def _uv_cache() -> str | None:
    if not succeeds(["uv", "--version"]):
        return None
    path = Path(run(["uv", "cache", "dir"]).strip())
    return str(path) if path.is_dir() else None
