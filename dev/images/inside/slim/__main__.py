"""`python -m slim SITE_PACKAGES`: makes an installed PyTorch fit for a CPU-only image, in place."""

import shutil
import sys
from pathlib import Path

from .elf import SharedObject, UnknownLayout

# GPU machine code: read by the CUDA driver alone, when a kernel is first launched.
GPU_CODE = {".nv_fatbin", "__nv_relfatbin", ".nvFatBinLto"}

# Opened by name on first GPU use; nothing in a CPU process asks for them.
GPU_ONLY = ["libtorch_cuda_linalg.so", "libtorch_nvshmem.so", "libcaffe2_nvrtc.so"]

# How the libraries are called that may be absent: a missing one of any other name is a mistake, and fails at once.
GPU_NAMES = ("libcu", "libnv", "libnccl", "libtorch_nvshmem", "libcaffe2_nvrtc")

# What compiles extensions, and programs that the server never starts.
BUILD_ONLY = ["torch/include", "torch/share", "torch/bin/protoc*", "torch/**/*.a", "torch/lib/libshm_windows"]
TEST_SUITES = ["numpy/**/tests", "sympy/**/tests", "networkx/**/tests"]

# The two NVIDIA libraries that the CPU part of PyTorch itself calls, a few MB: the CUDA runtime (asked how many devices
# there are) and CUPTI (asked by the profiler).
KEPT = {"libcudart.so", "libcupti.so"}


def main(site_packages: Path) -> None:
    """Prints what was saved; the directory is changed in place."""
    before = _size(site_packages)
    for pattern in [*BUILD_ONLY, *TEST_SUITES]:
        _remove(site_packages, pattern)
    libraries = site_packages / "torch" / "lib"
    for name in GPU_ONLY:
        (libraries / name).unlink(missing_ok=True)
    _remove_gpu_libraries(site_packages)
    for path in sorted(libraries.glob("*.so*")):
        _slim(path, absent=_absent_libraries(path, site_packages))
    print(f"slim: {before / 1e6:.0f} MB became {_size(site_packages) / 1e6:.0f} MB", flush=True)


def _remove(root: Path, pattern: str) -> None:
    for path in list(root.glob(pattern)):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _remove_gpu_libraries(site_packages: Path) -> None:
    for path in [p for p in (site_packages / "nvidia").rglob("*") if p.is_file()]:
        if path.name.split(".so")[0] + ".so" not in KEPT:
            path.unlink()


def _absent_libraries(path: Path, site_packages: Path) -> set[str]:
    """The GPU libraries that `path` asks for and that are not installed."""
    present = {p.name for p in site_packages.glob("torch/lib/*")} | {
        p.name for p in site_packages.glob("nvidia/**/*.so*")
    }
    return {name for name in SharedObject.read(path).needed() if name.startswith(CUDA_NAMES) and name not in present}


CUDA_NAMES = ("libcu", "libnv", "libnccl", "libtorch_nvshmem", "libcaffe2_nvrtc")


def _slim(path: Path, absent: set[str]) -> None:
    library = SharedObject.read(path)
    try:
        library.forget(absent)
        saved = library.cut(GPU_CODE)
    except UnknownLayout as reason:
        # Harmless if nothing was absent, and found by the import that the image build ends with if something was.
        print(f"slim: {path.name} left as it is: {reason}", flush=True)
        return
    library.write(path)
    print(f"slim: {path.name}: {saved / 1e6:.0f} MB cut, without {', '.join(sorted(absent)) or 'nothing'}", flush=True)


def _size(root: Path) -> int:
    return sum(p.stat().st_size for p in root.rglob("*") if p.is_file())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
