"""Decides how often Snakemake resubmits a run that was stopped or failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from hw2core.runs.log import NEVER_STARTS, NO_EPOCH, parse_epoch
from hw2core.runs.paths import checkpoint_path, log_path, result_path

HOPELESS = (NO_EPOCH, NEVER_STARTS)
Pair = tuple[str, str]  # run and seed


class Retries:
    """Counts the attempts of each job that got further than any before; these use up no retries.

    Args:
        pairs: the runs and seeds that are to be trained.
    """

    def __init__(self, pairs: Collection[Pair]) -> None:
        self._checkpoints = {pair: _identify_checkpoint(pair) for pair in pairs}
        self._epochs: dict[Pair, int] = {}  # the last epoch of the attempts so far
        self._fruitful: Counter[frozenset[Pair]] = Counter()

    def count(self, pairs: Collection[Pair], retries: int) -> int:
        """Return how often a job that trains ``pairs``, and just failed, may be resubmitted.

        That is ``retries`` times, not counting attempts that saved an epoch which none before them
        had reached: on a node whose setting differs, a run starts from the beginning. It is 0 if
        a retry would not help: the time limit is shorter than an epoch, or Slurm would never start
        the job.
        """
        saved = {pair: _identify_checkpoint(pair) for pair in pairs}
        lines = {pair: _read_log(pair) for pair in pairs}
        reached = {
            pair: max((x.epoch for line in lines[pair] if (x := parse_epoch(line))), default=0)
            for pair in pairs
            if saved[pair] != self._checkpoints.get(pair)
        }
        further = {pair: n for pair, n in reached.items() if n > self._epochs.get(pair, 0)}
        self._checkpoints |= saved
        self._epochs |= further
        if further:
            self._fruitful[frozenset(pairs)] += 1
        elif any(text in line for pair in pairs for line in lines[pair][-1:] for text in HOPELESS):
            return 0
        return retries and retries + self._fruitful[frozenset(pairs)]


def _identify_checkpoint(pair: Pair) -> tuple[int, int] | None:
    """Return values that identify the checkpoint file of a run; None if there is none."""
    try:
        # Opened, because a network file system may return an outdated status.
        with checkpoint_path(Path(result_path(*pair))).open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read_log(pair: Pair) -> list[str]:
    """Return the lines of the log of a run; none if there is no log."""
    run, seed = pair
    try:
        log = Path(log_path("train", run, f"seed{seed}")).read_text(encoding="utf-8")
    except OSError:
        return []
    return log.rstrip().splitlines()
