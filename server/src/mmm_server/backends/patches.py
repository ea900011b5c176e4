"""The first layer of a vision tower, fed with the eight-bit pixels as they were decoded.

Rescaling and normalisation are linear, and so is the patch embedding: x ↦ W · (x·s − m)/d + b is one matrix and one
offset. Folded together, an image crosses to the device as bytes (a quarter of its floats), and what was four passes
over the pixels is one matrix product. It stays in float32 on every device: it is two in a hundred of the work, and
the sums of raw pixels would lose digits in sixteen bits.
"""

from typing import Any

import torch

from mmm_server.backends.pixels import PixelPlan


class FoldedEmbeddings(torch.nn.Module):
    """Patch, class and position embeddings of images × height × width × 3 bytes."""

    weight: torch.Tensor
    table: torch.Tensor

    def __init__(self, embeddings: Any, plan: PixelPlan, dtype: torch.dtype) -> None:
        super().__init__()
        convolution = embeddings.patch_embedding
        self._patch = int(convolution.kernel_size[0])
        self._dtype = dtype  # of the layers behind it
        kernel = convolution.weight.detach().float()  # out × 3 × patch × patch
        mean, std = (kernel.new_tensor(values).view(1, 3, 1, 1) for values in (plan.mean, plan.std))
        offset = (kernel * (-mean / std)).sum(dim=(1, 2, 3))
        if convolution.bias is not None:
            offset = offset + convolution.bias.detach().float()
        weight = (kernel * (plan.scale / std)).permute(2, 3, 1, 0).reshape(-1, kernel.shape[0])
        table = embeddings.position_embedding.weight.detach().float().clone()
        first = getattr(embeddings, "class_embedding", None)
        self._classes = 0 if first is None else 1
        table[self._classes :] += offset
        if first is not None:
            table[0] += first.detach().float()
        self.register_buffer("weight", weight.contiguous())
        self.register_buffer("table", table)

    def forward(self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool = False) -> torch.Tensor:
        """One token per patch, after the class token where the tower has one."""
        size = self._patch
        images, height, width, _ = pixel_values.shape
        down, across = height // size, width // size
        cut = pixel_values[:, : down * size, : across * size]
        patches = cut.reshape(images, down, size, across, size * 3).permute(0, 1, 3, 2, 4)
        tokens = patches.reshape(images, down * across, -1).float() @ self.weight
        return (torch.nn.functional.pad(tokens, (0, 0, self._classes, 0)) + self.table).to(self._dtype)


def can_fold(embeddings: Any, plan: PixelPlan) -> bool:
    """Whether the embeddings are the usual ones: patches that do not overlap, for images of the plan's size."""
    convolution = getattr(embeddings, "patch_embedding", None)
    if not isinstance(convolution, torch.nn.Conv2d) or not hasattr(embeddings, "position_embedding"):
        return False
    square = len({*convolution.kernel_size, *convolution.stride}) == 1
    plain = convolution.padding in ("valid", (0, 0)) and convolution.groups == 1 and convolution.in_channels == 3
    size = int(convolution.kernel_size[0])
    tokens = (plan.height // size) * (plan.width // size) + hasattr(embeddings, "class_embedding")
    return square and plain and tokens == embeddings.position_embedding.weight.shape[0]
