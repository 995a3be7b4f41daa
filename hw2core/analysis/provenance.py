"""Describes the study's runs, settings, machines, code and images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from hw2core.analysis.tables import Study, leave_out_mlps, list_rows
from hw2core.analysis.text import (
    count_things,
    escape_markdown,
    format_range,
    format_setting,
    join_words,
)
from hw2core.config.arithmetic import count_work
from hw2core.config.errors import ConfigError
from hw2core.config.spec import RunSpec
from hw2core.data.registry import title_data_set
from hw2core.runs.code_hash import NETWORKS, combine_hashes
from hw2core.runs.durations import RATES, Device, Estimator
from hw2core.runs.schema import Result

CORES = 2
# Times are estimates: measured ones depend on the device and on what else it did.
CPU = Device("cpu", "", "avx512_bf16")
TIMES = f"estimated for {CORES} CPU cores with {RATES[CPU.arithmetic].source}"
FEW = 3  # missing runs of an experiment that are named; more are counted
# Columns of a run for machine and software, and their titles on the page.
MACHINE = {name: name.capitalize() for name in ("device", "processor", "precision", "threads")}


def describe_scope(study: Study) -> str:
    """Return sentences with the number of networks except MLPs, of images and of epochs."""
    runs = leave_out_mlps(study.runs)
    if runs.empty:
        return "No convolutional network has a result."
    kind = name_kind(runs)
    kinds = escape_markdown(join_words(sorted(set(map(title_data_set, runs["data"])))))
    names = runs.groupby("network")["run"].nunique()
    count, several = len(names), int((names > 1).sum())
    have = "has" if several == 1 else "have"
    copies = f" under {names.sum()} names, as {several} {have} several," if several else ""
    networks = f"{kind} was" if count == 1 else f"{kind}s were"
    train, validation, test = (
        _span(runs[f"{part}_images"]) for part in ("train", "validation", "test")
    )
    part = f", {_span(runs['images_per_epoch'])} per epoch,"
    part = "" if (runs["images_per_epoch"] == runs["train_images"]).all() else part
    return (
        f"{count} {networks} trained{copies} on {train} {kinds} images{part} for "
        f"{_span(runs['epochs'])} epochs. For each, the epoch with the best accuracy on "
        f"{validation} validation images was evaluated once on {test} test images."
    )


def name_kind(runs: pd.DataFrame) -> str:
    """Return ``convolutional network``, or ``network`` if one of them may be of another kind."""
    return "convolutional network" if runs["depth"].notna().all() else "network"


def describe_recipe(runs: pd.DataFrame) -> str:
    """Return in Markdown the optimizer, schedule and augmentation that most of ``runs`` train with.

    Runs that train otherwise are named.
    """
    rows = runs.filter(like="training.").rename(columns=lambda name: name.removeprefix("training."))
    recipes = rows.astype(object).where(rows.notna(), None).to_dict("records")
    texts = pd.Series(list(map(_describe_one_recipe, recipes)), index=runs.index)
    usual = texts.value_counts().index[0]
    others = runs[texts != usual].groupby("experiment", sort=False)["run"].unique()
    return f"{usual}, except {_name_runs(others)}" if len(others) else usual


def _describe_one_recipe(recipe: Mapping[Any, Any]) -> str:
    return (
        f"{_name_optimizer(recipe)} and {_name_schedule(recipe)} on images that are "
        f"{_name_augmentation(recipe)}"
    )


def _name_optimizer(recipe: Mapping[Any, Any]) -> str:
    if recipe["optimizer"] == "adamw":
        return "AdamW"
    if not recipe.get("momentum"):
        return "SGD"
    return "Nesterov momentum [@nesterov1983]" if recipe.get("nesterov") else "momentum SGD"


def _name_schedule(recipe: Mapping[Any, Any]) -> str:
    named = {"one_cycle": "a one-cycle schedule [@smith2018]", "constant": "a constant rate"}
    name = recipe["schedule"]
    return named.get(name, f"a {escape_markdown(name)} schedule")


def _name_augmentation(recipe: Mapping[Any, Any]) -> str:
    words = {"flip": "flipped", "translate": "shifted"}
    changes = [word for key, word in words.items() if recipe.get(key)]
    return f"{join_words(changes)} at random" if changes else "neither flipped nor shifted"


def describe_images(runs: pd.DataFrame) -> str:
    """Return ``one data set of small images, one split``, with as many as ``runs`` have."""
    sets = runs["data"].nunique()
    seeds = runs.get("data.split_seed", pd.Series(0, index=runs.index))
    splits = int(seeds.groupby(runs["data"]).nunique().max()) if sets else 1
    some = f"{sets} data sets" if sets > 1 else "one data set"
    each = "one split" if splits == 1 else f"up to {splits} splits"
    return f"{some} of small images, {each}{' of each' if sets > 1 else ''}"


def describe_machines(runs: pd.DataFrame) -> str:
    """Return a sentence with the processors and precisions that runs were trained on."""
    trained = runs[runs["same_as"].isna()]
    kinds = trained.value_counts(["processor", "precision"]).reset_index()
    parts = [
        f"{escape_markdown(_shorten_processor(kind.processor))} in {kind.precision} "
        f"({count_things(kind.count, 'run')})"
        for kind in list_rows(kinds)
    ]
    return f"Trained on {join_words(parts)}." if parts else ""


def _shorten_processor(name: str) -> str:
    return re.sub(r"\((R|TM)\)| (Processor|CPU)\b", "", name)


def estimate_minutes(study: Study) -> dict[str, float]:
    """Return the minutes that a seed of each network takes on ``CPU``, as ``TIMES`` says.

    Networks whose arithmetic is unknown are left out.
    """
    estimator, minutes = Estimator([], CPU, CORES), {}
    for result in study.results:
        with suppress(ConfigError):  # of an older version
            spec = RunSpec.from_config(result.config)
            if count_work(spec.architecture).multiply_adds:
                minutes[result.name] = estimator.estimate(spec) / 60
    return minutes


def describe_missing(study: Study) -> str:
    """Return the names of runs without a result, or their number if there are many."""
    return _name_runs(study.missing)


def _name_runs(by_experiment: Mapping[Any, Sequence[str]] | pd.Series[Any]) -> str:
    parts = []
    for name, runs in by_experiment.items():
        few = len(runs) <= FEW
        parts += [f"`{run}`" for run in runs] if few else [f"{len(runs)} runs of `{name}`"]
    return join_words(parts) if parts else ""


def _span(values: pd.Series[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def list_runs(study: Study) -> pd.DataFrame:
    """Return the table of all runs, with one row per run."""
    minutes = estimate_minutes(study)
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
            "Minutes": minutes.get(run.run),
            "Reduced": run.reduced,
        }
        for run in list_rows(study.summary)
    ]
    absent = [{"Run": run, "Trained": "not run"} for runs in study.missing.values() for run in runs]
    frame = pd.DataFrame([*rows, *absent], dtype=object)
    return frame if study.runs["reduced"].any() else frame.drop(columns="Reduced", errors="ignore")


def list_experiments(study: Study) -> pd.DataFrame:
    """Return the question of each experiment, what it varies and what is fixed."""
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
    """Return the settings that all runs share, and the other settings by experiment."""
    settings = runs.filter(like=".").map(format_setting)
    same = settings.nunique() == 1
    rows = [(name, settings[name].iloc[0]) for name in settings.columns[same]]
    shared = pd.DataFrame(rows, columns=["Setting", "Value"])
    values = settings.loc[:, ~same].groupby(runs["experiment"], sort=False).agg(_join_distinct)
    return shared, values.T.rename_axis("Setting").reset_index()


def _join_distinct(texts: pd.Series[str]) -> str:
    return ", ".join(texts.unique())


def list_machines(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the machines with the number of runs trained there, and the sum of their hours."""
    trained = runs[runs["same_as"].isna()]
    groups = trained.groupby(list(MACHINE), dropna=False)["seconds"].agg(["size", "sum"])
    groups["sum"] /= 3600
    return groups.reset_index().rename(columns={**MACHINE, "size": "Runs", "sum": "Sum of hours"})


def hash_code(result: Result) -> str:
    """Return a hash of the code of a run, without the arguments of its network."""
    code = {name: value for name, value in result.code.items() if name != NETWORKS}
    return combine_hashes(code) if code else result.code_hash


def list_provenance(study: Study) -> pd.DataFrame:
    """Return code, images and software versions, with the number of runs trained with each."""
    facts = [
        fact
        for result in study.results
        if not result.same_as
        for fact in (
            ("commit", result.environment.git_commit or "not recorded"),
            (f"code of model {result.config['model']}, sha256", hash_code(result)),
            ("images, sha256", result.data_sha256),
            *result.environment.versions.items(),
        )
    ]
    counts = pd.DataFrame(facts, columns=["What", "Value"]).value_counts().sort_index()
    return counts.reset_index(name="Runs")
