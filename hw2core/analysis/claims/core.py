"""What a claim is: a sentence and the function that holds it against the results.

A new claim is one function and one sentence::

    @claim("At depth {depth} a wider net does better.", [{"depth": 2}, {"depth": 4}])
    def wider_is_better(evidence: Evidence, depth: int) -> Finding:
        return judge_difference(evidence, f"exp1_2_L{depth}_K64", f"exp1_2_L{depth}_K32")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hw2core.analysis.claims.evidence import Evidence, NotRun
from hw2core.analysis.wording import join_words


class State(StrEnum):
    """What the results say of a sentence."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Finding:
    """What a claim's function found: the state, and the numbers behind it as Markdown."""

    state: State
    numbers: str


@dataclass(frozen=True)
class Claim:
    """A sentence about results, and the function that judges it."""

    group: str
    name: str
    sentence: str
    judge: Callable[[Evidence], Finding]


@dataclass(frozen=True)
class Judged:
    """A claim with its finding and the runs that it was read from."""

    claim: Claim
    finding: Finding
    runs: tuple[str, ...]


CLAIMS: list[Claim] = []
Judge = Callable[..., Finding]


def claim(sentence: str, cases: Sequence[Mapping[str, Any]] = ({},)) -> Callable[[Judge], Judge]:
    """Register the decorated function as the judge of ``sentence``, once for each of ``cases``.

    A case holds the keywords of the function and fills the sentence's braces.
    """

    def register(judge: Judge) -> Judge:
        for case in cases:
            # A claim is named by its function and the short values of its case.
            values = [str(value) for value in case.values() if " " not in str(value)]

            def judge_case(evidence: Evidence, case: Mapping[str, Any] = case) -> Finding:
                return judge(evidence, **case)

            name = "_".join([judge.__name__, *values])
            CLAIMS.append(Claim(judge.__name__, name, sentence.format(**case), judge_case))
        return judge

    return register


def judge_claims(evidence: Evidence) -> list[Judged]:
    """Judge every claim.

    One that speaks of a run without a result is undecided; so is one that compares runs of
    different data sets or numbers of images, whatever their accuracies say.
    """
    judged = []
    for entry in CLAIMS:
        evidence.asked.clear()
        try:
            finding = entry.judge(evidence)
        except NotRun as error:
            finding = Finding(State.UNDECIDED, str(error))
        if len(images := evidence.list_images()) > 1:
            finding = Finding(State.UNDECIDED, f"not the same images: {join_words(images)}")
        judged.append(Judged(entry, finding, tuple(sorted(evidence.asked))))
    return judged
