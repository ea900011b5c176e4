"""Building pinned Go programs into the user's cache, once per version.

A build writes to `<key>.partial` and is renamed to `<key>` when it is whole, so a killed build is never mistaken for a
finished one; a lock per key makes parallel callers wait for the first instead of compiling the same twice.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from dev.tools.locks import exclusive
from dev.tools.pins import BUILDS, ON_DEMAND, Build, build_of


class BuildError(RuntimeError):
    """A program could not be built; the message ends with the compiler's last lines."""


def cache() -> Path:
    """Where built programs are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "multimodal-operator" / "bin"


def tool(program: str) -> Path:
    """The path of a pinned program, which is built first if this machine has never done so."""
    build = build_of(program)
    folder = cache() / build.key
    if not folder.is_dir():
        with exclusive(cache() / f"{build.key}.lock", f"another build of {build.name}") as lock:
            if not folder.is_dir():
                _build(build, folder, lock)
    return folder / (program if program in build.programs else build.programs[0])


def build_all(names: Iterable[str] = ()) -> list[Path]:
    """The paths of all the named programs, or of every program that is commonly needed.

    One after another: the Go compiler uses every core by itself.
    """
    chosen = list(names) or [build.name for build in BUILDS if build.name not in ON_DEMAND]
    return [tool(name) for name in chosen]


def _build(build: Build, folder: Path, lock: int) -> None:
    if shutil.which("go") is None:
        raise BuildError(
            f"building {build.name} {build.version} needs Go 1.26 or newer, and there is no `go` on the PATH"
        )
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    log = partial / "build.log"
    started = time.monotonic()
    with log.open("wb") as output:
        go = subprocess.Popen(
            _command(build, partial),
            cwd=build.source,
            env=_environment(partial),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
        )
        with go:
            _watch(go, build, started)
    if go.returncode != 0:
        raise BuildError(f"building {build.name} {build.version} failed:\n{_tail(log)}")
    if build.source is not None:
        for name in build.programs:
            (partial / name).symlink_to(build.name)
    partial.rename(folder)


def _command(build: Build, folder: Path) -> list[str]:
    flags = ["-trimpath", "-buildvcs=false", f"-ldflags={build.ldflags}"]
    if build.source is not None:
        return ["go", "build", *flags, "-o", str(folder / build.name), "."]
    return ["go", "install", *flags, *(f"{package}@v{build.version}" for package in build.packages)]


def _environment(folder: Path) -> dict[str, str]:
    # Without cgo the programs are static: no compiler is needed here, and they run on any machine and in any image.
    return {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder)}


def _watch(go: subprocess.Popen[bytes], build: Build, started: float) -> None:
    interactive = sys.stderr.isatty()
    shown_at = 0.0
    while True:
        try:
            go.wait(timeout=1)
            break
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - started
            if interactive or elapsed - shown_at >= 30:
                shown_at = elapsed
                _show(f"building {build.name} {build.version} … {elapsed:.0f} s", interactive)
    outcome = "built" if go.returncode == 0 else "could not build"
    _show(f"{outcome} {build.name} {build.version} in {time.monotonic() - started:.0f} s", interactive, last=True)


def _show(line: str, interactive: bool, last: bool = False) -> None:
    if interactive:
        line = f"\r\x1b[K{line}"
    print(line, end="" if interactive and not last else "\n", file=sys.stderr, flush=True)


def _tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
