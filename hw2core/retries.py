"""Decides how often Snakemake submits a training again that was stopped or failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from hw2core.runs.log import NO_EPOCH
from hw2core.runs.paths import checkpoint_path, log_path, result_path

Pair = tuple[str, str]  # run and seed


class Retries:
    """Counts the tries of each job that finished an epoch: they are not counted as retries.

    Args:
        pairs: the runs and seeds that are to be trained.
    """

    def __init__(self, pairs: Collection[Pair]) -> None:
        self._checkpoints = {pair: _identify_checkpoint(pair) for pair in pairs}
        self._fruitful: Counter[frozenset[Pair]] = Counter()

    def count(self, pairs: Collection[Pair], retries: int) -> int:
        """Return how often a job that trains ``pairs``, and just failed, may be submitted again.

        That is ``retries`` times, not counting tries that finished an epoch. It is 0 when the time
        limit is shorter than an epoch, which no retry changes.
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
    """Return what differs between two checkpoints of a run; None where there is none."""
    try:
        # Opened: of a file on another machine, the status alone may be an old one.
        with checkpoint_path(Path(result_path(*pair))).open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read_last_line(pair: Pair) -> str:
    """Return the last line of a training's log; nothing where there is none."""
    run, seed = pair
    try:
        log = Path(log_path("train", run, f"seed{seed}")).read_text(encoding="utf-8")
    except OSError:
        return ""
    return log.rstrip().rpartition("\n")[2]
