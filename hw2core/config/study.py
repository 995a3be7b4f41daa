"""Loads config.yaml: the experiments and run specs of a study."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hw2core.config.errors import ConfigError, describe_errors, join_path
from hw2core.config.expansion import Problems, expand_runs
from hw2core.config.experiment import Experiment
from hw2core.config.reading import read_config
from hw2core.config.schema import DataSpec, ExperimentEntry, StudyEntry
from hw2core.config.spec import RunSpec

CHECKOUT = Path(__file__).parents[2]
STUDY_FILE = CHECKOUT / "config.yaml"


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
        return self._twins

    @cached_property
    def _twins(self) -> dict[tuple[str, int], str]:
        first: dict[tuple[str, int], str] = {}
        twins = {}
        texts = {
            run: json.dumps(spec.identity(), sort_keys=True) for run, spec in self.runs.items()
        }
        for run, seed in (pair for e in self.experiments.values() for pair in e.pairs()):
            trained = first.setdefault((texts[run], seed), run)
            if trained != run:
                twins[run, seed] = trained
        return twins


def load_study(config: Mapping[str, Any], source: str = "config.yaml") -> Study:
    """Expand a configuration into its study.

    Each run is merged from defaults < experiment < grid point < labelled run, then checked.

    Raises:
        ConfigError: with one line for everything that is wrong: ``source``, the key, the value,
            what is allowed, and how many runs it is about.
    """
    try:
        entry = StudyEntry.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigError(source, describe_errors(error, allowed=_list_keys(config))) from None

    problems: Problems = {}
    data = None
    try:
        data = DataSpec.model_validate(entry.data)
    except ValidationError as error:
        known = {"": DataSpec.model_fields}
        lines = describe_errors(error, lambda location: join_path(("data", *location)), known)
        problems |= {line: [] for line in lines}
    specs = {name: list(expand_runs(name, entry, problems)) for name in entry.experiments}
    experiments = {
        name: Experiment(
            name=name,
            question=given.question,
            varies=given.varies,
            fixed=given.fixed,
            runs=tuple(spec.name for spec in specs[name]),
            seeds=tuple(given.seeds or entry.seeds),
        )
        for name, given in entry.experiments.items()
    }
    problems |= {line: [] for line in _find_clashes(experiments)}
    if problems or data is None:
        raise ConfigError(source, itertools.starmap(_count_runs, problems.items()))
    runs = {spec.name: spec for spec in itertools.chain(*specs.values())}
    return Study(data, experiments, runs)


def load_experiments() -> list[Experiment]:
    """Return the experiments of this checkout's config.yaml."""
    return list(load_study(read_config(STUDY_FILE), str(STUDY_FILE)).experiments.values())


def _find_clashes(experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """Yield a line for every run name that two runs, or a run and an experiment, would share."""
    owner: dict[str, str] = {}
    for name, experiment in experiments.items():
        for run in experiment.runs:
            if run in owner:
                yield (
                    f"experiments.{name}: {run!r}: this run name is made twice (also by "
                    f"experiments.{owner[run]}); give the runs labels: runs: {{label: ...}}"
                )
            owner.setdefault(run, name)
    for name in experiments:
        if owner.get(name, name) != name:
            yield f"experiments.{name}: {name!r}: experiments.{owner[name]} has a run of this name"


def _list_keys(config: Mapping[str, Any]) -> dict[str, Iterable[str]]:
    """Return the keys that may be given at the top level and in each experiment."""
    names = config.get("experiments")
    names = names if isinstance(names, Mapping) else {}
    return {
        "": StudyEntry.model_fields,
        **{f"experiments.{name}": ExperimentEntry.model_fields for name in names},
    }


def _count_runs(line: str, runs: list[str]) -> str:
    return f"{line} ({len(runs)} runs, first {runs[0]})" if len(runs) > 1 else line
