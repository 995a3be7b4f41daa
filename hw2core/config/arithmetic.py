"""Counts the arithmetic of a network from its configuration, without building it."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from hw2core.config.architectures import (
    IN_SIZE,
    TEN,
    Architecture,
    ConvolutionalArchitecture,
)
from hw2core.config.networks import MLPArchitecture


class Work(NamedTuple):
    """The work of a network's convolutions and linear layers; the rest is negligible."""

    multiply_adds: int  # of the forward pass of one image
    outputs: int  # of all these layers except the last, for one image
    parameters: int  # without biases


def count_work(architecture: Architecture, num_classes: int = TEN) -> Work:
    """Return the work of a network; zeros for an unknown architecture."""
    multiply_adds = outputs = parameters = 0
    in_channels, side, _ = IN_SIZE
    if isinstance(architecture, ConvolutionalArchitecture):
        kernel = getattr(architecture, "kernel_size", 3) ** 2
        for number, channels in enumerate(architecture.channels, start=1):
            weights = kernel * in_channels * channels
            multiply_adds += weights * side**2
            outputs += channels * side**2
            parameters += weights
            in_channels = channels
            if number % architecture.pool_every == 0:
                side //= 2
        widths = [in_channels * side**2, *architecture.hidden_dims, num_classes]
    elif isinstance(architecture, MLPArchitecture):
        widths = [math.prod(IN_SIZE), *architecture.hidden_dims, num_classes]
    else:
        return Work(0, 0, 0)
    linear = sum(a * b for a, b in itertools.pairwise(widths))
    return Work(multiply_adds + linear, outputs + sum(widths[1:-1]), parameters + linear)
