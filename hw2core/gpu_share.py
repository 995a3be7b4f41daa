"""Estimates how much of a GPU a run needs, so that small runs can share one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hw2core.config.arithmetic import count_work

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec

# A step of this many floating-point operations keeps an H200 busy for several milliseconds: a
# second run would gain nothing. Smaller runs leave it idle between kernels, and each run leaves it
# idle for seconds while its processes start.
FLOPS_OF_A_WHOLE_GPU = 1e12
LEAST_PERCENT = 10  # each run needs a CPU core as well
CONTEXT_BYTES = 1 << 30  # memory of CUDA, its libraries and the images
TENSORS_PER_CONVOLUTION = 4  # output, norm, activation, and short-lived gradients
BYTES_PER_PARAMETER = 24  # weight, gradient, momentum, EMA, best weights, and a cast


def estimate_gpu_percent(spec: RunSpec, memory: int, *, training: bool = True) -> int:
    """Return the percentage of a GPU with ``memory`` bytes that a run needs, 10 to 100.

    This is the larger of two shares: that of the memory and, in training, that of the arithmetic.
    An evaluation computes for less than a second.
    """
    multiply_adds, outputs, parameters = count_work(spec.architecture, spec.data.num_classes)
    flops = 6 * multiply_adds * spec.training.batch_size  # forward, and twice as much backward
    arithmetic = flops / FLOPS_OF_A_WHOLE_GPU if training else 0
    held = TENSORS_PER_CONVOLUTION * 4 * outputs * spec.training.batch_size
    needed = CONTEXT_BYTES + held + BYTES_PER_PARAMETER * parameters
    share = max(needed / memory, arithmetic)
    return min(100, max(LEAST_PERCENT, math.ceil(100 * share)))
