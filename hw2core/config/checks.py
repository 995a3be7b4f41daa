"""Checks a study as a whole, after each of its runs has been checked by itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from hw2core.config.fields import KEYWORDS
from hw2core.config.spec import dump_experiments

if TYPE_CHECKING:
    from hw2core.config.images import DataSpec
    from hw2core.config.schema import StudyOptions
    from hw2core.config.spec import Experiment, RunSpec

NEEDED = {"question", "varies", "fixed", "model"}  # by an experiment
LONGEST = 120_000  # bytes of all experiments on a command line; Linux allows 131,072 per argument
IN_CASE = "on macOS and Windows, the same file as"


def find_strays(experiments: object) -> Iterator[str]:
    """Yield a line for experiments without any key that defines one.

    A file that is merged into config.yaml has such if it changes experiments that do not exist.

    Args:
        experiments: as they are given, of any type.
    """
    entries = experiments.items() if isinstance(experiments, Mapping) else ()
    strays = [
        str(name)
        for name, entry in entries
        if isinstance(entry, Mapping) and entry and not entry.keys() & NEEDED
    ]
    if strays:
        yield (
            f"experiments: {', '.join(strays)}: without question, varies, fixed and model; a file "
            "merged into config.yaml can only change experiments that exist"
        )


def find_clashes(experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """Yield a line for every name that two runs, two experiments, or one of each would share.

    Names that differ only in case are the same file on macOS and Windows.
    """
    owner: dict[str, tuple[str, str]] = {}  # run in lower case -> run, and its experiment
    first: dict[str, str] = {}  # experiment in lower case -> experiment
    for name, experiment in experiments.items():
        for run in experiment.runs:
            other, where = owner.setdefault(run.lower(), (run, ""))
            if where and other == run:
                yield (
                    f"experiments.{name}: {run!r}: this run name is made twice (also by "
                    f"experiments.{where}); give the runs labels: runs: {{label: ...}}"
                )
            elif where:
                yield f"experiments.{name}: {run!r}: {IN_CASE} {other!r} of experiments.{where}"
            else:
                owner[run.lower()] = run, name
        if (other := first.setdefault(name.lower(), name)) != name:
            yield f"experiments.{name}: {name!r}: {IN_CASE} {other!r}"
    for name in experiments:
        _, where = owner.get(name.lower(), ("", name))
        if where != name:
            yield f"experiments.{name}: {name!r}: experiments.{where} has a run of this name"


def find_unknown_names(
    options: StudyOptions, experiments: Mapping[str, Experiment]
) -> Iterator[str]:
    """Yield a line for each experiment or run that is selected and does not exist."""
    for name in options.only or ():
        if name not in experiments:
            yield f"study.only: {name!r}: no such experiment; there are {', '.join(experiments)}"
    runs = [run for experiment in experiments.values() for run in experiment.runs]
    for name in options.first_seed_only or ():
        if name not in runs:
            yield f"study.first_seed_only: {name!r}: no such run; the first of them is {runs[0]!r}"


def find_wrong_roots(specs: Iterable[RunSpec], data: DataSpec) -> Iterator[tuple[str, str]]:
    """Yield a line and a run for each relative or other ``root``: each data set is read once."""
    shared = None if data.root is None else str(data.root)
    # Calls with --profile quick or --directory work in other folders.
    relative = shared is not None and not os.path.isabs(os.path.expanduser(shared))  # noqa: PTH111, PTH117
    for spec in specs:
        if relative:
            yield f"data.root: {shared!r}: must be absolute, or start with ~", spec.name
        if spec.data.root != data.root:
            rule = f"must be that of the study, {shared!r}, where each data set is read once"
            path = f"experiments.{spec.experiment}.data.root"
            yield f"{path}: {str(spec.data.root)!r}: {rule}", spec.name


def find_keywords(specs: Iterable[RunSpec]) -> Iterator[tuple[str, str]]:
    """Yield a line and a run for each keyword that only building the network would check."""
    for spec in specs:
        for key in KEYWORDS:
            if value := getattr(spec.architecture, key, None):
                path = f"experiments.{spec.experiment}.architecture.{key}"
                yield f"{path}: {value!r}: only run_experiment takes it; leave it out", spec.name


def check_length(experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """Yield a line if the experiments do not fit on the command line of a job."""
    size = len(shlex.quote(dump_experiments(experiments.values())))
    if size > LONGEST:
        problem = f"names and texts take {size:,} bytes of a command line; at most {LONGEST:,} fit"
        yield f"experiments: {problem}: shorten them, or make two studies"
