"""Claims about plain networks: depth (1.1), width (1.2) and both from stage to stage (1.3)."""

from __future__ import annotations

from hw2core.analysis.claims.core import Finding, claim
from hw2core.analysis.claims.evidence import Evidence
from hw2core.analysis.claims.judging import (
    judge_difference,
    judge_pairs,
    judge_ratio,
    judge_share,
    judge_shares,
)

WIDTHS = (32, 64)
STEPS = [
    {"width": width, "deep": deep, "shallow": deep // 2} for width in WIDTHS for deep in (4, 8)
]
MANY_TIMES = 10.0


@claim(
    "At width K = {width}, plain nets with {deep} convolutions are more accurate than those with "
    "{shallow}, where both train.",
    STEPS,
)
def depth_helps(evidence: Evidence, width: int, deep: int, shallow: int) -> Finding:
    return judge_difference(evidence, f"exp1_1_L{deep}_K{width}", f"exp1_1_L{shallow}_K{width}")


@claim(
    "Most plain nets with L = {depth} train (both widths of experiment 1.1 together).",
    [{"depth": 2}, {"depth": 4}, {"depth": 8}],
)
def moderate_depth_trains(evidence: Evidence, depth: int) -> Finding:
    return judge_share(*evidence.count_trained(*(f"exp1_1_L{depth}_K{k}" for k in WIDTHS)))


@claim("Most plain nets with L = 16 stay at chance (both widths of experiment 1.1 together).")
def great_depth_fails(evidence: Evidence) -> Finding:
    trained = evidence.count_trained(*(f"exp1_1_L16_K{width}" for width in WIDTHS))
    return judge_share(*trained, most=False)


@claim("Plain nets with L = 2 train more often than those with L = 16.")
def depth_costs_trainability(evidence: Evidence) -> Finding:
    shallow, deep = (
        evidence.count_trained(*(f"exp1_1_L{depth}_K{width}" for width in WIDTHS))
        for depth in (2, 16)
    )
    return judge_shares(shallow, deep)


@claim(
    f"Before training, the gradient in the first convolution is more than {MANY_TIMES:.0f} times "
    "smaller with L = 16 than with L = 2, at K = {width}.",
    [{"width": width} for width in WIDTHS],
)
def gradient_vanishes(evidence: Evidence, width: int) -> Finding:
    shallow, deep = (
        evidence.read_layers(f"exp1_1_L{depth}_K{width}", "gradient_norm", at_start=True)[1]
        for depth in (2, 16)
    )
    return judge_ratio(shallow, deep, MANY_TIMES)


@claim(
    f"Before training, activations shrink more than {MANY_TIMES:.0f} times from the first to the "
    "last convolution of the net with L = 16, K = {width}.",
    [{"width": width} for width in WIDTHS],
)
def activation_shrinks(evidence: Evidence, width: int) -> Finding:
    scales = evidence.read_layers(f"exp1_1_L16_K{width}", "activation_std", at_start=True)
    return judge_ratio(scales[1], scales[16], MANY_TIMES)


@claim(
    "At L = {depth}, plain nets of width {wide} are more accurate than those of {narrow}, where "
    "both train.",
    [
        {"depth": depth, "wide": 2 * narrow, "narrow": narrow}
        for depth in (2, 4, 8)
        for narrow in (32, 64, 128)
    ],
)
def width_helps(evidence: Evidence, depth: int, wide: int, narrow: int) -> Finding:
    return judge_difference(evidence, f"exp1_2_L{depth}_K{wide}", f"exp1_2_L{depth}_K{narrow}")


@claim(
    "At L = {depth}, the step from K = 32 to 64 brings more than the step from 128 to 256.",
    [{"depth": 2}, {"depth": 4}],
)
def width_pays_less_and_less(evidence: Evidence, depth: int) -> Finding:
    k32, k64, k128, k256 = (
        evidence.measure(f"exp1_2_L{depth}_K{width}") for width in (32, 64, 128, 256)
    )
    return judge_pairs((k64 - k32).dropna(), (k256 - k128).dropna())


@claim("At L = 8, the widest plain net (K = 256) trains more often than the narrowest (K = 32).")
def width_rescues_depth(evidence: Evidence) -> Finding:
    wide, narrow = (evidence.count_trained(f"exp1_2_L8_K{width}") for width in (256, 32))
    return judge_shares(wide, narrow)


@claim(
    "With widths that grow from stage to stage, L = {deep} is more accurate than L = {shallow}, "
    "where both train.",
    [{"deep": depth + 1, "shallow": depth} for depth in (1, 2, 3)],
)
def staged_depth_helps(evidence: Evidence, deep: int, shallow: int) -> Finding:
    better, worse = (f"exp1_3_L{depth}_K64-128-256" for depth in (deep, shallow))
    return judge_difference(evidence, better, worse)


@claim("In experiment 1.3, L = 1 trains more often than L = 4.")
def staged_depth_costs_trainability(evidence: Evidence) -> Finding:
    shallow, deep = (evidence.count_trained(f"exp1_3_L{depth}_K64-128-256") for depth in (1, 4))
    return judge_shares(shallow, deep)


@claim(
    "The net of experiment 1.3 with L = 2 (six convolutions, growing widths) is more accurate "
    "than the plain net of one width with L = 8 and K = 64, where both train."
)
def growing_width_helps(evidence: Evidence) -> Finding:
    return judge_difference(evidence, "exp1_3_L2_K64-128-256", "exp1_1_L8_K64")
