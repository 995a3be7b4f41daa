"""Reads the epochs so far of runs that have no result yet, from their checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from hw2core.config.spec import RunSpec
from hw2core.config.study import Study
from hw2core.errors import make_line
from hw2core.history import EpochResult, History
from hw2core.runs import paths
from hw2core.runs.checkpoint_head import Head
from hw2core.runs.schema import Epochs, Layers
from hw2core.runs.staleness import Identity


class Unfinished(NamedTuple):
    """A run and seed that has a checkpoint and no result: its curves and layers so far."""

    spec: RunSpec
    seed: int
    epochs: Epochs
    layers: Layers | None


def find_unfinished(study: Study, log: logging.Logger) -> list[Unfinished]:
    """Return the runs and seeds of which a checkpoint can be read, in the order of the study.

    The log says which checkpoints are left out: those of another run, from which training would
    not resume, and those that cannot be read.
    """
    found = []
    for experiment in study.experiments.values():
        for run, seed in experiment.pairs():
            result = Path(paths.result_path(run, seed))
            path = paths.checkpoint_path(result)
            if not result.exists() and path.exists():
                try:
                    found.append(_read_unfinished(path, study.runs[run], seed))
                except Exception as error:  # what is in it may be anything
                    log.warning(make_line(f"{path}: left out: {error or type(error).__name__}"))
    return found


def _read_unfinished(path: Path, spec: RunSpec, seed: int) -> Unfinished:
    """Return the run and seed of a checkpoint.

    Raises:
        ValueError: it is of another run.
    """
    from hw2core.runs.checkpoint import read_state  # imports torch

    state = read_state(path)
    head = Head(state["identity"], {})
    if reason := head.find_difference(Identity.of(spec, seed).describe(), {}):
        raise ValueError(reason)
    history = History()
    for train, validation in zip(state["train"], state["test"], strict=True):
        history.add(EpochResult(*train), EpochResult(*validation))
    layers = Layers.model_validate(state["layers"]) if state["layers"] else None
    return Unfinished(spec, seed, Epochs.of(history.summarize()), layers)
