"""Loads results into data frames: a row per run and seed, per run, per epoch and per layer.

Accuracies are in percent, losses in nats, times in seconds. What a result does not have (the depth
of an MLP, the test accuracy of a run that is not evaluated) is missing, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hw2core.analysis.baselines import read_baselines
from hw2core.analysis.status import STATUSES, judge_status
from hw2core.errors import UserError
from hw2core.io import replace_atomically
from hw2core.runs.files import find_results
from hw2core.runs.schema import Result

if TYPE_CHECKING:
    from hw2core.config.spec import Experiment, Size

FAMILIES = {"cnn": "plain", "resnet": "residual", "ycn": "custom", "mlp": "MLP"}

_TEXT, _COUNT, _NUMBER = "str", "Int64", "float64"
_NAMES = {"experiment": _TEXT, "run": _TEXT, "seed": _COUNT}
_NETWORK = dict.fromkeys(("model", "family", "label"), _TEXT)
_NETWORK |= {"depth": _COUNT, "widths": _TEXT, "num_conv": _COUNT}
_CURVES = dict.fromkeys(
    ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"), _NUMBER
)
SUMMARY_COLUMNS = {
    **_NAMES,
    **_NETWORK,
    **{"status": _TEXT, "epochs": _COUNT, "best_epoch": _COUNT},
    **_CURVES,
    **dict.fromkeys(("test_loss", "test_accuracy", "calibration_error"), _NUMBER),
    **dict.fromkeys(("parameters", "flops_per_image"), _COUNT),
    **dict.fromkeys(("seconds", "images_per_second"), _NUMBER),
    **dict.fromkeys(("device", "processor", "precision"), _TEXT),
    **{"threads": _COUNT, "data": _TEXT},
    **dict.fromkeys(("train_images", "validation_images", "test_images"), _COUNT),
    **dict.fromkeys(("reduced", "same_as", "spec_hash", "code_hash"), _TEXT),
    **dict.fromkeys(("data_sha256", "commit"), _TEXT),
}
EPOCH_COLUMNS = {**_NAMES, "epoch": _COUNT, **_CURVES}
LAYER_QUANTITIES = ("gradient_norm", "activation_std", "dead_fraction")
LAYER_COLUMNS = {**_NAMES, "epoch": _COUNT, "layer": _TEXT, "position": _COUNT}
LAYER_COLUMNS |= dict.fromkeys(LAYER_QUANTITIES, _NUMBER)


@dataclass(frozen=True)
class Study:
    """Experiments, their results, and the tables of them that figures and report read."""

    experiments: list[Experiment]
    results: list[Result]
    runs: pd.DataFrame  # a row per experiment, run and seed, with the flattened config
    epochs: pd.DataFrame  # a row per run, seed and epoch, counted from 1
    layers: pd.DataFrame  # a row per run, seed, probed epoch (0: before training) and layer
    missing: dict[str, list[str]]  # experiment -> runs without any result
    baselines: pd.DataFrame
    reference: pd.DataFrame | None = None  # the published results

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per run."""
        return summarize(self.runs)


def load(experiments: Iterable[Experiment]) -> Study:
    """Read the results of the working folder.

    Raises:
        ResultError: one that exists cannot be read.
    """
    experiments = list(experiments)
    return build(experiments, *find_results(experiments))


def build(
    experiments: Iterable[Experiment],
    results: Iterable[Result],
    missing: Mapping[str, Sequence[str]] = {},
) -> Study:
    """Put results into tables, in natural order of experiment, run and seed.

    Raises:
        ValueError: there are two results of a run and seed.
    """
    experiments = list(experiments)
    results = sorted(results, key=_order)
    for previous, result in pairwise(results):
        if _order(previous) == _order(result):
            raise ValueError(f"{result.name}, seed {result.seed}: two results")
    sizes = {run: size for experiment in experiments for run, size in experiment.sizes.items()}
    rows = [_summarize(result, sizes.get(result.name)) for result in results]
    config = pd.json_normalize([result.config for result in results])
    config = config.filter(like=".")
    return Study(
        experiments=experiments,
        results=results,
        runs=pd.concat([_frame(rows, SUMMARY_COLUMNS), config], axis="columns"),
        epochs=_frame([row for result in results for row in _list_epochs(result)], EPOCH_COLUMNS),
        layers=_frame([row for result in results for row in _list_layers(result)], LAYER_COLUMNS),
        missing={name: list(runs) for name, runs in missing.items() if runs},
        baselines=read_baselines(),
    )


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run over its seeds.

    ``trained``, ``at_chance`` and ``diverged`` count seeds. The means and ranges of accuracies are
    those of the seeds that trained, where there are any: a mean of trained seeds and of seeds at
    chance level describes neither.
    """
    keys = ["experiment", "run"]
    seeds = runs.assign(**{status: runs["status"] == status for status in STATUSES})
    counted = seeds["trained"] == seeds.groupby(keys)["trained"].transform("max")
    accuracies = ["test_accuracy", "validation_accuracy", "train_accuracy"]
    seeds[accuracies] = seeds[accuracies].where(counted)
    return seeds.groupby(keys, sort=False, as_index=False).agg(
        **{name: (name, "first") for name in (*_NETWORK, "parameters", "flops_per_image")},
        seeds=("seed", "size"),
        **{status: (status, "sum") for status in STATUSES},
        seconds=("seconds", "mean"),
        epochs=("epochs", "max"),
        reduced=("reduced", "max"),  # that of a seed that is
        test=("test_accuracy", "mean"),
        test_low=("test_accuracy", "min"),
        test_high=("test_accuracy", "max"),
        validation=("validation_accuracy", "mean"),
        train=("train_accuracy", "mean"),
    )


def write_table(frame: pd.DataFrame, path: Path | str) -> None:
    r"""Write ``frame`` as CSV (UTF-8, ``\n``, six significant digits), whole or not at all."""
    with replace_atomically(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a summary that ``write_table`` wrote, with the types of ``Study.runs``.

    Raises:
        UserError: a column is missing.
    """
    table = pd.read_csv(path, dtype=SUMMARY_COLUMNS)
    if absent := SUMMARY_COLUMNS.keys() - set(table):
        raise UserError(f"{path}: no column {', '.join(sorted(absent))}; publish it again")
    return table.fillna({"label": "", "reduced": ""})


