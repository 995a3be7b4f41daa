"""Reports the state of every run of a study, from its files, its log and local processes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from hw2core.config.spec import RunSpec
from hw2core.config.study import Study
from hw2core.errors import make_line
from hw2core.runs import paths
from hw2core.runs.checkpoint_head import explain_unused
from hw2core.runs.durations import Estimator, format_seconds
from hw2core.runs.files import read_run
from hw2core.runs.log import parse_epoch, read_log
from hw2core.runs.schema import Result
from hw2core.runs.staleness import explain_evaluation, explain_result

# The order in which --watch shows them.
RUNNING, FAILED, INTERRUPTED = "running", "failed", "interrupted"
STALE, MISSING, UNEVALUATED, CURRENT = "stale", "not trained", "to evaluate", "current"
STATES = (RUNNING, FAILED, INTERRUPTED, STALE, MISSING, UNEVALUATED, CURRENT)

MOST_REASONS = 2  # shown per run in a list of all runs
# A run that logged one of these lines last has not ended; any other last line reports its end.
PROGRESS = re.compile(
    r"epoch +\d|resuming after|[^:]*, threads \d|\S+: not used: |no checkpoint|.*; starting"
    "|waiting for a GPU"
)
STOPPED = "stopped by a signal"
# A run without a new line for the time of this many epochs and a minute counts as gone.
SILENT_EPOCHS = 3
SILENT_SECONDS = 60


class RunState(NamedTuple):
    """The state of a run and seed (one of ``STATES``), details, and the time left."""

    run: str
    seed: int
    state: str
    detail: str
    seconds_left: float = 0.0


class Log(NamedTuple):
    """The log of a job."""

    path: str
    lines: list[str]  # without their times
    changed: float  # last change of the log or the checkpoint, as ``time.time``


class Reporter:
    """Decides the states of the runs of ``study`` in this folder.

    Args:
        results: the existing results, by run and seed.
        estimator: estimates the time that a run takes.
        full: report all reasons why a run is stale, not just the first few.
    """

    def __init__(
        self,
        study: Study,
        results: dict[tuple[str, int], Result],
        estimator: Estimator,
        *,
        full: bool = False,
    ) -> None:
        self._study = study
        self._results = results
        self._estimator = estimator
        self._full = full
        self._twins = study.find_twins()

    def report(self, pairs: Iterable[tuple[str, int]]) -> list[RunState]:
        """Return the state of each run and seed, in their order."""
        trained_here = set(find_trained_here())
        return [self._describe(run, seed, trained_here) for run, seed in pairs]

    def _describe(self, run: str, seed: int, trained_here: set[str]) -> RunState:
        spec = self._study.runs[run]
        reasons = explain_result(spec, seed)
        if not reasons:
            return self._describe_result(spec, seed)
        seconds = self._estimator.estimate(spec)
        here = paths.result_path(run, seed) in trained_here
        if log := find_log("train", run, seed):
            if found := describe_training(spec, seed, log, seconds, here=here):
                unused = found.state == INTERRUPTED and explain_unused(spec, seed)
                if unused:
                    detail = f"{found.detail}; not resumed: {unused}"
                    return found._replace(detail=detail, seconds_left=seconds)
                return found
        elif here:
            return RunState(run, seed, RUNNING, "starting", seconds)
        twin = self._twins.get((run, seed))
        shared = f"gets the result of {twin}" if twin else ""
        if Path(paths.result_path(run, seed)).exists():
            detail = "; ".join(filter(None, [self._join(reasons), shared]))
            return RunState(run, seed, STALE, detail, 0 if twin else seconds)
        if twin:
            return RunState(run, seed, MISSING, shared)
        return RunState(run, seed, MISSING, f"about {format_seconds(seconds)}", seconds)

    def _describe_result(self, spec: RunSpec, seed: int) -> RunState:
        """Return the state of a run whose result is current."""
        run = spec.name
        if reasons := explain_evaluation(spec, seed):
            log = find_log("evaluate", run, seed)
            ends = paths.evaluation_path(run, seed), STOPPED
            if log and log.lines and not log.lines[-1].endswith(ends):
                return RunState(run, seed, FAILED, make_line(f"{log.path}: {log.lines[-1]}"))
            return RunState(run, seed, UNEVALUATED, self._join(reasons))
        result = self._results.get((run, seed)) or read_run(run, seed)  # trained a moment ago
        accuracy = f"test accuracy {result.test.accuracy:.1f} %" if result.test else ""
        twin = f", the result of {result.same_as}" if result.same_as else ""
        return RunState(run, seed, CURRENT, f"{accuracy}{twin}")

    def _join(self, reasons: list[str]) -> str:
        shown = reasons if self._full else reasons[:MOST_REASONS]
        more = len(reasons) - len(shown)
        return "; ".join(shown) + (f"; and {more} more" if more else "")


def describe_training(
    spec: RunSpec, seed: int, log: Log, expected: float, *, here: bool
) -> RunState | None:
    """Return the state of a run without a current result, from its log.

    Args:
        expected: seconds of the whole run.
        here: whether a process of this machine trains it.

    Returns:
        None if the log only says that training was completed.
    """
    epochs = [epoch for line in log.lines if (epoch := parse_epoch(line))]
    last = epochs[-1] if epochs else None
    left, per_epoch = expected, expected / spec.training.epochs
    progress = f"epoch 0/{spec.training.epochs}"
    if last:
        left = float(last.seconds_left)
        if last.epoch < last.num_epochs:
            per_epoch = left / (last.num_epochs - last.epoch)
        progress = (
            f"epoch {last.epoch}/{last.num_epochs}, validation accuracy {last.accuracy:.1f} %"
        )
    silent = time.time() - log.changed
    goes_on = PROGRESS.match(log.lines[-1]) if log.lines else here
    if here or (goes_on and silent < SILENT_EPOCHS * per_epoch + SILENT_SECONDS):
        left = max(0.0, left - silent)
        # Processes on other machines are invisible: the run is on a cluster, or was just killed.
        where = "" if here else " (not on this machine)"
        detail = f"{progress}, {format_seconds(left)} left{where}"
        return RunState(spec.name, seed, RUNNING, detail, left)
    end = log.lines[-1] if log.lines else ""
    if end.endswith(f"-> {paths.result_path(spec.name, seed)}"):
        return None
    if goes_on or STOPPED in end or not log.lines:
        done = epochs[-1].epoch / epochs[-1].num_epochs if epochs else 0.0
        return RunState(spec.name, seed, INTERRUPTED, progress, expected * (1 - done))
    return RunState(spec.name, seed, FAILED, make_line(f"{log.path}: {end}"), expected)


def find_log(rule: str, run: str, seed: int) -> Log | None:
    """Return the log of a job of the rule if it is newer than the result of the run."""
    path = paths.log_path(rule, run, f"seed{seed}")
    result = Path(paths.result_path(run, seed))
    try:
        text, status = read_log(path)
    except OSError:
        return None
    changed = status.st_mtime
    with suppress(OSError):
        if result.stat().st_mtime >= changed:
            return None
    with suppress(OSError):
        changed = max(changed, paths.checkpoint_path(result).stat().st_mtime)
    # Each line begins with date and time, except in a traceback.
    lines = [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in text.splitlines()]
    return Log(path, [line for line in lines if line.strip()], changed)


def find_trained_here() -> Iterator[str]:
    """Yield the results that processes on this machine are training in this folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            command = process.cmdline()
            trains = "--result" in command[:-1] and any(c.endswith("train.py") for c in command)
            if trains and Path(process.cwd()).samefile("."):
                yield command[command.index("--result") + 1]


def summarize(
    states: list[RunState], estimator: Estimator, share: Callable[[str], float], where: str = ""
) -> str:
    """Return one line: how many runs are in each state, and about how long the rest takes.

    Args:
        share: returns the share of the machine that a run needs.
        where: see ``Estimator.describe``.
    """
    counts = Counter(state.state for state in states)
    total = ", ".join(f"{counts[state]} {state}" for state in reversed(STATES) if counts[state])
    left = [(state.seconds_left, share(state.run)) for state in states if state.seconds_left]
    time_left = f"; left: {estimator.describe(left, where)}" if left else ""
    return f"{len(states)} run{'s'[: len(states) != 1]}: {total}{time_left}"
