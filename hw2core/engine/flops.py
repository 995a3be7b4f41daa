"""Counts the parameters of a network and its FLOPs per image."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import flop_counter

# Torch wraps this method so that torch.compile leaves it alone; its first call would import
# ``torch._dynamo``, which takes as long as ``import torch``, in every job.
flop_counter._FlopCounterMode.__torch_dispatch__ = inspect.unwrap(  # type: ignore[method-assign]
    flop_counter._FlopCounterMode.__torch_dispatch__
)


def count_parameters(model: nn.Module) -> int:
    """Count the entries of all parameters; a shared parameter counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, in_size: Sequence[int]) -> int:
    """Count the floating-point operations of the forward pass of one image of size (C, H, W).

    A multiply-add counts as two. Convolutions, matrix products and attention count, without their
    biases; activations, norms and pools do not. ``model`` does not change and draws no random
    number.
    """
    parameter = next(model.parameters(), torch.empty(0))
    evaluated = copy.deepcopy(model).eval()
    image = torch.zeros(1, *in_size, device=parameter.device)  # (1, C, H, W)
    counter = flop_counter.FlopCounterMode(display=False)
    with torch.no_grad(), _attend_by_products(), counter:
        evaluated(image)
    return int(counter.get_total_flops())


@contextmanager
def _attend_by_products() -> Iterator[None]:
    """Compute attention by matrix products: the counter does not see into fused kernels."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
