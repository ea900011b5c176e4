"""One tower as one call.

Run module by module, a forward pass goes back to the interpreter after every operation, and has to win its lock
again each time; beside a busy event loop that was measured to slow a small model down tenfold. A recorded program
runs from its first operation to its last without the lock. Where recording fails, or the recorded program answers
differently, the modules are called as usual.
"""

import logging
import warnings
from collections.abc import Callable, Sequence

import torch

from mmm_server.logs import fields

log = logging.getLogger(__name__)

Program = Callable[[torch.Tensor], torch.Tensor]

SAME = 1e-3  # of vectors of length one; a recording that took a wrong turn is off by far more


class Tower(torch.nn.Module):
    """From stacked inputs to vectors of length one, in float32."""

    def __init__(self, encode: Callable[[torch.Tensor], object], model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model  # so that its weights belong to the program
        self._encode = encode

    def forward(self, stacked: torch.Tensor) -> torch.Tensor:
        """One row per input."""
        features = self._encode(stacked)
        if not isinstance(features, torch.Tensor):
            raise TypeError("the model returned no tensor")
        return torch.nn.functional.normalize(features.float(), dim=-1)


def recorded(tower: Tower, examples: Sequence[torch.Tensor]) -> Program:
    """The tower as one native call, if that answers every example as the tower does; else the tower.

    The examples should differ in batch size and length: what depends on them must not be recorded as a constant.
    """
    # Kernels that are compiled for shapes as they come would be compiled within requests.
    torch._C._jit_set_texpr_fuser_enabled(False)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Not frozen: that would store what is computed from weights alone, above all eight bits made into floats.
            program = torch.jit.trace(tower.eval(), examples[0], check_trace=False)  # type: ignore[no-untyped-call]
            differences = [float((program(one) - tower(one)).abs().max()) for one in examples for _ in range(2)]
    except Exception:
        log.warning("the forward pass cannot be recorded: it is called module by module", exc_info=True)
        return tower
    if not all(difference < SAME for difference in differences):
        known = fields(differences=differences)
        log.warning("the recorded forward pass differs: it is called module by module", extra=known)
        return tower
    return program  # type: ignore[no-any-return]


def compiled(tower: Tower, mode: str) -> Program:
    """The tower through torch.compile: `default`, or `graphs` for one CUDA graph per shape."""
    kind = "reduce-overhead" if mode == "graphs" else "default"
    return torch.compile(tower, mode=kind, dynamic=False)
