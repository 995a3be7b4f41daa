"""Claims about the study as a whole: does it repeat itself, and how does it compare."""

from __future__ import annotations

from hw2core.analysis.claims.core import Finding, State, claim
from hw2core.analysis.claims.evidence import Evidence, NotRun

SHARED = [(depth, width) for depth in (2, 4, 8) for width in (32, 64)]


@claim(
    "The configurations that experiments 1.1 and 1.2 share, trained under both names, give the "
    "same test accuracy for the same seed."
)
def twins_agree(evidence: Evidence) -> Finding:
    largest, compared = 0.0, 0
    for depth, width in SHARED:
        first, second = (
            evidence.list_seeds(f"{name}_L{depth}_K{width}")["test_accuracy"].astype(float)
            for name in ("exp1_1", "exp1_2")
        )
        differences = (first - second).dropna().abs()
        largest, compared = max(largest, *differences, 0.0), compared + len(differences)
    if not compared:
        return Finding(State.UNDECIDED, "no seed was trained under both names")
    numbers = f"{compared} pairs of trainings, largest difference {largest:.2f} points"
    return Finding(State.CONTRADICTED if largest else State.SUPPORTED, numbers)


@claim(
    "The mean test accuracy of every run lies above the median of the public record "
    "(a comparison of runs; its seeds are not used)."
)
def exceeds_public_median(evidence: Evidence) -> Finding:
    above, absent = 0, 0
    medians = evidence.record.set_index("run")["median"]
    for run, median in medians.items():
        try:
            accuracies = evidence.list_seeds(str(run))["test_accuracy"].astype(float)
        except NotRun:
            absent += 1
        else:
            above += accuracies.mean() > median
    compared = len(medians) - absent
    numbers = f"{above} of {compared} runs above, {absent} not run"
    if absent or not compared:
        return Finding(State.UNDECIDED, numbers)
    return Finding(State.SUPPORTED if above == compared else State.CONTRADICTED, numbers)
