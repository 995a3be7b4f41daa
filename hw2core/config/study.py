"""Loads config.yaml: merges its sections, expands experiments into runs, and checks them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hw2core.config.checks import (
    check_length,
    find_clashes,
    find_keywords,
    find_strays,
    find_unknown_names,
    find_wrong_roots,
)
from hw2core.config.errors import ConfigError, Location, describe_errors, join_path
from hw2core.config.fields import EXPERIMENT_NAME, KEYWORDS, RUN_LABEL, SECTIONS, Values
from hw2core.config.grids import find_unknown_sections, list_points, list_settings
from hw2core.config.images import DataSpec
from hw2core.config.merging import merge_layers
from hw2core.config.networks import MODELS
from hw2core.config.reading import read_config
from hw2core.config.schema import (
    ExperimentEntry,
    Frozen,
    RecipeSpec,
    RunEntry,
    StudyEntry,
    StudyOptions,
)
from hw2core.config.spec import Experiment, RunSpec

CHECKOUT = Path(__file__).parents[2]
STUDY_FILE = CHECKOUT / "config.yaml"
MOST_RUNS = 10_000  # in an experiment

Problems = dict[str, list[str]]  # line -> names of the affected runs


@dataclass(frozen=True)
class Study:
    """All experiments and runs by name, in the order of config.yaml, and the default images."""

    data: DataSpec
    experiments: Mapping[str, Experiment]
    runs: Mapping[str, RunSpec]

    def find_twins(self) -> dict[tuple[str, int], str]:
        """Return ``{(run, seed): first}`` for the runs that need no training of their own.

        ``first`` is the first run of the study with the same identity and seed; ``run`` differs
        from it in name only.
        """
        first: dict[str, str] = {}
        twins = {}
        for experiment in self.experiments.values():
            for run, seed in experiment.pairs():
                trained = first.setdefault(self.runs[run].hash_identity(seed), run)
                if trained != run:
                    twins[run, seed] = trained
        return twins

    def compare_sizes(self, asked: Study) -> Study:
        """Return this study with the run sizes of ``asked``, the study of config.yaml.

        A run that ``asked`` does not have, such as one of narrower networks, gets the size of the
        first run that ``asked`` has in its experiment.
        """
        experiments = {}
        for name, experiment in self.experiments.items():
            full = asked.experiments[name].sizes if name in asked.experiments else {}
            first = next(iter(full.values()), None)
            sizes = {run: full.get(run, first) or own for run, own in experiment.sizes.items()}
            experiments[name] = replace(experiment, sizes=sizes)
        return replace(self, experiments=experiments)


def load_study(config: Mapping[str, Any], source: str = "config.yaml") -> Study:
    """Expand a configuration into its study.

    Each run is merged from defaults < experiment < grid point < labelled run, then checked.

    Raises:
        ConfigError: with a line for each problem: ``source``, key, value, what is allowed, and the
            number of affected runs.
    """
    if strays := list(find_strays(config.get("experiments"))):
        raise ConfigError(source, strays)
    try:
        entry = StudyEntry.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigError(source, describe_errors(error, list_keys=_list_keys)) from None

    problems: Problems = {}
    data = None
    try:
        data = DataSpec.model_validate(entry.data)
    except ValidationError as error:
        lines = describe_errors(
            error, lambda location: join_path(("data", *location)), lambda _: DataSpec.model_fields
        )
        problems |= {line: [] for line in lines}
    specs = {name: list(_expand_runs(name, entry, problems)) for name in entry.experiments}
    single = entry.study.first_seed_only or ()
    experiments = {
        name: Experiment(
            name=name,
            question=given.question,
            varies=given.varies,
            fixed=given.fixed,
            runs=tuple(spec.name for spec in specs[name]),
            seeds=tuple(given.seeds or entry.seeds),
            sizes={spec.name: spec.size for spec in specs[name]},
            settings=list_settings(given.grid),
            first_seed_only=tuple(spec.name for spec in specs[name] if spec.name in single),
            specs={spec.name: spec for spec in specs[name]},
        )
        for name, given in entry.experiments.items()
    }
    problems |= {line: [] for line in find_clashes(experiments)}
    valid = list(itertools.chain(*specs.values()))
    found = find_wrong_roots(valid, data) if data else ()
    for line, run in itertools.chain(found, find_keywords(valid)):
        problems.setdefault(line, []).append(run)
    planned = entry.study.only or list(experiments)
    if not problems:
        problems |= {line: [] for line in find_unknown_names(entry.study, experiments)}
        problems |= {line: [] for line in check_length(experiments)}
    if problems or data is None:
        lines = [
            f"{line} ({len(runs)} runs, first {runs[0]})" if len(runs) > 1 else line
            for line, runs in problems.items()
        ]
        raise ConfigError(source, lines)
    experiments = {name: experiments[name] for name in experiments if name in planned}
    runs = {spec.name: spec for name in experiments for spec in specs[name]}
    return Study(data, experiments, runs)


def load_experiments() -> list[Experiment]:
    """Return the experiments of this checkout's config.yaml."""
    return list(load_study(read_config(STUDY_FILE), str(STUDY_FILE)).experiments.values())


