"""Tests of how often a run is resubmitted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hw2core.io import write_text_atomically
from hw2core.retries import Retries
from hw2core.runs import paths

TASK, OTHER = ("train", "tiny", "0"), ("train", "other", "0")
EVALUATION = ("evaluate", "tiny", "0")
CHECKPOINT = paths.checkpoint_path(Path(paths.result_path("tiny", "0")))
NO_EPOCH = "12:00 no epoch fitted into 60 s; raise runtime\n"

pytestmark = pytest.mark.usefixtures("in_folder")


def log(text: str, task: tuple[str, str, str] = TASK) -> None:
    rule, run, seed = task
    write_text_atomically(paths.log_path(rule, run, f"seed{seed}"), text)


def save(*epochs: int) -> None:
    """Write a checkpoint, and a log of some epochs."""
    write_text_atomically(CHECKPOINT, str(epochs))
    log("".join(f"epoch {epoch}/9  accuracy 5 %  accuracy 5 %  0:20 left\n" for epoch in epochs))


def test_tries_that_got_further_are_not_counted():
    save(7)  # of an earlier call
    retries = Retries([TASK])
    assert [retries.count([TASK], 2) for _ in range(3)] == [2, 2, 2]
    for epoch in range(1, 6):
        save(epoch)
        assert retries.count([TASK], 2) == 2 + epoch
    assert retries.count([TASK], 2) == 2 + 5
    assert retries.count([], 2) == 2
    save(6)
    assert retries.count([TASK], 0) == 0  # without retries there are none


def test_tries_that_start_from_the_beginning_are_counted():
    """As on nodes of two kinds, which cannot use each other's checkpoints."""
    retries = Retries([TASK])
    save(1, 2, 3)
    assert retries.count([TASK], 2) == 2 + 1
    for _ in range(3):
        save(1, 2, 3)
        assert retries.count([TASK], 2) == 2 + 1
    save(4)
    assert retries.count([TASK], 2) == 2 + 2


def test_a_limit_shorter_than_an_epoch_ends_the_tries():
    retries = Retries([TASK])
    log(f"12:00 resuming\n{NO_EPOCH}")
    assert retries.count([TASK], 2) == 0
    log(f"{NO_EPOCH}12:01 stopped by a signal\n")
    assert retries.count([TASK], 2) == 2


@pytest.mark.parametrize(
    "reason", [NO_EPOCH, "12:00 job 7: PartitionTimeLimit: it never starts; change runtime\n"]
)
def test_an_old_log_does_not_end_the_tries(reason):
    log(reason)
    retries = Retries([TASK, OTHER])
    assert retries.count([TASK], 2) == 2  # cancelled while it waited
    log(reason, OTHER)
    save(1)
    assert retries.count([TASK, OTHER], 2) == 2 + 1
    assert retries.count([TASK, OTHER], 2) == 2 + 1
    log(reason)
    assert retries.count([TASK, OTHER], 2) == 0


def test_tries_that_finished_a_run_are_not_counted():
    """As short runs in one job, stopped before the next one has saved an epoch."""
    tasks = [TASK, OTHER, EVALUATION]
    results = [paths.result_path("tiny", "0"), paths.result_path("other", "0")]
    results.append(paths.evaluation_path("tiny", "0"))
    write_text_atomically(results[0], "stale")
    retries = Retries(tasks)
    write_text_atomically(results[0], "stale")  # restored by Snakemake
    assert retries.count(tasks, 2) == 2
    for number, path in enumerate(results, start=1):
        write_text_atomically(path, "finished")
        assert retries.count(tasks, 2) == 2 + number
        assert retries.count(tasks, 2) == 2 + number
    write_text_atomically(results[0], "finished again")
    assert retries.count(tasks, 2) == 2 + 3


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_bytes(b"12:00 r\xf6sti")])
def test_a_log_with_strange_content_says_nothing(make):
    path = Path(paths.log_path("train", "tiny", "seed0"))
    path.parent.mkdir(parents=True)
    make(path)
    assert Retries([TASK]).count([TASK], 2) == 2


@pytest.mark.parametrize("stopped", [TASK, OTHER])
def test_of_several_runs_in_a_job_one_that_goes_on_is_enough(stopped):
    retries = Retries([TASK, OTHER])
    log(NO_EPOCH, stopped)
    assert retries.count([TASK, OTHER], 1) == 0
    save(1)
    assert retries.count([TASK, OTHER], 1) == 2
