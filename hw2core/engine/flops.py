"""The size and the arithmetic of a network: its parameters and the FLOPs of one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Count the numbers in all parameters of ``model``; a shared parameter counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, in_size: Sequence[int]) -> int:
    """Count the floating-point operations of the forward pass of one image.

    A multiplication and an addition count as two. Convolutions and matrix products count, without
    the additions of their biases; activations, norms and pools do not.

    The count comes from a forward pass of zeros in evaluation mode, which draws no random number
    and updates no running statistics; the mode of each module is restored.

    Args:
        model: the network.
        in_size: size (C, H, W) of one image.
    """
    modes = {module: module.training for module in model.modules()}
    parameter = next(model.parameters(), torch.empty(0))
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(parameter.new_zeros(1, *in_size))  # (1, C, H, W)
    finally:
        for module, training in modes.items():
            module.training = training
    return int(counter.get_total_flops())
