"""Decides which experiments of a study are those of the assignment, which its answers compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd

from hw2core.analysis.tables import Study

# Keys of a network's size; pools follow from the depth.
SIZES = r"architecture\.(filters_per_layer|layers_per_block|pool_every)"


class Assigned(NamedTuple):
    """An experiment of the assignment: its networks, and the keys in which they differ."""

    families: set[str]
    varies: Sequence[str] = ("depth", "widths")  # columns that tell runs apart
    settings: str = SIZES  # pattern of the keys that may differ between runs
    given: str = ""  # pattern of the keys in which the assignment makes it differ from others


FULL = "full"  # label of the run of the ablation with which its other runs are compared
PLAIN, OWN, SCRATCH = {"plain"}, {"custom"}, {"MLP"}
# Experiment 2 has a recipe of its own, but not a budget.
FREE = r"architecture\..*|training\.(?!(epochs|batches)$).*"
COURSE = {
    **dict.fromkeys(("exp1_1", "exp1_2"), Assigned(PLAIN)),
    "exp1_3": Assigned(PLAIN, given=r"architecture\.pools"),
    "exp1_4": Assigned({"residual"}, given=r"architecture\.(batchnorm|pools)"),
    "exp1_5": Assigned(
        PLAIN | {"batch norm", "residual"},
        ("label", "depth", "widths"),
        ".*",
        r"architecture\.(batchnorm|initialization)|training\.warmup",
    ),
    "exp2": Assigned(OWN, given=FREE),
    "exp2_ablation": Assigned(OWN, ("label",), ".*", FREE),
    "part2_overfit": Assigned(SCRATCH, (), ""),
    "part2_optim": Assigned(
        SCRATCH, ("training.optimizer",), r"training\.(?!(epochs|batches|batch_size)$).*"
    ),
    "part2_dropout": Assigned(SCRATCH, ("architecture.dropout",), r"architecture\.dropout"),
}


@lru_cache(maxsize=4)  # a report asks often, about few studies
def keep_course(study: Study) -> Study:
    """Return a study without experiments that share only their name with the assignment's.

    They have another model, batch norm where the assignment has none, images of another data set
    than most networks, or runs that differ in something else than the assignment's: answers on
    depth would compare runs of one depth.
    """
    networks = study.runs[
        study.runs["experiment"].isin(COURSE) & ~study.runs["family"].isin(SCRATCH)
    ]
    usual = set(networks["data"].mode()[:1])
    others = [
        name
        for name, runs in study.runs.groupby("experiment")
        if not _is_assigned(name, runs, usual)
    ]
    runs, epochs, layers = (
        frame[~frame["experiment"].isin(others)]
        for frame in (study.runs, study.epochs, study.layers)
    )
    return replace(
        study,
        experiments=[each for each in study.experiments if each.name not in others],
        results=[result for result in study.results if result.experiment not in others],
        runs=runs,
        epochs=epochs,
        layers=layers,
        baselines=study.baselines[study.baselines["run"].isin(runs["run"])],
    )


def _is_assigned(name: Any, runs: pd.DataFrame, usual: set[str]) -> bool:
    if name not in COURSE:
        return True
    families, varies, may_differ, _ = COURSE[name]
    one = runs.drop_duplicates("run")
    if not set(one["family"]) <= families or (families != SCRATCH and set(one["data"]) != usual):
        return False
    settings = one.filter(like=".").map(str).nunique()
    others = settings[~settings.index.str.fullmatch(may_differ)]
    repeated = one.reindex(columns=["experiment", *varies]).duplicated()
    return not (others > 1).any() and not repeated.any()
