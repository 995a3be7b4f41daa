"""What the report's template may print: every number of it, computed from the documents."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hw2core.analysis.tables import (
    CHANCE_ACCURACY,
    CHANCE_LOSS,
    Document,
    aggregate_runs,
    iterate_rows,
    summary_table,
)
from hw2core.analysis.wording import (
    Experiment,
    describe_evidence,
    describe_status,
    format_duration,
    format_number,
    format_range,
    join_words,
)


def build_context(
    experiments: Sequence[Experiment],
    documents: Iterable[Document],
    figures: Mapping[str, Sequence[Path]],
    missing: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the template's variables; documents of experiments not named are left out."""
    names = [experiment.name for experiment in experiments]
    kept = [document for document in documents if document["config"]["experiment"] in names]
    summary = summary_table(kept)
    runs = aggregate_runs(summary)
    settings, differing = share_values(kept, "data", "training")
    numbered = iter(range(1, 1 + sum(len(paths) for paths in figures.values())))
    sections = []
    for experiment in experiments:
        own = [document for document in kept if document["config"]["experiment"] == experiment.name]
        seeds = summary[summary["experiment"] == experiment.name]
        own_runs = runs[runs["experiment"] == experiment.name]
        absent = list(missing.get(experiment.name, ()))
        sections.append(
            {
                "name": experiment.name,
                "question": _one_line(experiment.question),
                "varies": _one_line(experiment.varies),
                "fixed": _one_line(experiment.fixed),
                "rows": [_describe_run(run, seeds) for run in iterate_rows(own_runs)],
                "missing": absent,
                "planned": len(own_runs) + len(absent),
                "trained": int((own_runs["trained"] == own_runs["seeds"]).sum()),
                "outcome": _describe_outcome(own_runs, seeds),
                "best": _find_best(own_runs),
                "settings": [
                    (name, value)
                    for name, value in share_values(own, "architecture", "data", "training")[0]
                    if name not in dict(settings)
                ],
                "evidence": describe_evidence(seeds),
                "figures": [
                    {**figure, "number": next(numbered)}
                    for figure in _describe_figures(experiment, figures, own_runs, seeds)
                ],
            }
        )
    return {
        "experiments": sections,
        "results": len(summary),
        "runs": len(runs),
        "planned": sum(section["planned"] for section in sections),
        "evidence": describe_evidence(summary),
        "reduced": bool((~summary["study_size"].fillna(True).astype(bool)).any()),
        "chance_accuracy": format_number(CHANCE_ACCURACY, 0),
        "chance_loss": format_number(CHANCE_LOSS, 2),
        "settings": settings,
        "differing": differing,
        "duration": format_duration(float(summary["seconds"].sum())),
        "provenance": _trace(kept),
    }


def share_values(
    documents: Sequence[Document], *groups: str
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the settings that all documents share, and the names of those that differ.

    A setting is named as in config.yaml, by its group and key: ``training.lr``.
    """
    values: dict[str, set[str]] = {}
    for group in groups:
        for key in dict.fromkeys(
            key for document in documents for key in document["config"][group]
        ):
            values[f"{group}.{key}"] = {
                json.dumps(document["config"][group].get(key), sort_keys=True)
                for document in documents
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


def _describe_outcome(runs: pd.DataFrame, seeds: pd.DataFrame) -> str:
    """Return which runs did not train, and with how many of their seeds."""
    failed = [
        f"`{run.run}` ({describe_status(seeds.loc[seeds['run'] == run.run, 'status'].tolist())})"
        for run in iterate_rows(runs[runs["trained"] < runs["seeds"]])
    ]
    if runs.empty:
        return "No run of this experiment has a result yet."
    if not failed:
        return f"Every seed of the {len(runs)} runs trained."
    whole = int((runs["trained"] == runs["seeds"]).sum())
    return f"{whole} of {len(runs)} runs trained with every seed; not {join_words(failed)}."


def _describe_figures(
    experiment: Experiment,
    figures: Mapping[str, Sequence[Path]],
    runs: pd.DataFrame,
    seeds: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Return caption, alternative text and file of each figure, the SVG before the PNG."""
    stems: dict[str, list[Path]] = {}
    for path in figures.get(experiment.name, ()):
        stems.setdefault(path.stem, []).append(path)
    captions = {
        "curves": "Loss and accuracy over the epochs, in training and on validation.",
        "accuracy": "Accuracy on the test images at the epoch that validation chose.",
    }
    described = []
    for stem, paths in stems.items():
        kind = stem.removeprefix(f"{experiment.name}_")
        caption = captions.get(kind, f"{kind.replace('_', ' ').capitalize()}.")
        existing = sorted(
            (path for path in paths if path.is_file()), key=lambda p: p.suffix != ".svg"
        )
        described.append(
            {
                "path": existing[0].resolve().as_posix() if existing else None,
                "name": stem,
                "caption": f"{caption} {describe_evidence(seeds)}",
                "alt": f"{experiment.name}, {len(runs)} runs. {caption} "
                + _describe_outcome(runs, seeds).replace("`", "")
                + " The run table holds the numbers.",
            }
        )
    return described


def _trace(documents: Sequence[Document]) -> dict[str, list[tuple[str, ...]]]:
    """Return where the results come from, each fact with the number of results that share it."""

    def count(*keys: str) -> list[tuple[str, ...]]:
        found = Counter(
            tuple(str(document["metadata"].get(key)) for key in keys) for document in documents
        )
        return [(*values, str(number)) for values, number in sorted(found.items())]

    versions = Counter(
        (name, str(version))
        for document in documents
        for name, version in document["metadata"]["versions"].items()
    )
    code = Counter(
        (
            str(document["config"]["model"]),
            str(document["metadata"]["code_hash"])[:12],
            ", ".join(f"`{module}`" for module in sorted(document["metadata"]["code"])),
        )
        for document in documents
    )
    return {
        "devices": count("device", "processor", "threads", "precision"),
        "commits": count("git_commit"),
        "data": count("data_sha256"),
        "versions": [(*pair, str(number)) for pair, number in sorted(versions.items())],
        "code": [(*row, str(number)) for row, number in sorted(code.items())],
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())
