"""Which device and which number format: what was wished, checked against what is there."""

import time
from collections.abc import Callable

import torch

from mmm_server.backends.base import Device, Threads, Wishes
from mmm_server.errors import AcceleratorUnavailable

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WORTH_COMPARING_SECONDS = 0.05  # for a batch: larger models are faster with every thread, decoding is nothing to them
WORTH_THE_THREADS = 1.2  # the speed-up below which a single thread is the better neighbour
OTHER_SIZE = 2  # times the parameters: versions of one model differ by less
BFLOAT16_SINCE = (8, 0)  # compute capability of Ampere
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86 and of Arm, as the kernel names them
WORTH_REDUCING = 10_000_000  # parameters below which half the bytes gain nothing on a processor


def choose_device(wishes: Wishes) -> Device:
    """The device to load on, in full precision so far; AcceleratorUnavailable if the wish cannot be met."""
    wanted = wishes.require_accelerator or wishes.device == "cuda"
    if wishes.device != "cpu" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Device("cuda", properties.name, "float32", properties.total_memory)
    if wanted:
        raise AcceleratorUnavailable("An accelerator is required, but torch sees no usable CUDA device.")
    return Device("cpu", _cpu_name(), "float32")


def choose_dtype(wished: str, device: Device, parameters: int) -> str:
    """The wished number format, or for "auto" the fastest that the hardware computes natively."""
    if wished != "auto":
        return wished
    if device.kind == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(0) >= BFLOAT16_SINCE else "float16"
    if parameters >= WORTH_REDUCING and BFLOAT16_FLAGS & _cpu_flags():
        return "bfloat16"
    return "float32"


def threads_for(compute: Callable[[], object], parameters: int, usable: int, beside: Threads | None) -> Threads:
    """The number of threads with which `compute` is fastest, now in force in the calling thread.

    Beside a model that serves it cannot be measured: who waits for processors seems to gain nothing by more of them.
    What was found for the one that serves holds for the other too, unless they are of different sizes.
    """
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)
    if beside is None or not _holds(beside, parameters):
        return Threads(_best_threads(compute, usable), parameters)
    torch.set_num_threads(beside.count)
    compute()
    return beside


def _holds(found: Threads, parameters: int) -> bool:
    """Whether what was found for a model holds for one of so many parameters: the larger, the more threads gain."""
    if found.count == 1:
        return parameters < OTHER_SIZE * found.parameters
    return OTHER_SIZE * parameters > found.parameters


def _best_threads(compute: Callable[[], object], usable: int) -> int:
    """All usable threads or a single one, whichever is faster.

    Small models lose more by waking threads than they gain, and leave the other processors to decoding.
    """
    torch.set_num_threads(usable)
    compute()  # the first pass allocates
    seconds = _fastest(compute)
    if usable > 1 and seconds < WORTH_COMPARING_SECONDS:
        torch.set_num_threads(1)
        compute()
        if _fastest(compute) > WORTH_THE_THREADS * seconds:
            torch.set_num_threads(usable)
    return torch.get_num_threads()


def _fastest(compute: Callable[[], object], rounds: int = 5) -> float:
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        compute()
        found.append(time.perf_counter() - started)
    return min(found)


def _cpu_name() -> str:
    return _cpuinfo("model name") or "cpu"


def _cpu_flags() -> set[str]:
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


def _cpuinfo(name: str) -> str:
    """The first value of that name; empty where the system does not say."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
            return next(found, "")
    except OSError:
        return ""
