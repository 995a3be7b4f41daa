"""Describes what was trained: runs, settings, machines, code and images."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hw2core.analysis.tables import Study, leave_out_mlps, list_rows
from hw2core.analysis.text import DASH, escape_markdown, format_range, join_words
from hw2core.data.registry import title_data_set

FEW = 3  # runs of an experiment that are named where they are missing
# Columns of a run that name machine and software, and what the page calls them.
MACHINE = {name: name.capitalize() for name in ("device", "processor", "precision", "threads")}


def describe_scope(study: Study) -> str:
    """Return in a sentence how many networks but MLPs were trained, and on how much."""
    runs = leave_out_mlps(study.runs)
    if runs.empty:
        return "No convolutional network has a result yet."
    names = sorted(set(map(title_data_set, runs["data"])))
    kinds = escape_markdown(join_words(names))
    count = runs["run"].nunique()
    return (
        f"{count} convolutional {'network was' if count == 1 else 'networks were'} trained on "
        f"{_span(runs['train_images'])} {kinds} images for {_span(runs['epochs'])} epochs; "
        f"{_span(runs['validation_images'])} further images choose the epoch, and "
        f"{_span(runs['test_images'])} test it once."
    )


def describe_machines(runs: pd.DataFrame) -> str:
    """Return in a sentence on which processors runs were trained, with which precision."""
    kinds = runs.value_counts(["processor", "precision"]).reset_index()
    parts = [
        f"{escape_markdown(kind.processor)} in {kind.precision} ({kind.count:,} results)"
        for kind in list_rows(kinds)
    ]
    return f"Trained on {join_words(parts)}." if parts else ""


def describe_missing(study: Study) -> str:
    """Return which runs have no result: their names, or how many where they are many."""
    parts = []
    for name, runs in study.missing.items():
        few = len(runs) <= FEW
        parts += [f"`{run}`" for run in runs] if few else [f"{len(runs)} runs of `{name}`"]
    return join_words(parts) if parts else ""


def _span(values: pd.Series[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def list_runs(study: Study) -> pd.DataFrame:
    """Return the table of all runs: a row each, over its seeds."""
    rows = [
        {
            "Run": run.run,
            "Network": run.family,
            "Convolutions": run.num_conv,
            "Trained": f"{run.trained} of {run.seeds}",
            "Validation (%)": run.validation,
            "Test (%)": format_range(run.test, run.test_low, run.test_high),
            "Parameters": run.parameters,
            "MFLOPs": run.flops_per_image / 1e6,
            "Epochs": run.epochs,
            "Minutes": run.seconds / 60,
            "Reduced": run.reduced,
        }
        for run in list_rows(study.summary)
    ]
    absent = [{"Run": run, "Trained": "not run"} for runs in study.missing.values() for run in runs]
    frame = pd.DataFrame([*rows, *absent], dtype=object)
    return frame if study.runs["reduced"].any() else frame.drop(columns="Reduced", errors="ignore")


def list_experiments(study: Study) -> pd.DataFrame:
    """Return what each experiment asks, varies and keeps fixed."""
    have = study.runs.groupby("experiment")["run"].nunique()
    return pd.DataFrame(
        {
            "Experiment": experiment.name,
            "Question": experiment.question,
            "Varies": experiment.varies,
            "Fixed": experiment.fixed,
            "Runs with results": f"{have.get(experiment.name, 0)} of {len(experiment.runs)}",
        }
        for experiment in study.experiments
    )


def list_settings(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the settings that all runs share, and the values in each experiment of the others."""
    settings = runs.filter(like=".").map(_show_setting)
    same = settings.nunique() == 1
    rows = [(name, settings[name].iloc[0]) for name in settings.columns[same]]
    shared = pd.DataFrame(rows, columns=["Setting", "Value"])
    values = settings.loc[:, ~same].groupby(runs["experiment"], sort=False).agg(_join_distinct)
    return shared, values.T.rename_axis("Setting").reset_index()


def _join_distinct(texts: pd.Series[str]) -> str:
    return ", ".join(texts.unique())


def _show_setting(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value)) or "none"
    return DASH if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def list_machines(runs: pd.DataFrame) -> pd.DataFrame:
    """Return on which machines the runs were trained, and how long that took."""
    trained = runs[runs["same_as"].isna()]
    groups = trained.groupby(list(MACHINE), dropna=False)["seconds"].agg(["size", "sum"])
    groups["sum"] /= 3600
    return groups.reset_index().rename(columns={**MACHINE, "size": "Results", "sum": "Hours"})


def list_provenance(study: Study) -> pd.DataFrame:
    """Return from which code, images and software the results come, with how many results each."""
    facts = [
        fact
        for result in study.results
        for fact in (
            ("commit", result.environment.git_commit or "not recorded"),
            (f"code of model {result.config['model']}, sha256", result.code_hash),
            ("images, sha256", result.data_sha256),
            *result.environment.versions.items(),
        )
    ]
    counts = pd.DataFrame(facts, columns=["What", "Value"]).value_counts().sort_index()
    return counts.reset_index(name="Results")
