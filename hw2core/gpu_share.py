"""Estimates how much of a GPU a run needs, so that small runs can share one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hw2core.config.arithmetic import count_work

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec

# A step of this many floating-point operations keeps an H100 (300 TFLOP/s in bf16) busy for about
# 1 ms. That is ten times the gap between two steps: a second run would gain nothing. An estimate.
FLOPS_OF_A_WHOLE_GPU = 3e11
LEAST_PERCENT = 10  # each run needs a CPU core as well
CONTEXT_BYTES = 1 << 30  # memory of CUDA, its libraries and the images
TENSORS_PER_CONVOLUTION = 4  # output, norm, activation, and short-lived gradients
BYTES_PER_PARAMETER = 24  # weight, gradient, momentum, EMA, best weights, and a cast


def estimate_gpu_percent(spec: RunSpec, memory: int) -> int:
    """Return the percentage of a GPU with ``memory`` bytes that a run needs, 10 to 100.

    This is the larger of two shares: that of the memory and that of the arithmetic.
    """
    multiply_adds, outputs, parameters = count_work(spec.architecture, spec.data.num_classes)
    flops = 6 * multiply_adds * spec.training.batch_size  # forward, and twice as much backward
    held = TENSORS_PER_CONVOLUTION * 4 * outputs * spec.training.batch_size
    needed = CONTEXT_BYTES + held + BYTES_PER_PARAMETER * parameters
    share = max(needed / memory, flops / FLOPS_OF_A_WHOLE_GPU)
    return min(100, max(LEAST_PERCENT, math.ceil(100 * share)))
