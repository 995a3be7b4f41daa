"""The one truth: config.yaml read into experiments and named, typed, frozen run specs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hw2core.architectures import MODELS
from hw2core.config_file import ConfigError, describe_errors, read_config
from hw2core.outline import Outline
from hw2core.spec import DataSpec, RunSpec, TrainingSpec
from hw2core.study_entries import ExperimentEntry, RunEntry, StudyEntry, Values

ROOT = Path(__file__).parent.parent  # of this checkout
STUDY_FILE = ROOT / "config.yaml"
# Names become file names, Snakemake targets and words on command lines.
_EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_RUN_LABEL = re.compile(r"[A-Za-z0-9._-]*")
_SECTIONS = ("architecture", "training", "data")


@dataclass(frozen=True)
class Experiment:
    """A question and the runs that answer it."""

    outline: Outline
    runs: tuple[RunSpec, ...]


@dataclass(frozen=True)
class Study:
    """All experiments, by name, and the data set that they share."""

    data: DataSpec
    experiments: Mapping[str, Experiment]

    @cached_property
    def runs(self) -> dict[str, RunSpec]:
        """Every run of the study by its name, in the order of config.yaml."""
        return {run.name: run for e in self.experiments.values() for run in e.runs}

    @property
    def outlines(self) -> list[Outline]:
        """The outline of every experiment."""
        return [experiment.outline for experiment in self.experiments.values()]


def load_study(config: Mapping[str, Any], source: str = "config.yaml") -> Study:
    """Expand a configuration into its study.

    Each run is merged from defaults < experiment < point of the grid < labelled run, then checked.

    Raises:
        ConfigError: with one line for everything that is wrong, each naming ``source``, the key,
            the value and what is allowed.
    """
    allowed = {
        "": StudyEntry.model_fields,
        **{f"experiments.{name}": ExperimentEntry.model_fields for name in _names(config)},
    }
    try:
        entry = StudyEntry.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigError(source, describe_errors(error, _join, allowed)) from None

    problems: list[str] = []
    data = None
    try:
        data = DataSpec.model_validate(entry.data)
    except ValidationError as error:
        known = {"": DataSpec.model_fields}
        problems += describe_errors(error, lambda location: _join(("data", *location)), known)
    experiments = {name: _expand(name, entry, problems) for name in entry.experiments}
    problems += _find_clashes(experiments)
    if problems or data is None:
        raise ConfigError(source, problems)
    return Study(data, experiments)


def load_outlines() -> list[Outline]:
    """Return the outlines of the study that config.yaml of this checkout describes."""
    return load_study(read_config(STUDY_FILE), str(STUDY_FILE)).outlines


def _expand(name: str, entry: StudyEntry, problems: list[str]) -> Experiment:
    """Return the experiment with its runs; what is wrong with it is added to ``problems``."""
    said, path = entry.experiments[name], f"experiments.{name}"
    if not _EXPERIMENT_NAME.fullmatch(name):
        problems.append(f"{path}: {name!r}: a name has only letters, digits, '_' and '-'")
    if len(set(seeds := said.seeds or entry.seeds)) < len(seeds):
        where = f"{path}.seeds" if said.seeds else "seeds"
        problems.append(f"{where}: {seeds}: a seed is given twice")
    runs = []
    for (point, label), run in _list_overrides(said):
        if not _RUN_LABEL.fullmatch(label):
            problems.append(
                f"{path}.runs.{label}: {label!r}: a label has only letters, digits, '.', '_', '-'"
            )
            continue
        layers = {
            section: [
                (section, getattr(entry, section, {})),
                (f"{path}.{section}", getattr(said, section)),
                (f"{path}.grid", point if section == "architecture" else {}),
                (f"{path}.runs.{label}.{section}", getattr(run, section)),
            ]
            for section in _SECTIONS
        }
        model = (f"{path}.runs.{label}.model", run.model) if run.model else (path, said.model)
        spec = _make_run(name, label, model, layers, problems)
        if spec is not None:
            runs.append(spec)
    outline = Outline(
        name=name,
        question=said.question,
        varies=said.varies,
        fixed=said.fixed,
        runs=tuple(run.name for run in runs),
        seeds=tuple(seeds),
    )
    return Experiment(outline, tuple(runs))


def _list_overrides(
    said: ExperimentEntry,
) -> Iterator[tuple[tuple[Values, str], RunEntry]]:
    """Yield every point of the grid with every labelled run (or with none, where none is given)."""
    points = [
        dict(zip(grid, values, strict=True))
        for grid in said.grid or [{}]
        for values in itertools.product(*grid.values())
    ]
    for point, (label, run) in itertools.product(points, (said.runs or {"": RunEntry()}).items()):
        yield (point, label), run


def _make_run(
    experiment: str,
    label: str,
    model: tuple[str, str | None],
    layers: Mapping[str, list[tuple[str, Values]]],
    problems: list[str],
) -> RunSpec | None:
    """Merge and check one run; None where it has problems."""
    values: Values = {section: {} for section in _SECTIONS}
    origin: dict[tuple[str, str], str] = {}
    for section, sources in layers.items():
        for path, given in sources:
            values[section].update(given)
            origin.update({(section, key): f"{path}.{key}" for key in given})
    values |= {"name": experiment, "experiment": experiment, "model": model[1]}

    def locate(location: tuple[int | str, ...]) -> str:
        if location == ("model",):
            return model[0] if ".runs." in model[0] else f"{model[0]}.model"
        section, rest = str(location[0]), location[1:]
        if not rest or (section, str(rest[0])) not in origin:
            # Nobody gave it: it is missing from the experiment, or from the defaults of all.
            home = f"experiments.{experiment}.{section}" if section == "architecture" else section
            return _join((home, *rest))
        return _join((origin[section, str(rest[0])], *rest[1:]))

    try:
        spec = RunSpec.model_validate(values)
    except ValidationError as error:
        known: dict[str, Iterable[str]] = {
            "training": TrainingSpec.model_fields,
            "data": DataSpec.model_fields,
        }
        if model[1] in MODELS:
            known["architecture"] = MODELS[str(model[1])].keywords.model_fields
        problems += describe_errors(error, locate, known)
        return None
    parts = [experiment, label, spec.architecture.name_suffix]
    return spec.model_copy(update={"name": "_".join(part for part in parts if part)})


def _find_clashes(experiments: Mapping[str, Experiment]) -> list[str]:
    """Return a line for every run name that two runs, or a run and an experiment, would share."""
    problems: list[str] = []
    owner: dict[str, str] = {}
    for name, experiment in experiments.items():
        for run in experiment.outline.runs:
            if run in owner:
                problems.append(
                    f"experiments.{name}: {run!r}: this run name is made twice (also by "
                    f"experiments.{owner[run]}); give the runs labels: runs: {{label: ...}}"
                )
            owner[run] = name
    problems += [
        f"experiments.{name}: {name!r}: experiments.{owner[name]} has a run of this name"
        for name in experiments
        if owner.get(name, name) != name
    ]
    return problems


def _join(location: Iterable[int | str]) -> str:
    return ".".join(str(part) for part in location)


def _names(config: Mapping[str, Any]) -> list[str]:
    experiments = config.get("experiments")
    return [str(name) for name in experiments] if isinstance(experiments, dict) else []
