"""Shows the progress of a study on the terminal, instead of Snakemake's lines for each job."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from hw2core.config.study import Study
from hw2core.gpu_share import estimate_gpu_percent
from hw2core.gpus import find_gpus, measure_gpu_memory
from hw2core.runs.durations import ONE_BY_ONE, Estimator, find_device, read_finished
from hw2core.runs.environment import count_allotted_threads
from hw2core.runs.states import Reporter, RunState, summarize

THREADS = 2  # of a training, unless a finished one had others: rules/train.smk
SECONDS_BETWEEN_LINES = 10.0
# Of Snakemake: its events, by their names, and the beginnings of lines that are none.
EVENTS = {"WORKFLOW_STARTED", "RUN_INFO", "RESOURCES_INFO", "PROGRESS"} | {
    f"{kind}_{what}" for kind in ("JOB", "GROUP") for what in ("INFO", "STARTED", "FINISHED")
}
LINES = (
    "Assuming unrestricted",
    "Building DAG",
    "Using shell",
    "Select jobs",
    "Execute ",
    "Group jobs",
)


def look(study: Study, pairs: list[tuple[str, int]], *, full: bool) -> tuple[list[RunState], str]:
    """Return the state of each run and seed, and a line on all of them with the time left.

    ``full``: give all the reasons of a stale run.
    """
    results = read_finished(study)
    gpus, on_cluster = find_gpus(), Path("logs/slurm").exists()
    memory = measure_gpu_memory(gpus)
    device = find_device(has_gpu=bool(gpus) or on_cluster)
    found = [r.environment.threads for r in results.values() if device.made(r)]
    threads = max(found, key=found.count) if found else THREADS
    shares_gpu = bool(gpus) and not on_cluster
    estimator = Estimator(results.values(), device, threads, shares_gpu=shares_gpu)

    def share(run: str) -> float:
        if on_cluster:
            return 1.0
        if memory:
            return estimate_gpu_percent(study.runs[run], memory) / 100 / len(gpus)
        return min(1.0, threads / count_allotted_threads())

    states = Reporter(study, results, estimator, full=full).report(pairs)
    return states, summarize(
        states, estimator, share, f"{device}, {ONE_BY_ONE}" if on_cluster else ""
    )


class Terminal(logging.Filter):
    """Hides Snakemake's lines for each job on the terminal; its log file has them.

    After a job it logs a line on the planned runs instead, at most every 10 seconds. Warnings,
    errors and the logs of failed jobs are shown.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        self._study = study
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES
        self.planned: list[tuple[str, int]] = []  # runs that this call trains, with their seeds

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show a record."""
        event = getattr(getattr(record, "event", None), "name", "")
        if event == "PROGRESS" and self.planned and time.monotonic() >= self._next:
            try:
                logging.getLogger(record.name).info(look(self._study, self.planned, full=False)[1])
            except Exception as error:  # such as code that is being edited: the study continues
                logging.getLogger(record.name).warning(str(error))
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
        if record.levelno > logging.INFO:
            return True
        return event not in EVENTS and not str(record.msg).startswith(LINES)
