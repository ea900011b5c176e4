"""The memory of accelerators, and giving memory back; torch is asked only where a model brought it already."""

import ctypes
import gc
import sys
from contextlib import suppress


def free_device_bytes(kind: str) -> int | None:
    """What is free on the accelerator of a loaded model; None where the model is computed by the processor."""
    if kind != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info()
    cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return int(free + cached)  # the cache is ours: it is reused, or given back when it does not fit


def release_memory() -> None:
    """Gives back what a model left behind. Every thread stops meanwhile, for a tenth of a second or two."""
    gc.unfreeze()  # what was loaded was kept away from the collector, and the model's own cycles with it
    gc.collect()
    gc.freeze()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # not every libc has it
        ctypes.CDLL(None).malloc_trim(0)
