"""Selects the networks that a figure compares: those of one data set."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hw2core.analysis.course import COURSE, keep_course
from hw2core.analysis.tables import (
    Study,
    find_best,
    leave_out_mlps,
    list_rows,
    select,
    split_trained,
)
from hw2core.data.registry import title_data_set
from hw2core.runs.schema import Result


def select_assigned(study: Study) -> pd.DataFrame:
    """Return the rows of ``study.runs`` of the assignment's networks, without MLPs."""
    runs = leave_out_mlps(keep_course(study).runs)
    return runs[runs["experiment"].isin(COURSE)]


def select_usual_images(study: Study) -> pd.DataFrame:
    """Return the rows of ``study.runs`` with images of the data set of the assignment's networks.

    Without any, it is the data set that most networks have, or else most MLPs.
    """
    for runs in (select_assigned(study), leave_out_mlps(study.runs), study.runs):
        if len(runs):
            return select(study.runs, data=runs["data"].mode().iloc[0])
    return study.runs


def list_best(summary: pd.DataFrame) -> list[Any]:
    """Return the best rows of ``summarize``: several if they have the same validation accuracy."""
    if (best := find_best(summary)) is None:
        return []
    trained, _ = split_trained(select(summary, validation=best.validation))
    return list_rows(trained)


def list_best_in(study: Study, experiment: str) -> list[Any]:
    """Return the best rows of an experiment; none if its images are of several data sets."""
    several = select(study.runs, experiment=experiment)["data"].nunique() > 1
    return [] if several else list_best(select(study.summary, experiment=experiment))


def name_equals(summary: pd.DataFrame, best: Any) -> str:
    """Return `` (and 2 more)`` if others are as good as the best row of ``summary``."""
    others = len([row for row in list_best(summary) if row.run != best.run])
    return f" (and {others} more)" if others else ""


def find_best_of(study: Study, summary: pd.DataFrame) -> tuple[Any, str]:
    """Return the best row of ``summary`` by ``find_best`` with usual images, and what it is.

    That is ``the best by validation`` or ``one of the 2 best by validation``, with the data set if
    there are several.
    """
    runs = select_usual_images(study)
    usual = summary[summary["run"].isin(runs["run"])]
    count = len(list_best(usual))
    what = f"{'the' if count < 2 else f'one of the {count}'} best by validation"
    if study.runs["data"].nunique() > 1:
        what += f" on {title_data_set(runs['data'].iloc[0])} images"
    return find_best(usual), what


def find_best_result(study: Study) -> Result | None:
    """Return the result of the best network that is no MLP, from its best seed by validation.

    Seeds that did not train are left out.
    """
    best, _ = find_best_of(study, leave_out_mlps(study.summary))
    if best is None:
        return None
    seeds = set(select(study.runs, run=best.run, status="trained")["seed"])
    able = [x for x in study.results if x.name == best.run and x.seed in seeds and x.test]
    return max(able, key=lambda result: result.validation_accuracy)
