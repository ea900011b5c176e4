"""Weights in eight bits: half the memory of sixteen, at a price in speed that the benchmarks name.

One scale per output, symmetric, rounded to nearest; activations keep their format. The product is computed with the
weights converted on the fly, so it needs nothing from the hardware.
"""

import torch


class Int8Linear(torch.nn.Module):
    """A linear layer whose weights are stored as eight-bit integers."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        full = linear.weight.detach().float()
        scale = full.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127.0
        self.register_buffer("weight", (full / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale.to(linear.weight.dtype))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer's answer in the format of its input."""
        product = torch.nn.functional.linear(values, self.weight.to(values.dtype)) * self.scale
        return product if self.bias is None else product + self.bias


def quantize_linears(module: torch.nn.Module) -> int:
    """Replaces every linear layer below a module; how many there were.

    Not inside torch's own attention, which reads the weights of its parts itself.
    """
    count = 0
    for name, child in module.named_children():
        if isinstance(child, torch.nn.MultiheadAttention):
            continue
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, Int8Linear(child))
            count += 1
        else:
            count += quantize_linears(child)
    return count
