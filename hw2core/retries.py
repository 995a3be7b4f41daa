"""Decides how often Snakemake resubmits a run that was stopped or failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from hw2core.runs.log import NO_EPOCH
from hw2core.runs.paths import checkpoint_path, log_path, result_path

Pair = tuple[str, str]  # run and seed


class Retries:
    """Counts the attempts of each job that finished an epoch; these do not use up retries.

    Args:
        pairs: the runs and seeds that are to be trained.
    """

    def __init__(self, pairs: Collection[Pair]) -> None:
        self._checkpoints = {pair: _identify_checkpoint(pair) for pair in pairs}
        self._fruitful: Counter[frozenset[Pair]] = Counter()

    def count(self, pairs: Collection[Pair], retries: int) -> int:
        """Return how often a job that trains ``pairs``, and just failed, may be resubmitted.

        That is ``retries`` times, not counting attempts that finished an epoch. It is 0 if the time
        limit is shorter than an epoch, because a retry would not help.
        """
        found = {pair: _identify_checkpoint(pair) for pair in pairs}
        changed = any(found[pair] != self._checkpoints.get(pair) for pair in pairs)
        self._checkpoints |= found
        if changed:
            self._fruitful[frozenset(pairs)] += 1
        elif any(NO_EPOCH in _read_last_line(pair) for pair in pairs):
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


def _read_last_line(pair: Pair) -> str:
    """Return the last line of the log of a run; an empty string if there is none."""
    run, seed = pair
    try:
        log = Path(log_path("train", run, f"seed{seed}")).read_text(encoding="utf-8")
    except OSError:
        return ""
    return log.rstrip().rpartition("\n")[2]
