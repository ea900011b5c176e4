"""The programs that come from the operating system's own packages."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM_PACKAGES = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "debootstrap": "debootstrap",
    "gcc": "gcc",
    "iproute2": "ip",
    "iptables": "iptables",
    "kmod": "modprobe",
    "libc6-dev": "/usr/include/stdio.h",
    "mount": "mount",
    "prometheus": "promtool",
    "redis-server": "redis-server",
    "runc": "runc",
    "skopeo": "skopeo",
    "util-linux": "setsid",
}
"""Debian package → the program or file that shows that it is there, however it was installed."""

SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
"""PATH with the administrator's folders, which ordinary shells lack and cron and CI drop."""


class MissingPackages(RuntimeError):
    """Packages of the operating system are missing and cannot be installed from here; the message names them."""


def missing_packages(names: Iterable[str] = SYSTEM_PACKAGES) -> list[str]:
    """Those of the packages whose program or file this machine lacks."""
    return [name for name in names if not _present(SYSTEM_PACKAGES[name])]


def require_system_packages(names: Iterable[str] = SYSTEM_PACKAGES) -> None:
    """Nothing, once every package is there: what lacks is installed with apt-get where that is possible.

    Raises MissingPackages for an ordinary user, for systems without apt-get, and when the installation fails.
    """
    missing = missing_packages(names)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingPackages(
            f"please install {' '.join(missing)} (Debian's names), as root: apt-get install {' '.join(missing)}"
        )
    _install(missing)
    if still := missing_packages(missing):
        raise MissingPackages(f"apt-get ran, but these are still missing: {' '.join(still)}")


def _present(proof: str) -> bool:
    return Path(proof).exists() if proof.startswith("/") else shutil.which(proof, path=SYSTEM_PATH) is not None


def _install(names: list[str]) -> None:
    with no_services_started():
        _install_now(names)


@contextmanager
def no_services_started(policy: Path = Path("/usr/sbin/policy-rc.d")) -> Iterator[None]:
    """Until the block ends, packages that bring a service do not start it, unless the machine has its own policy."""
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _install_now(names: list[str]) -> None:
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *names]
    if _apt(install).returncode == 0:
        return
    _apt(["apt-get", "update", "-q"])  # fresh images carry no package lists
    result = _apt(install)
    if result.returncode != 0:
        raise MissingPackages(f"`{' '.join(install)}` failed:\n{result.stdout[-2000:]}")


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
