"""Expands one experiment of config.yaml into its runs: merges what is given, then checks it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

from pydantic import ValidationError

from hw2core.config.errors import Location, describe_errors, join_path
from hw2core.config.models import MODELS
from hw2core.config.schema import (
    EXPERIMENT_NAME,
    RUN_LABEL,
    DataSpec,
    ExperimentEntry,
    RunEntry,
    StudyEntry,
    TrainingSpec,
    Values,
)
from hw2core.config.spec import RunSpec

Problems = dict[str, list[str]]  # line -> names of the runs that it is about


def expand_runs(name: str, entry: StudyEntry, problems: Problems) -> Iterator[RunSpec]:
    """Yield the valid runs of the experiment ``name``; add what is wrong to ``problems``."""
    experiment, path = entry.experiments[name], f"experiments.{name}"
    if not re.fullmatch(EXPERIMENT_NAME, name):
        problems[f"{path}: {name!r}: a name has only letters, digits, '_' and '-'"] = []
    if len(set(seeds := experiment.seeds or entry.seeds)) < len(seeds):
        where = f"{path}.seeds" if experiment.seeds else "seeds"
        problems[f"{where}: {seeds}: a seed is given twice"] = []
    for point, (label, run) in _list_overrides(experiment):
        run_path = f"{path}.runs.{label}"
        if not re.fullmatch(RUN_LABEL, label):
            rule = "a label has only letters, digits, '.', '_', '-'"
            problems[f"{run_path}: {label!r}: {rule}"] = []
            continue
        # From the innermost to the outermost section; the first that gives a key decides.
        sections = {
            "architecture": {
                f"{run_path}.architecture": run.architecture,
                f"{path}.grid": point,
                f"{path}.architecture": experiment.architecture,
            },
            "training": {
                f"{run_path}.training": run.training,
                f"{path}.training": experiment.training,
                "training": entry.training,
            },
            "data": {
                f"{run_path}.data": run.data,
                f"{path}.data": experiment.data,
                "data": entry.data,
            },
            "model": {run_path: {"model": run.model} if run.model else {}, path: {}},
        }
        values: Values = {"experiment": name, "label": label}
        values |= {"model": run.model or experiment.model}
        for section in ("architecture", "training", "data"):
            layers = reversed(sections[section].values())
            values[section] = {key: value for layer in layers for key, value in layer.items()}
        try:
            yield RunSpec.model_validate(values)
        except ValidationError as error:
            for line in _describe_problems(error, values, sections):
                problems.setdefault(line, []).append(_name_run(values))


def _list_overrides(experiment: ExperimentEntry) -> Iterator[tuple[Values, tuple[str, RunEntry]]]:
    """Yield every grid point with every labelled run (or with none, where none is given)."""
    points = [
        dict(zip(grid, values, strict=True))
        for grid in experiment.grid or [{}]
        for values in itertools.product(*grid.values())
    ]
    return itertools.product(points, (experiment.runs or {"": RunEntry()}).items())


def _describe_problems(
    error: ValidationError, values: Values, sections: Mapping[str, Mapping[str, Values]]
) -> list[str]:
    """Return a line for each problem of a run, with the path of the section that gives the key."""

    def locate(location: Location) -> str:
        section, *rest = location
        if section == "model":
            rest = ["model"]
        layers = sections[str(section)]
        # A key that is given nowhere is missing from the outermost section.
        given = (path for path, layer in layers.items() if rest and rest[0] in layer)
        return join_path((next(given, list(layers)[-1]), *rest))

    allowed: dict[str, Iterable[str]] = {
        "training": TrainingSpec.model_fields,
        "data": DataSpec.model_fields,
    }
    if values["model"] in MODELS:
        allowed["architecture"] = MODELS[values["model"]].architecture.model_fields
    return describe_errors(error, locate, allowed)


def _name_run(values: Values) -> str:
    """Return the name of a refused run, without its architecture if that was refused."""
    try:
        entry = MODELS[values["model"]]
        architecture = entry.architecture.model_validate(values["architecture"])
    except (KeyError, ValidationError):
        return "_".join(filter(None, [values["experiment"], values["label"]]))
    return RunSpec.model_construct(**values | {"architecture": architecture}).name
