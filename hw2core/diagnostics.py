"""The size and the arithmetic of a network: its parameters and the FLOPs of one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def count_parameters(model: nn.Module) -> int:
    """Count the numbers in all parameters of ``model``; a shared parameter counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, in_size: Sequence[int]) -> int:
    """Count the floating-point operations of the forward pass of one image.

    A multiplication and an addition count as two. Two-dimensional convolutions and linear layers
    count, without the additions of their biases; activations, norms and pools do not::

        convolution: 2 * (C_out * H_out * W_out) * (C_in / groups) * K_h * K_w
        linear:      2 * D_out * D_in

    The count comes from a forward pass of zeros in evaluation mode, which draws no random number
    and updates no running statistics; the mode of each module is put back. (Torch's own
    ``FlopCounterMode`` gives the same count, but its import alone takes about 0.1 s.)

    Args:
        model: network of ``nn.Conv2d`` and ``nn.Linear`` layers.
        in_size: size (C, H, W) of one image.

    Returns:
        FLOPs per image.
    """
    flops = 0

    def add_flops(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal flops
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
        else:
            assert isinstance(layer, nn.Linear)
            fan_in = layer.in_features
        flops += 2 * output.numel() * fan_in

    modes = {module: module.training for module in model.modules()}
    hooks = [
        module.register_forward_hook(add_flops)
        for module in modes
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    parameter = next(model.parameters(), torch.empty(0))
    model.eval()
    try:
        with torch.no_grad():
            model(parameter.new_zeros(1, *in_size))  # (1, C, H, W)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return flops
