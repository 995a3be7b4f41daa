"""Counts the parameters of a network and its FLOPs per image."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Count the entries of all parameters; a shared parameter counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, in_size: Sequence[int]) -> int:
    """Count the floating-point operations of the forward pass of one image of size (C, H, W).

    A multiply-add counts as two. Convolutions and matrix products count, without their biases;
    activations, norms and pools do not. ``model`` does not change and draws no random number.
    """
    parameter = next(model.parameters(), torch.empty(0))
    evaluated = copy.deepcopy(model).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        evaluated(parameter.new_zeros(1, *in_size))  # (1, C, H, W)
    return int(counter.get_total_flops())
