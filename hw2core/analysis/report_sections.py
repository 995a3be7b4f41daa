"""The report's section on each experiment: its runs, outcome and settings, in words and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hw2core.analysis.tables import aggregate_runs, iterate_rows
from hw2core.analysis.wording import (
    describe_evidence,
    describe_status,
    format_duration,
    format_number,
    format_range,
    join_words,
)
from hw2core.config.spec import Experiment
from hw2core.runs.schema import Result


def describe_experiment(
    experiment: Experiment,
    results: Sequence[Result],
    summary: pd.DataFrame,
    missing: Sequence[str],
    known: Mapping[str, str],
) -> dict[str, Any]:
    """Return what the template prints of one experiment.

    Args:
        experiment: its sentences may hold Markdown.
        results: those of the whole study; those of other experiments are left out.
        summary: of :func:`hw2core.analysis.tables.summary_table`.
        missing: names of its runs without a result.
        known: settings that the whole study shares, by name; they are not repeated.
    """
    own = [result for result in results if result.experiment == experiment.name]
    seeds = summary[summary["experiment"] == experiment.name]
    runs = aggregate_runs(seeds)
    shared = share_values(own, "architecture", "data", "training")[0]
    return {
        "name": experiment.name,
        "question": _one_line(experiment.question),
        "varies": _one_line(experiment.varies),
        "fixed": _one_line(experiment.fixed),
        "rows": [_describe_run(run, seeds) for run in iterate_rows(runs)],
        "missing": list(missing),
        "planned": len(runs) + len(missing),
        "trained": int((runs["trained"] == runs["seeds"]).sum()),
        "outcome": _describe_outcome(runs, seeds),
        "evidence": describe_evidence(seeds),
        "best": _find_best(runs),
        "settings": [(name, value) for name, value in shared if name not in known],
    }


def _describe_outcome(runs: pd.DataFrame, seeds: pd.DataFrame) -> str:
    """Return which runs did not train, and with how many of their seeds."""
    failed = [
        f"`{run.run}` ({describe_status(seeds.loc[seeds['run'] == run.run, 'status'].tolist())})"
        for run in iterate_rows(runs[runs["trained"] < runs["seeds"]])
    ]
    if runs.empty:
        return "No run of this experiment has a result yet."
    if not failed:
        return f"Every seed of {'the run' if len(runs) == 1 else f'the {len(runs)} runs'} trained."
    whole = int((runs["trained"] == runs["seeds"]).sum())
    return f"{whole} of {len(runs)} runs trained with every seed; not {join_words(failed)}."


def share_values(
    results: Sequence[Result], *groups: str
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the settings that all results share, and the names of those that differ.

    A setting is named as in config.yaml, by its group and key: ``training.lr``.
    """
    values: dict[str, set[str]] = {}
    for group in groups:
        sections = [result.config[group] for result in results]
        for key in dict.fromkeys(key for section in sections for key in section):
            values[f"{group}.{key}"] = {
                json.dumps(section.get(key), sort_keys=True) for section in sections
            }
    shared = [(name, only) for name, (only, *others) in values.items() if not others]
    return (
        [(name, _format_setting(json.loads(value))) for name, value in shared],
        [name for name, found in values.items() if len(found) > 1],
    )


def _format_setting(value: Any) -> str:
    if isinstance(value, str):
        return value
    words = {None: "none", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else json.dumps(value)


def _describe_run(run: Any, seeds: pd.DataFrame) -> dict[str, str]:
    own = seeds[seeds["run"] == run.run]
    test = format_range(run.test_accuracy_mean, run.test_accuracy_min, run.test_accuracy_max)
    if 0 < run.trained < run.seeds:
        test += f"; trained {format_number(run.trained_test_accuracy_mean)}"
    best = dict.fromkeys(format_number(x, 0) for x in (run.best_epoch_min, run.best_epoch_max))
    return {
        "name": run.run,
        "seeds": str(run.seeds),
        "status": describe_status(own["status"].tolist()) or "trained",
        "parameters": format_number(run.parameters, 0),
        "mflops": format_number(run.flops_per_image / 1e6),
        "best_epoch": f"{'–'.join(best)} of {own['epochs'].max()}",
        "validation": format_number(run.validation_accuracy_mean),
        "test": test,
        "duration": format_duration(run.seconds_mean),
        "reduced": "" if run.study_size else "reduced data",
    }


def _find_best(runs: pd.DataFrame) -> dict[str, str] | None:
    """Return the run that validation ranks first; the test images must not choose."""
    ranked = runs[runs["trained"] > 0].dropna(subset="validation_accuracy_mean")
    if ranked.empty:
        return None
    run = ranked.nlargest(1, "validation_accuracy_mean").iloc[0]
    return {
        "name": run["run"],
        "validation": format_number(run["validation_accuracy_mean"]),
        "test": format_range(
            run["test_accuracy_mean"], run["test_accuracy_min"], run["test_accuracy_max"]
        ),
        "seeds": "one seed" if run["seeds"] == 1 else f"mean [range] of {run['seeds']} seeds",
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())