def _list_keys(section: Location) -> Iterable[str]:
    """Return the allowed keys of a section: of the file, of an experiment or of its run."""
    entries: dict[int, type[Frozen]] = {
        0: StudyEntry,
        1: StudyOptions,
        2: ExperimentEntry,
        4: RunEntry,
    }
    return entries[len(section)].model_fields


def _expand_runs(name: str, entry: StudyEntry, problems: Problems) -> Iterator[RunSpec]:
    """Yield the valid runs of the experiment ``name``; add errors to ``problems``."""
    experiment, path = entry.experiments[name], f"experiments.{name}"
    if not re.fullmatch(EXPERIMENT_NAME, name):
        rule = "a name has only letters, digits, '_' and '-', at most 100"
        problems[f"{path}: {name!r}: {rule}"] = []
        return
    if unknown := list(find_unknown_sections(experiment.grid)):
        rule = "its keys are those of the architecture, training.KEY and data.KEY"
        problems |= {f"{path}.grid.{key}: unknown key of a grid; {rule}": [] for key in unknown}
        return
    size = sum(math.prod(map(len, grid.values())) for grid in experiment.grid or [{}])
    if (number := size * max(1, len(experiment.runs))) > MOST_RUNS:
        problems[f"{path}.grid: gives {number:,} runs; must be at most {MOST_RUNS:,}"] = []
        return
    if len(set(seeds := experiment.seeds or entry.seeds)) < len(seeds):
        where = f"{path}.seeds" if experiment.seeds else "seeds"
        problems[f"{where}: {seeds}: a seed is given twice"] = []
    points, runs = list_points(experiment.grid or [{}]), experiment.runs or {"": RunEntry()}
    for point, (label, run) in itertools.product(points, runs.items()):
        run_path = f"{path}.runs.{label}"
        if not re.fullmatch(RUN_LABEL, label):
            rule = "a label has only letters, digits, '.', '_', '-', at most 99"
            problems[f"{run_path}: {label!r}: {rule}"] = []
            continue
        for section, key in point.settings:
            if key in getattr(run, section):
                problems[f"{run_path}.{section}.{key}: the grid gives it; leave out one"] = []
        # From the innermost to the outermost section; the first with a key takes precedence.
        sections: dict[str, dict[str, Values]] = {
            section: {
                f"{run_path}.{section}": getattr(run, section),
                f"{path}.grid" if section == "architecture" else f"{path}.grid.{section}": (
                    point.sections[section]
                ),
                f"{path}.{section}": getattr(experiment, section),
            }
            for section in SECTIONS
        }
        sections["training"]["training"] = entry.training
        sections["data"]["data"] = entry.data
        sections["model"] = {run_path: {"model": run.model} if run.model else {}, path: {}}
        sections["name"] = {run_path if label else path: {}}
        values: Values = {
            "experiment": name,
            "label": "_".join(filter(None, [label, point.label])),
            "model": run.model or experiment.model,
            **{key: merge_layers(reversed(sections[key].values())) for key in SECTIONS},
        }
        try:
            yield RunSpec.model_validate(values)
        except ValidationError as error:
            for line in _describe_problems(error, values, sections):
                problems.setdefault(line, []).append(_name_run(values))


def _describe_problems(
    error: ValidationError, values: Values, sections: Mapping[str, Mapping[str, Values]]
) -> list[str]:
    """Return a line for each problem of a run, with the path of the section that gives the key."""

    def locate(location: Location) -> str:
        section, *rest = location
        if section == "model":
            rest = ["model"]
        layers = sections[str(section)]
        # A missing key is reported in the outermost section.
        given = (path for path, layer in layers.items() if rest and rest[0] in layer)
        return join_path((next(given, list(layers)[-1]), *rest))

    keys: dict[object, Iterable[str]] = {
        "training": RecipeSpec.model_fields,
        "data": DataSpec.model_fields,
    }
    if values["model"] in MODELS:
        fields = MODELS[values["model"]].architecture.model_fields
        keys["architecture"] = fields.keys() - KEYWORDS
    return describe_errors(error, locate, lambda section: keys[section[0]])


def _name_run(values: Values) -> str:
    """Return the name of a refused run, without its architecture if that was refused."""
    try:
        entry = MODELS[values["model"]]
        architecture = entry.architecture.model_validate(values["architecture"])
    except (KeyError, TypeError, ValidationError):
        return "_".join(filter(None, [values["experiment"], values["label"]]))
    return RunSpec.model_construct(**values | {"architecture": architecture}).name
