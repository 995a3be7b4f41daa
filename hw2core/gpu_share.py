"""Estimates how much of a GPU a run needs, so that small runs can share one."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from hw2core.config.networks import IN_SIZE, ConvolutionalArchitecture
from hw2core.data.arrays import NUM_CLASSES

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec

# A step of this many floating-point operations keeps an H100 (300 TFLOP/s in bf16) busy for about
# 1 ms: ten times the wait between two steps, so that a second run would gain nothing. An estimate.
FLOPS_OF_A_WHOLE_GPU = 3e11
LEAST_PERCENT = 10  # each run needs a CPU core as well
CONTEXT_BYTES = 1 << 30  # what CUDA and its libraries take, and the images
TENSORS_PER_CONVOLUTION = 4  # output, norm, activation; gradients live shortly
BYTES_PER_PARAMETER = 24  # weight, gradient, momentum, EMA, best weights, and a cast


def estimate_gpu_percent(spec: RunSpec, memory: int) -> int:
    """Return the percentage of a GPU with ``memory`` bytes that a run needs, 10 to 100.

    It is the larger of two shares: of the memory, and of the arithmetic that keeps the GPU busy.
    """
    architecture = spec.architecture
    multiply_adds = outputs = parameters = 0  # hardly any in an MLP
    if isinstance(architecture, ConvolutionalArchitecture):
        multiply_adds, outputs, parameters = _count_convolutions(architecture)
    flops = 6 * multiply_adds * spec.training.batch_size  # forward, and twice as much backward
    held = TENSORS_PER_CONVOLUTION * 4 * outputs * spec.training.batch_size
    needed = CONTEXT_BYTES + held + BYTES_PER_PARAMETER * parameters
    share = max(needed / memory, flops / FLOPS_OF_A_WHOLE_GPU)
    return min(100, max(LEAST_PERCENT, math.ceil(100 * share)))


def _count_convolutions(architecture: ConvolutionalArchitecture) -> tuple[int, int, int]:
    """Return multiply-adds and outputs for one image, and the weights of all layers."""
    in_channels, side, _ = IN_SIZE
    multiply_adds = outputs = parameters = 0
    for number, channels in enumerate(architecture.channels, start=1):
        weights = 9 * in_channels * channels
        multiply_adds += weights * side**2
        outputs += channels * side**2
        parameters += weights
        in_channels = channels
        if number % architecture.pool_every == 0:
            side //= 2
    widths = [in_channels * side**2, *architecture.hidden_dims, NUM_CLASSES]
    parameters += sum(a * b for a, b in itertools.pairwise(widths))
    return multiply_adds, outputs, parameters