def split_numbers(name: str) -> list[tuple[int, float, str]]:
    """Return a key that sorts names by the numbers in them: L2 before L16, 0.001 before 0.01."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0, part) for part in parts]


def _order(result: Result) -> tuple[Any, ...]:
    names = result.experiment, result.name
    # The names themselves, too: 0.1 and 0.10 are one number and two runs.
    return (*map(split_numbers, names), *names, result.seed)


def _summarize(result: Result, size: Size | None) -> dict[str, Any]:
    config, data, test = result.config, result.config["data"], result.test
    best = {name: curve[result.best_epoch - 1] for name, curve in result.epochs}
    return {
        **_name(result),
        **_describe_network(config),
        "status": judge_status(result.epochs),
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        **best,
        "test_loss": test and test.loss,
        "test_accuracy": test and test.accuracy,
        "calibration_error": test and test.calibration_error,
        "parameters": result.parameters,
        "flops_per_image": result.flops_per_image,
        # A shared result took no time of its own: totals count the trained run once.
        "seconds": None if result.same_as else result.timing.seconds,
        "images_per_second": result.timing.images_per_second,
        **result.environment.model_dump(include={"device", "processor", "precision", "threads"}),
        "data": data["name"],
        **{f"{part}_images": data[part] for part in ("train", "validation", "test")},
        "reduced": _describe_reduction(config, size) if size else "",
        "same_as": result.same_as,
        **{name: getattr(result, name) for name in ("spec_hash", "code_hash", "data_sha256")},
        "commit": result.environment.git_commit,
    }


def _describe_network(config: Mapping[str, Any]) -> dict[str, Any]:
    model, architecture = config["model"], config["architecture"]
    family = FAMILIES.get(model, model)
    if family == "plain" and architecture.get("batchnorm"):
        family = "batch norm"
    label = config["name"].removeprefix(config["experiment"])
    network = {"model": model, "family": family, "label": label.strip("_")}
    if widths := architecture.get("filters_per_layer"):
        depth, text = architecture["layers_per_block"], "-".join(map(str, widths))
        label = label.removesuffix(f"_L{depth}_K{text}").strip("_")
        shape = {"depth": depth, "widths": text, "num_conv": depth * len(widths)}
        network |= {"label": label, **shape}
    return network


def _describe_reduction(config: Mapping[str, Any], size: Size) -> str:
    """Return what a run has less of than ``size``, or nothing."""
    data = config["data"]
    amounts = {
        "epochs": (config["training"]["epochs"], size.epochs),
        "training images": (data["train"], size.train),
        "validation images": (data["validation"], size.validation),
        "test images": (data["test"], size.test),
    }
    less = [f"{a:,} of {asked:,} {what}" for what, (a, asked) in amounts.items() if a < asked]
    return "; ".join([f"{data['name']} images"] * (data["name"] != size.data) + less)


def _name(result: Result) -> dict[str, Any]:
    return {"experiment": result.experiment, "run": result.name, "seed": result.seed}


def _list_epochs(result: Result) -> Iterator[dict[str, Any]]:
    for number, values in enumerate(zip(*dict(result.epochs).values(), strict=True), start=1):
        yield {**_name(result), "epoch": number, **dict(zip(_CURVES, values, strict=True))}


def _list_layers(result: Result) -> Iterator[dict[str, Any]]:
    if (layers := result.layers) is None:
        return
    for moment, epoch in enumerate(layers.epochs):
        for place, name in enumerate(layers.names):
            values = {key: getattr(layers, key)[moment][place] for key in LAYER_QUANTITIES}
            where = {"epoch": epoch, "layer": name, "position": place + 1}
            yield {**_name(result), **where, **values}


def _frame(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Return ``rows`` with these columns and types, whichever of the values are missing."""
    return pd.DataFrame(rows, columns=list(types)).astype(types)
