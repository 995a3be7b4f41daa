"""Answers that need no training run: the Jacobian, and the bottleneck block."""

from __future__ import annotations

from hw2core.analysis.findings.core import Sentences, finding
from hw2core.analysis.questions import BOTTLENECK_CHANNELS, compare_blocks, measure_jacobian
from hw2core.analysis.tables import Study
from hw2core.analysis.text import format_number

GIB, GB = 2**30, 1e9


@finding("part1_q1")
def say_jacobian(study: Study) -> Sentences:
    """Shape and memory of the Jacobian of a linear layer."""
    jacobian = measure_jacobian()
    yield (
        f"The Jacobian has the shape {jacobian.shape}, {jacobian.entries:,} numbers: "
        f"{format_number(jacobian.size / GB)} GB ({format_number(jacobian.size / GIB, 0)} GiB) in "
        f"single precision."
    )
    yield (
        f"Only {format_number(jacobian.nonzero / GIB, 0)} GiB of it is not zero, and the backward "
        "pass builds none of it."
    )


@finding("part3_q1")
def say_bottleneck(study: Study) -> Sentences:
    """Weights, operations and reach of the bottleneck and of the regular block."""
    regular, bottleneck = compare_blocks()
    ratio = format_number(regular.weights / bottleneck.weights)
    yield (
        f"The bottleneck has {ratio} times fewer weights, {bottleneck.weights:,} against "
        f"{regular.weights:,} (with biases {bottleneck.parameters:,} against "
        f"{regular.parameters:,}), and as many times fewer multiply-adds per pixel."
    )
    yield (
        f"In space it combines {bottleneck.field}×{bottleneck.field} pixels against "
        f"{regular.field}×{regular.field}; across channels both combine all {regular.rank}, the "
        f"bottleneck through {BOTTLENECK_CHANNELS}."
    )
