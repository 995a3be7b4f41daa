"""What the report's templates may print: every number of it, computed from the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from hw2core.analysis.arithmetic import (
    BATCH,
    IN_FEATURES,
    OUT_FEATURES,
    compare_blocks,
    measure_jacobian,
)
from hw2core.analysis.curious_epochs import find_curious_epoch
from hw2core.analysis.gradient_checks import check_gradients
from hw2core.analysis.reference import OTHER, VERDICTS, compare_with_reference
from hw2core.analysis.report_sections import describe_experiment, share_values
from hw2core.analysis.statistics import CONFIDENCE
from hw2core.analysis.study_tables import StudyTables, compare_twins, compare_with_record
from hw2core.analysis.tables import CHANCE_ACCURACY, CHANCE_LOSS, iterate_rows
from hw2core.analysis.wording import (
    count,
    describe_evidence,
    format_duration,
    format_number,
    format_range,
    scientific,
)
from hw2core.config.spec import Experiment
from hw2core.runs.schema import Result

CURIOUS_EXPERIMENT = "part2_dropout"


def build_context(
    experiments: Sequence[Experiment],
    tables: StudyTables,
    missing: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the templates' variables.

    Args:
        experiments: in the order of their sections; their sentences may hold Markdown.
        tables: of the results.
        missing: per experiment the names of its runs without a result.
    """
    summary = tables.summary
    settings, differing = share_values(tables.results, "data", "training")
    sections = [
        describe_experiment(
            experiment,
            tables.results,
            summary,
            missing.get(experiment.name, ()),
            dict(settings),
        )
        for experiment in experiments
    ]
    part2 = [section for section in sections if section["name"].startswith("part2")]
    return {
        "experiments": sections,
        "part2_experiments": part2,
        "part3_experiments": [section for section in sections if section not in part2],
        "results": len(summary),
        "runs": summary["run"].nunique(),
        "planned": sum(section["planned"] for section in sections),
        "evidence": describe_evidence(summary),
        "reduced": bool((~summary["study_size"].fillna(True).astype(bool)).any()),
        "chance_accuracy": format_number(CHANCE_ACCURACY, 0),
        "chance_loss": format_number(CHANCE_LOSS, 2),
        "confidence": format_number(100 * CONFIDENCE, 0),
        "settings": settings,
        "differing": differing,
        "duration": format_duration(float(summary["seconds"].sum())),
        "costs": _describe_costs(summary),
        "devices": describe_devices(tables.results),
        "provenance": trace_provenance(tables.results),
        "jacobian": measure_jacobian(BATCH, IN_FEATURES, OUT_FEATURES),
        "blocks": compare_blocks(),
        "checks": check_gradients(),
        **_find_curious(tables.epochs),
        "twins": _describe_twins(summary),
        "public": _describe_public(summary, tables.record),
        "reference": _describe_reference(summary, tables.reference),
        "number": format_number,
        "count": count,
        "scientific": scientific,
    }


def _find_curious(epochs: pd.DataFrame) -> dict[str, Any]:
    """Return the epoch in which loss and accuracy rise together, or why there is none to show."""
    own = epochs[epochs["experiment"] == CURIOUS_EXPERIMENT]
    curious = find_curious_epoch(own)
    if curious is None and own.empty:
        return {"curious": None, "curious_missing": f"`{CURIOUS_EXPERIMENT}` is not run"}
    return {
        "curious": curious,
        "curious_where": f"`{CURIOUS_EXPERIMENT}`",
        "curious_missing": f"in `{CURIOUS_EXPERIMENT}` there is none",
    }


def _describe_twins(summary: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return a row per configuration under two names: seeds, means, largest difference."""
    rows = []
    for (depth, widths), pairs in compare_twins(summary).groupby(["depth", "widths"]):
        largest = (pairs["first"] - pairs["second"]).abs().max()
        means = (format_number(pairs[name].mean(), 2) for name in ("first", "second"))
        size = f"L = {depth}, K = {widths}"
        rows.append((size, str(len(pairs)), *means, format_number(largest, 2)))
    return rows


def _describe_public(summary: pd.DataFrame, record: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "run": row.run,
            "cells": (
                format_range(row.mean, row.low, row.high),
                f"{row.failed} of {row.seeds}",
                format_number(row.median),
                f"{format_number(row.lowest)}–{format_number(row.highest)}",
                str(row.solutions),
                f"{100 * row.at_chance_share:.0f} %",
            ),
        }
        for row in iterate_rows(compare_with_record(summary, record))
    ]


def _describe_reference(
    summary: pd.DataFrame, reference: pd.DataFrame | None
) -> dict[str, Any] | None:
    """Return the comparison with the published results; None where there is nothing in common."""
    shared = compare_with_reference(summary, summary.head(0) if reference is None else reference)
    if shared.empty:
        return None
    verdicts = Counter(shared["verdict"])
    return {
        "runs": len(shared),
        "compared": len(shared) - verdicts[OTHER],
        "verdicts": [(verdict, verdicts[verdict]) for verdict in VERDICTS if verdicts[verdict]],
        "rows": [
            (
                f"`{row.run}`",
                f"{format_number(row.mean)} ({row.seeds})",
                f"{format_number(row.reference_mean)} ({row.reference_seeds})",
                format_number(None if row.verdict == OTHER else row.tolerance),
                row.verdict,
            )
            for row in iterate_rows(shared)
        ],
    }


def _describe_costs(summary: pd.DataFrame) -> str:
    """Return what of the training time was spent on GPUs, as the end of a sentence."""
    on_gpu = summary["device"].fillna("").astype(str).str.startswith("cuda")
    if not on_gpu.any():
        return ""
    minutes = float(summary.loc[on_gpu, "seconds"].sum()) / 60
    return f", of which {format_number(minutes)} GPU-minutes"


def describe_devices(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return a row per kind of machine: what it is, how many runs it trained, and their time."""
    seconds: dict[tuple[str, ...], list[float]] = {}
    for result in results:
        if result.same_as:
            continue
        machine = result.environment
        kind = (machine.device, machine.processor, machine.precision, str(machine.threads))
        seconds.setdefault(kind, []).append(result.timing.seconds)
    return [
        (*kind, str(len(times)), format_duration(sum(times)))
        for kind, times in sorted(seconds.items())
    ]


def trace_provenance(results: Sequence[Result]) -> dict[str, list[tuple[str, ...]]]:
    """Return where the results come from, each fact with the number of results that share it."""

    def tally(facts: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
        return [(*fact, str(number)) for fact, number in sorted(Counter(facts).items())]

    return {
        "commits": tally((str(result.environment.git_commit),) for result in results),
        "data": tally((result.data_sha256,) for result in results),
        "versions": tally(pair for x in results for pair in x.environment.versions.items()),
        "code": tally((result.config["model"], result.code_hash[:12]) for result in results),
    }
