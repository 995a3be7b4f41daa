"""Decides how often Snakemake resubmits a job that was stopped or failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from hw2core.io import hash_file
from hw2core.runs.log import NEVER_STARTS, NO_EPOCH, parse_epoch, read_log
from hw2core.runs.paths import checkpoint_path, evaluation_path, log_path, result_path

HOPELESS = (NO_EPOCH, NEVER_STARTS)
OUTPUTS = {"train": result_path, "evaluate": evaluation_path}  # by rule
Task = tuple[str, str, str]  # rule, run and seed; a job on a cluster does one or several
Identity = tuple[int, int, int]  # of a file


class Retries:
    """Counts the attempts of each job that got further than any before; these use up no retries.

    Args:
        tasks: all that are to be done.
    """

    def __init__(self, tasks: Collection[Task]) -> None:
        self._checkpoints = {task: _identify_checkpoint(task) for task in tasks}
        self._logs = {task: _read_log(task)[0] for task in tasks}
        self._outputs = {task: _hash_output(task) for task in tasks}
        self._epochs: dict[Task, int] = {}  # the last epoch of the attempts so far
        self._finished: set[Task] = set()
        self._fruitful: Counter[frozenset[Task]] = Counter()

    def count(self, tasks: Collection[Task], retries: int) -> int:
        """Return how often a job that does ``tasks``, and just failed, may be resubmitted.

        That is ``retries`` times, not counting attempts that finished a task, or saved an epoch
        which none before them had reached: on a node whose setting differs, a run starts from the
        beginning. It is 0 if the job logged that a retry would not help: the time limit is shorter
        than an epoch, or Slurm would never start the job.
        """
        saved = {task: _identify_checkpoint(task) for task in tasks}
        logs = {task: _read_log(task) for task in tasks}
        # By this attempt: one that was cancelled while it waited leaves an older log as it is.
        written = {
            task: lines for task, (log, lines) in logs.items() if log != self._logs.get(task)
        }
        reached = {
            task: max((x.epoch for line in lines if (x := parse_epoch(line))), default=0)
            for task, lines in written.items()
            if saved[task] != self._checkpoints.get(task)
        }
        further = {task: n for task, n in reached.items() if n > self._epochs.get(task, 0)}
        # Each counts once, whatever Snakemake then does with the files of a failed job.
        done = {task for task in tasks if _hash_output(task) not in ("", self._outputs.get(task))}
        if further or done - self._finished:
            self._fruitful[frozenset(tasks)] += 1
        elif any(
            text in line for lines in written.values() for line in lines[-1:] for text in HOPELESS
        ):
            return 0
        self._checkpoints |= saved
        self._logs |= {task: log for task, (log, _) in logs.items()}
        self._epochs |= further
        self._finished |= done
        return retries and retries + self._fruitful[frozenset(tasks)]


def _identify_checkpoint(task: Task) -> Identity | None:
    """Return values that identify the checkpoint file of a run; None if there is none."""
    try:
        # Opened, because a network file system may return an outdated status.
        with checkpoint_path(Path(result_path(*task[1:]))).open("rb") as file:
            return _identify(os.fstat(file.fileno()))
    except OSError:
        return None


def _read_log(task: Task) -> tuple[Identity | None, list[str]]:
    """Return values that identify the log of a task, and its lines; none if there is no log."""
    rule, run, seed = task
    try:
        text, status = read_log(log_path(rule, run, f"seed{seed}"))
    except OSError:
        return None, []
    return _identify(status), text.rstrip().splitlines()


def _identify(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _hash_output(task: Task) -> str:
    """Return the hash of what a task writes, the same for a copy; empty if there is none."""
    rule, run, seed = task
    try:
        return hash_file(OUTPUTS[rule](run, seed))
    except OSError:
        return ""
