"""Random operands: quick to fill, and nowhere zero, since zeros draw less power."""

from typing import Any

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "fp8": torch.float8_e4m3fn}
"""Number formats (data/formats.json) that torch multiplies by itself."""
BLOCK = 2**20
"""Random elements that are drawn; larger tensors repeat them."""


def random_tensor(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, scale: float = 0.02) -> Any:
    """Normal values of standard deviation `scale`."""
    size = torch.Size(shape).numel()
    block = torch.randn(min(size, BLOCK), device=device).mul_(scale).to(dtype)
    return fill_repeatedly(torch.empty(shape, dtype=dtype, device=device), block)


def fill_repeatedly(tensor: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """`tensor`, contiguous, overwritten with repetitions of the elements of `block`."""
    flat = tensor.view(-1)
    whole = flat.numel() // block.numel() * block.numel()
    flat[:whole].view(-1, block.numel()).copy_(block)
    flat[whole:].copy_(block[: flat.numel() - whole])
    return tensor
