"""Loads results into data frames: a row per run and seed, per run, per epoch and per layer.

Accuracies are in percent, losses in nats, times in seconds. Values that a result does not have (the
depth of an MLP, the test accuracy of a run that is not evaluated) are missing, not zero.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hw2core.analysis import rows
from hw2core.analysis.report_files import BASELINE_COLUMNS, read_baselines
from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.data import registry
from hw2core.errors import UserError
from hw2core.io import write_text_atomically
from hw2core.runs.files import find_results, forget_others
from hw2core.runs.outcome import STATUSES, judge_status
from hw2core.runs.paths import BASELINES
from hw2core.runs.schema import Result

if TYPE_CHECKING:
    from hw2core.config.spec import Experiment


BASELINE_TYPES = dict.fromkeys(BASELINE_COLUMNS, "float") | {"run": "str", "solutions": "int"}


@dataclass(frozen=True, eq=False)
class Study:
    """Experiments, their results, and the tables that figures and report read and do not change."""

    experiments: list[Experiment]
    results: list[Result]
    # A row per experiment, run and seed, with the flattened config. Rows have the same number in
    # ``network`` if their configs differ in nothing but names and seed.
    runs: pd.DataFrame
    epochs: pd.DataFrame  # a row per run, seed and epoch, counted from 1
    layers: pd.DataFrame  # a row per run, seed, probed epoch (0: before training) and layer
    missing: dict[str, list[str]]  # experiment -> runs without any result
    # A row per run that is comparable with public solutions: their best test accuracies.
    baselines: pd.DataFrame
    reference: pd.DataFrame | None = None  # the published results

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Return a row per run."""
        return summarize(self.runs)


def load(experiments: Collection[Experiment], *, only_evaluated: bool = False) -> Study:
    """Read the results of the working folder.

    Args:
        only_evaluated: count results that still have to be evaluated as missing.

    Raises:
        ResultError: an existing result cannot be read.
    """
    results, missing = find_results(experiments)
    if not only_evaluated:
        return build(experiments, results, missing)
    done = [x for x in results if x.test or judge_status(x) == "diverged"]
    known = {x.name for x in done}
    for name, run in dict.fromkeys((x.experiment, x.name) for x in results if x.name not in known):
        missing[name].append(run)
    return build(experiments, done, missing)


def build(
    experiments: Collection[Experiment],
    results: Iterable[Result],
    missing: Mapping[str, Sequence[str]] = {},
) -> Study:
    """Put results into tables, in natural order of experiment, run and seed.

    Raises:
        ValueError: a run and seed has two results.
    """
    results = sorted(forget_others(list(results)), key=_order)
    for previous, result in pairwise(results):
        if _order(previous) == _order(result):
            raise ValueError(f"{result.name}, seed {result.seed}: two results")
    sizes = {run: size for experiment in experiments for run, size in experiment.sizes.items()}
    described = [rows.describe_run(result, sizes.get(result.name)) for result in results]
    config = rows.tabulate_settings([result.config for result in results])
    runs = pd.concat([_frame(described, SUMMARY_COLUMNS), config], axis="columns")
    networks = config.assign(model=runs["model"]).to_dict("records")
    runs["network"] = pd.Categorical(list(map(str, networks))).codes
    return Study(
        experiments=list(experiments),
        results=results,
        runs=runs,
        epochs=_frame(chain.from_iterable(map(rows.list_epochs, results)), rows.EPOCH_COLUMNS),
        layers=_frame(chain.from_iterable(map(rows.list_layers, results)), rows.LAYER_COLUMNS),
        missing={name: list(runs) for name, runs in missing.items() if runs},
        baselines=_read_baselines(runs),
    )


