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
from hw2core.runs.schema import Epochs, Layers


class Unfinished(NamedTuple):
    """A run and seed that has a checkpoint and no result: its curves and layers so far."""

    spec: RunSpec
    seed: int
    epochs: Epochs
    layers: Layers | None


def find_unfinished(study: Study, log: logging.Logger) -> list[Unfinished]:
    """Return the runs and seeds of which a checkpoint can be read, in the order of the study.

    A checkpoint of another specification is left out. One that cannot be read is logged.
    """
    found = []
    for experiment in study.experiments.values():
        for run, seed in experiment.pairs():
            result = Path(paths.result_path(run, seed))
            path = paths.checkpoint_path(result)
            if not result.exists() and path.exists():
                try:
                    found += _read_unfinished(path, study.runs[run], seed)
                except Exception as error:  # what is in it may be anything
                    log.warning(make_line(f"{path}: left out: {error or type(error).__name__}"))
    return found


def _read_unfinished(path: Path, spec: RunSpec, seed: int) -> list[Unfinished]:
    """Return the run and seed of a checkpoint, or nothing if it is of another specification."""
    from hw2core.runs.checkpoint import read_state  # imports torch

    state = read_state(path)
    if state["identity"]["spec_hash"] != spec.hash_identity(seed):
        return []
    history = History()
    for train, validation in zip(state["train"], state["test"], strict=True):
        history.add(EpochResult(*train), EpochResult(*validation))
    layers = Layers.model_validate(state["layers"]) if state["layers"] else None
    return [Unfinished(spec, seed, Epochs.of(history.summarize()), layers)]
