"""Tests claims over several seeds: paired differences, and shares of runs that train.

A claim compares two runs, or the shares of seeds that train in two groups of runs. It is tested
only if it can be significant: at least two seeds of both runs trained, or there are enough seeds
that "all against none" would be significant. A study with one seed therefore has no claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from hw2core.analysis import statistics
from hw2core.analysis.course import keep_course
from hw2core.analysis.findings.changes import pair_parts
from hw2core.analysis.findings.core import (
    list_other_settings,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.findings.remedies import list_changes
from hw2core.analysis.findings.residual import pair_with_plain
from hw2core.analysis.findings.width import list_steps
from hw2core.analysis.statistics import Estimate
from hw2core.analysis.tables import Study, list_rows

COLUMNS = ["family", "claim", "n", "difference", "low", "high", "p", "p_holm", "verdict"]
NOT_SEPARATED = "not significant"

# The claim as Markdown, and its estimate; None if there are too few seeds.
Case = tuple[str, Estimate | None]


def judge(study: Study) -> pd.DataFrame:
    """Return a row for each claim that has enough seeds.

    ``difference`` and its 95 % interval are in points of test accuracy, or of the share of runs
    that train. ``verdict`` is ``yes``, ``the opposite`` or ``not significant``, by the p value
    corrected within the family.
    """
    course = keep_course(study)
    rows = [
        [family, claim, found.n, found.value, found.low, found.high, found.p]
        for family, list_cases in FAMILIES.items()
        for claim, found in list_cases(course)
        if found
    ]
    judged = pd.DataFrame(rows, columns=COLUMNS[:7])
    by_family = judged.groupby("family", sort=False)["p"]
    judged["p_holm"] = by_family.transform(statistics.correct_by_holm) if rows else judged["p"]
    judged["verdict"] = np.where(judged["difference"] > 0, "yes", "the opposite")
    judged.loc[judged["p_holm"] > 1 - statistics.CONFIDENCE, "verdict"] = NOT_SEPARATED
    return judged


def _compare(study: Study, better: str, worse: str) -> Case:
    """Return the claim that one run is better than another, paired by seed."""
    pairs = statistics.pair_seeds(study.runs, better, worse)
    found = statistics.compare_pairs(pairs) if len(pairs) > 1 else None
    return f"`{better}` is better than `{worse}`", found


def _compare_steps(experiment: str, fixed: str, study: Study) -> Iterator[Case]:
    """Yield the claims that a network is better than the next smaller one with equal ``fixed``."""
    for smaller, larger in list_steps(summarize_experiments(study, experiment), fixed):
        yield _compare(study, larger.run, smaller.run)


def _compare_all(experiment: str, study: Study) -> Iterator[Case]:
    """Yield the claim that the later run is better, for each pair of runs."""
    for run, later in combinations(summarize_experiments(study, experiment)["run"], 2):
        yield _compare(study, later, run)


def _compare_shares(claim: str, first: pd.DataFrame, second: pd.DataFrame) -> Case:
    """Return the claim that a larger share of seeds trains in ``first`` than in ``second``."""
    (trained, seeds), (other, other_seeds) = (
        (int(runs["trained"].sum()), int(runs["seeds"].sum())) for runs in (first, second)
    )
    found = None
    several = all(len(runs) and runs["seeds"].min() > 1 for runs in (first, second))
    if several and statistics.can_decide_counts(seeds, other_seeds):
        share = statistics.compare_counts(trained, seeds, other, other_seeds)
        found = share._replace(value=100 * share.value, low=100 * share.low, high=100 * share.high)
    return f"{claim} ({trained} of {seeds} against {other} of {other_seeds})", found


def _compare_with_plain(study: Study) -> Iterator[Case]:
    """Yield the claims that residual networks beat plain ones of equal size, and train more."""
    pairs = pair_with_plain(study)
    unlike = [
        name
        for name in pairs["experiment_plain"].unique()
        if list_other_settings(study, "exp1_4", name)
    ]
    pairs = pairs[~pairs["experiment_plain"].isin(unlike)]
    for row in list_rows(pairs):
        yield _compare(study, row.run, row.run_plain)
    plain = study.summary[study.summary["run"].isin(pairs["run_plain"])]
    yield _compare_shares("More residual runs train", pairs, plain)


def _compare_remedies(study: Study) -> Iterator[Case]:
    """Yield the claims that more runs train with a remedy than without."""
    if list_other_settings(study, "exp1_1", "exp1_5"):
        return
    untreated, keys = summarize_experiments(study, "exp1_1"), ["depth", "widths"]
    remedies = split_groups(summarize_experiments(study, "exp1_5"), "label")
    for label in list_changes(study):
        treated = remedies[label]
        same = untreated.merge(treated[keys], on=keys)
        yield _compare_shares(f"More runs train with `{label}`", treated, same)


def _compare_parts(study: Study) -> Iterator[Case]:
    """Yield the claims that the full network of the ablation beats those without one part."""
    for pair in pair_parts(study).values():
        yield _compare(study, *pair)


FAMILIES: dict[str, Callable[[Study], Iterator[Case]]] = {
    "Deeper plain networks (1.1)": partial(_compare_steps, "exp1_1", "widths"),
    "Wider plain networks (1.2)": partial(_compare_steps, "exp1_2", "depth"),
    "Deeper networks of growing width (1.3)": partial(_compare_steps, "exp1_3", "widths"),
    "Residual against plain networks of equal size (1.4)": _compare_with_plain,
    "Remedies against none (1.5)": _compare_remedies,
    "Deeper networks of our own (2)": partial(_compare_steps, "exp2", "widths"),
    "Parts of our own network (ablation)": _compare_parts,
    "Optimizers (part 2)": partial(_compare_all, "part2_optim"),
    "Dropout (part 2)": partial(_compare_all, "part2_dropout"),
}