def _read_baselines(runs: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies of public solutions of the runs that have CIFAR-10 results of full size.

    Networks with the assignment's names but other convolutions are left out.
    """
    other = (runs["data"] != "cifar10") | (runs["reduced"] != "")
    usual: dict[str, Any] = {"architecture.kernel_size": 3, "architecture.activation_type": "relu"}
    for key in usual.keys() & set(runs):
        other |= (runs["family"] != "custom") & (runs[key].fillna(usual[key]) != usual[key])
    other = runs.loc[other, "run"]
    public = _frame(read_baselines(Path(__file__).parents[2] / BASELINES), BASELINE_TYPES)
    return public[public["run"].isin(runs["run"]) & ~public["run"].isin(other)]


def _frame(values: Iterable[Any], types: dict[str, str]) -> pd.DataFrame:
    """Return a frame with the columns and dtypes of ``types``, even if all values are missing."""
    return pd.DataFrame(values, columns=list(types)).astype(types)


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run over its seeds.

    ``trained``, ``at_chance`` and ``diverged`` count seeds. Means and ranges of accuracies are over
    the seeds that trained, if there are any, because a mean of trained seeds and seeds at chance
    level describes neither.
    """
    keys = ["experiment", "run"]
    seeds = runs.assign(**{status: runs["status"] == status for status in STATUSES})
    accuracies = ["test_accuracy", "validation_accuracy"]
    seeds[accuracies] = seeds[accuracies].mask(find_failed_seeds(runs))
    same = *rows.NETWORK_COLUMNS, "parameters", "flops_per_image"
    summary = seeds.groupby(keys, sort=False, as_index=False).agg(
        **{name: (name, "first") for name in same},
        seeds=("seed", "size"),
        **{status: (status, "sum") for status in STATUSES},
        epochs=("epochs", "max"),
        reduced=("reduced", "max"),  # not empty if any seed is reduced
        test=("test_accuracy", "mean"),
        test_low=("test_accuracy", "min"),
        test_high=("test_accuracy", "max"),
        validation=("validation_accuracy", "mean"),
    )
    return summary.round({"test": 9, "validation": 9})  # equal means, whatever the seeds' order


def join_names(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each network and seed once, under the network's first name."""
    runs = runs.drop_duplicates(["network", "seed"])
    names = ["experiment", "run", "label"]
    return runs.assign(**runs.groupby("network")[names].transform("first"))


def find_failed_seeds(runs: pd.DataFrame) -> pd.Series:
    """Return which rows of ``Study.runs`` did not train, of runs of which another seed did."""
    trained = runs["status"] == "trained"
    keys = [runs["experiment"], runs["run"]]
    failed: pd.Series = trained < trained.groupby(keys).transform("max")
    return failed


def select(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return the rows that have these values in these columns."""
    for column, value in values.items():
        frame = frame[frame[column] == value]
    return frame


def has_settings(runs: pd.DataFrame, settings: Mapping[str, Any]) -> bool:
    """Return whether all rows of ``Study.runs`` that record these settings have these values."""
    found = runs.reindex(columns=list(settings))
    return all(bool(found[key].dropna().eq(value).all()) for key, value in settings.items())


def leave_out_mlps(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all networks but those of part 2, which are trained from scratch."""
    return frame[frame["model"] != "mlp"]


def count_classes(runs: pd.DataFrame) -> int:
    """Return the number of classes of the images that most rows of ``Study.runs`` have."""
    return registry.count_classes(runs["data"].mode().iloc[0])


def split_trained(summary: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of runs in which any seed trained, and the others."""
    trained = summary["trained"] > 0
    return summary[trained], summary[~trained]


def list_rows(frame: pd.DataFrame) -> list[Any]:
    """Return the rows as named tuples."""
    return list(frame.itertuples(index=False))


def find_best(summary: pd.DataFrame) -> Any:
    """Return the best row of ``summarize``, or None if no run trained and was evaluated.

    The best run has the highest validation accuracy over the seeds that trained; test images are
    not used.
    """
    able = summary[(summary["trained"] > 0) & summary["test"].notna()]
    return max(list_rows(able), key=lambda row: row.validation, default=None)


def write_table(frame: pd.DataFrame, path: Path | str) -> None:
    """Write ``format_table(frame)`` atomically."""
    write_text_atomically(path, format_table(frame))


def format_table(frame: pd.DataFrame) -> str:
    r"""Return ``frame`` as CSV (``\n``, six significant digits)."""
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a summary that ``write_table`` wrote, with the types of ``Study.runs``.

    Raises:
        UserError: the file cannot be read, or a column is missing.
    """
    try:
        table = pd.read_csv(path, dtype=SUMMARY_COLUMNS)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); publish it again") from None
    if absent := SUMMARY_COLUMNS.keys() - set(table):
        raise UserError(f"{path}: no column {', '.join(sorted(absent))}; publish it again")
    return table.fillna({"label": "", "reduced": ""})


def split_numbers(name: str) -> list[tuple[int, float, str]]:
    """Return a sort key that orders names by their numbers: L2 before L16, 0.001 before 0.01."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0, part) for part in parts]


def _order(result: Result) -> tuple[Any, ...]:
    names = result.experiment, result.name
    # The names are part of the key because 0.1 and 0.10 are equal numbers but two runs.
    return (*map(split_numbers, names), *names, result.seed)
