"""The base image, made from Debian's packages where no registry can be reached.

Debian 12 has the same Python 3.11 that `python:3.11-slim-bookworm` brings, on the same Debian. What differs: Python
lives in /usr instead of /usr/local (the Dockerfiles ask `command -v python3`), and pip comes only with `venv`.
"""

import shutil
from pathlib import Path

from .command import require, run, succeeds
from .progress import say, step
from .recipe import BASE_IMAGE

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates,tzdata"

# What nobody reads in a container; licences (copyright files) stay.
SUPERFLUOUS = (
    *(f"usr/share/{name}/*" for name in ("man", "info", "locale", "i18n", "lintian", "bug")),
    *(f"var/{name}/*" for name in ("lib/apt/lists", "cache/apt", "cache/debconf", "cache/ldconfig", "log")),
    *(f"usr/lib/python3.11/{name}" for name in ("test", "idlelib")),
)
SEARCH_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"


def ensure_base() -> str:
    """The id of the base image in buildah's storage: kept, pulled, or made."""
    if not _stored() and not _pulled():
        _make()
    return run(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", BASE_IMAGE]).strip()


def _stored() -> bool:
    return succeeds(["buildah", "inspect", "--type", "image", BASE_IMAGE])


def _pulled() -> bool:
    """Asks the registry once, with little patience: without one the name does not even resolve."""
    with step(f"looking for {BASE_IMAGE} in a registry"):
        found = succeeds(["buildah", "pull", "--quiet", BASE_IMAGE], timeout=120)
    if not found:
        say("no registry answers: the base image is made from Debian's packages")
    return found


def _make() -> None:
    require("debootstrap", "install Debian's package debootstrap, or make an image registry reachable")
    container = run(["buildah", "from", "scratch"]).strip()
    try:
        root = Path(run(["buildah", "mount", container]).strip())
        with step(f"base image: Debian {SUITE} with Python 3.11"):
            run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), *_mirror()])
            _trim(root)
        run(["buildah", "umount", container])
        with step("base image: commit"):
            settings = ["--env", "LANG=C.UTF-8", "--env", f"PATH={SEARCH_PATH}", "--cmd", "python3"]
            run(["buildah", "config", *settings, container])
            run(["buildah", "commit", "--quiet", "--disable-compression", container, BASE_IMAGE])
    finally:
        run(["buildah", "rm", container])


def _mirror() -> list[str]:
    """The Debian mirror that this machine's own apt uses for the suite; none means debootstrap's default."""
    listing = ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(SUITE) $(CODENAME) $(REPO_URI)"]
    if shutil.which("apt-get") is None:
        return []
    for line in run(listing).splitlines():
        kind, *_, codename, address = line.split()
        if kind == "Packages" and codename == SUITE and not address.startswith("file:"):
            return [address]
    return []


def _trim(root: Path) -> None:
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    documentation = [path for path in root.glob("usr/share/doc/*/*") if path.name != "copyright"]
    for path in [*(path for pattern in SUPERFLUOUS for path in root.glob(pattern)), *documentation]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # some packages share one directory of documents by a link
