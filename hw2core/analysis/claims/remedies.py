"""Claims about experiment 1.5: what makes the untrainable plain nets train."""

from __future__ import annotations

from hw2core.analysis.claims.core import Finding, claim
from hw2core.analysis.claims.evidence import Evidence
from hw2core.analysis.claims.judging import judge_difference, judge_share, judge_shares

REMEDIES = {
    "he": "He initialisation",
    "bn": "batch norm",
    "residual": "residual blocks",
    "warmup": "a longer warm-up",
}
NETS = [(depth, width) for depth in (8, 16) for width in (32, 64)]


def list_runs(remedy: str, depth: int) -> list[str]:
    """Return the runs of a remedy at one depth, both widths."""
    return [f"exp1_5_{remedy}_L{depth}_K{width}" for deep, width in NETS if deep == depth]


@claim(
    "With {words}, most nets with L = {depth} train.",
    [
        {"remedy": key, "words": words, "depth": depth}
        for depth in (8, 16)
        for key, words in REMEDIES.items()
    ],
)
def remedy_makes_nets_train(evidence: Evidence, remedy: str, words: str, depth: int) -> Finding:
    return judge_share(*evidence.count_trained(*list_runs(remedy, depth)))


@claim(
    "With {words}, nets with L = 16 train more often than without.",
    [{"remedy": key, "words": words} for key, words in REMEDIES.items()],
)
def remedy_beats_nothing(evidence: Evidence, remedy: str, words: str) -> Finding:
    cured = evidence.count_trained(*list_runs(remedy, 16))
    return judge_shares(cured, evidence.count_trained("exp1_1_L16_K32", "exp1_1_L16_K64"))


@claim(
    "At L = 16, K = {width}, batch norm is more accurate than He initialisation, where both train.",
    [{"width": 32}, {"width": 64}],
)
def norm_beats_initialisation(evidence: Evidence, width: int) -> Finding:
    better, worse = (f"exp1_5_{key}_L16_K{width}" for key in ("bn", "he"))
    return judge_difference(evidence, better, worse)


@claim(
    "At L = 16, K = {width}, residual blocks are more accurate than batch norm alone, where both "
    "train.",
    [{"width": 32}, {"width": 64}],
)
def shortcuts_beat_norm(evidence: Evidence, width: int) -> Finding:
    better, worse = (f"exp1_5_{key}_L16_K{width}" for key in ("residual", "bn"))
    return judge_difference(evidence, better, worse)
