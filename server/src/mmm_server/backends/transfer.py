"""Between the host's memory and the device's, and what may fail there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from mmm_server.backends.base import Matrix, Result
from mmm_server.errors import DeviceOutOfMemory, InternalError

# A recorded program, and torch's allocator on the host, say these with an ordinary RuntimeError.
HOST_MEMORY = "can't allocate memory"
DEVICE_MEMORY = "CUDA out of memory"
DEAD_DEVICE = "CUDA error"


def staged(values: Sequence[NDArray[np.generic]], device: str) -> torch.Tensor:
    """One stacked tensor on the device; the copy to an accelerator runs beside the computation before it."""
    if device == "cpu":
        return torch.from_numpy(np.stack(values))
    first = torch.from_numpy(values[0])
    pinned = torch.empty((len(values), *first.shape), dtype=first.dtype, pin_memory=True)
    np.stack(values, out=pinned.numpy())
    return pinned.to(device, non_blocking=True)


def launched(vectors: torch.Tensor, count: int) -> Result:
    """The first `count` rows, on the host once they are asked for."""
    if vectors.device.type == "cpu":
        matrix = np.asarray(vectors[:count].numpy(), dtype=np.float32)
        return lambda: matrix
    host = torch.empty((count, vectors.shape[1]), dtype=torch.float32, pin_memory=True)
    host.copy_(vectors[:count], non_blocking=True)
    done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    done.record()

    def result() -> Matrix:
        with failures_in_words():
            done.synchronize()
        return np.array(host.numpy(), dtype=np.float32)  # not a view: pinned memory is scarce

    return result


@contextmanager
def failures_in_words() -> Iterator[None]:
    """Turns what the device says into DeviceOutOfMemory, or into the end of the process if it can compute no more."""
    try:
        yield
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        raise DeviceOutOfMemory from None
    except MemoryError:
        raise DeviceOutOfMemory from None
    except RuntimeError as error:
        said = str(error)
        if HOST_MEMORY in said:
            raise DeviceOutOfMemory from None
        if DEVICE_MEMORY in said:
            torch.cuda.empty_cache()
            raise DeviceOutOfMemory from None
        if isinstance(error, torch.AcceleratorError) or DEAD_DEVICE in said:
            raise InternalError("The accelerator failed and answers nothing until the process is restarted.") from error
        raise
