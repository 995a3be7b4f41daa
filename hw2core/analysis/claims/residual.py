"""Claims about residual networks (1.4) and the study's own network (2)."""

from __future__ import annotations

from hw2core.analysis.claims.core import Finding, claim
from hw2core.analysis.claims.evidence import Evidence
from hw2core.analysis.claims.judging import judge_difference, judge_share, judge_shares

ONE_WIDTH = tuple(f"exp1_4_L{depth}_K32" for depth in (8, 16, 32))
GROWING = tuple(f"exp1_4_L{depth}_K64-128-256" for depth in (2, 4, 8))


@claim("Most residual nets of experiment 1.4 train (all depths and widths together).")
def residual_nets_train(evidence: Evidence) -> Finding:
    return judge_share(*evidence.count_trained(*ONE_WIDTH, *GROWING))


@claim("At L = 16 and K = 32 the residual net trains more often than the plain one.")
def residual_rescues_depth(evidence: Evidence) -> Finding:
    residual, plain = (evidence.count_trained(f"{name}_L16_K32") for name in ("exp1_4", "exp1_1"))
    return judge_shares(residual, plain)


@claim(
    "At equal depth and width (L = 8, K = 32) the residual net is more accurate than the plain "
    "one, where both train."
)
def residual_beats_plain(evidence: Evidence) -> Finding:
    return judge_difference(evidence, "exp1_4_L8_K32", "exp1_1_L8_K32")


@claim(
    "Among residual nets of one width, L = {deep} is more accurate than L = {shallow}.",
    [{"deep": 16, "shallow": 8}, {"deep": 32, "shallow": 16}],
)
def residual_depth_helps(evidence: Evidence, deep: int, shallow: int) -> Finding:
    return judge_difference(evidence, f"exp1_4_L{deep}_K32", f"exp1_4_L{shallow}_K32")


@claim(
    "Among residual nets of growing widths, L = {deep} is more accurate than L = {shallow}.",
    [{"deep": 4, "shallow": 2}, {"deep": 8, "shallow": 4}],
)
def residual_staged_depth_helps(evidence: Evidence, deep: int, shallow: int) -> Finding:
    better, worse = (f"exp1_4_L{depth}_K64-128-256" for depth in (deep, shallow))
    return judge_difference(evidence, better, worse)


@claim("Residual nets with growing widths are more accurate than with one width, at L = 8.")
def residual_width_helps(evidence: Evidence) -> Finding:
    return judge_difference(evidence, "exp1_4_L8_K64-128-256", "exp1_4_L8_K32")


@claim("With L = 4, the residual net of growing widths trains more often than the plain one.")
def residual_rescues_stages(evidence: Evidence) -> Finding:
    residual, plain = (
        evidence.count_trained(f"{name}_L4_K64-128-256") for name in ("exp1_4", "exp1_3")
    )
    return judge_shares(residual, plain)


@claim("Most custom nets of experiment 2 train (all depths together).")
def custom_nets_train(evidence: Evidence) -> Finding:
    runs = (f"exp2_L{depth}_K32-64-128" for depth in (3, 6, 9, 12))
    return judge_share(*evidence.count_trained(*runs))


@claim(
    "The custom net with L = {deep} is more accurate than with L = {shallow}.",
    [{"deep": depth + 3, "shallow": depth} for depth in (3, 6, 9)],
)
def custom_depth_helps(evidence: Evidence, deep: int, shallow: int) -> Finding:
    better, worse = (f"exp2_L{depth}_K32-64-128" for depth in (deep, shallow))
    return judge_difference(evidence, better, worse)


@claim(
    "The custom net with L = 3 (nine convolutions) is more accurate than {words}.",
    [
        {"other": "exp1_3_L2_K64-128-256", "words": "the plain net of 1.3 with L = 2"},
        {"other": "exp1_4_L8_K32", "words": "the residual net of 1.4 with L = 8, K = 32"},
        {"other": "exp1_4_L4_K64-128-256", "words": "the wide residual net of 1.4 with L = 4"},
    ],
)
def custom_beats(evidence: Evidence, other: str, words: str) -> Finding:
    return judge_difference(evidence, "exp2_L3_K32-64-128", other)


@claim(
    "At the settings of the ablation, the custom net is more accurate than {words}.",
    [
        {"part": "no_shortcuts", "words": "without its shortcuts"},
        {"part": "no_batchnorm", "words": "without its batch norm"},
        {"part": "no_scaling", "words": "without the scaling of its maps"},
        {"part": "flat_head", "words": "with a head that sees every pixel instead of a mean"},
        {"part": "no_smoothing", "words": "without label smoothing"},
        {"part": "no_cutout", "words": "without cutout"},
        {"part": "no_augmentation", "words": "without any augmentation"},
        {"part": "no_average", "words": "without the average of its weights"},
    ],
)
def part_contributes(evidence: Evidence, part: str, words: str) -> Finding:
    full, without = (f"exp2_ablation_{name}_L3_K32-64-128" for name in ("full", part))
    return judge_difference(evidence, full, without)
