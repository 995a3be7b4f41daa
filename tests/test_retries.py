"""Tests of how often a run is resubmitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw2core.io import write_text_atomically
from hw2core.retries import Retries
from hw2core.runs import paths

PAIR, OTHER = ("tiny", "0"), ("other", "0")
CHECKPOINT = paths.checkpoint_path(Path(paths.result_path(*PAIR)))
NO_EPOCH = "12:00 no epoch fitted into 60 s; raise runtime\n"

pytestmark = pytest.mark.usefixtures("in_folder")


def log(text: str, pair: tuple[str, str] = PAIR) -> None:
    write_text_atomically(paths.log_path("train", pair[0], f"seed{pair[1]}"), text)


def save(*epochs: int) -> None:
    """Write a checkpoint, and a log of some epochs."""
    write_text_atomically(CHECKPOINT, str(epochs))
    log("".join(f"epoch {epoch}/9  accuracy 5 %  accuracy 5 %  0:20 left\n" for epoch in epochs))


def test_tries_that_got_further_are_not_counted():
    save(7)  # of an earlier call
    retries = Retries([PAIR])
    assert [retries.count([PAIR], 2) for _ in range(3)] == [2, 2, 2]
    for epoch in range(1, 6):
        save(epoch)
        assert retries.count([PAIR], 2) == 2 + epoch
    assert retries.count([PAIR], 2) == 2 + 5
    assert retries.count([], 2) == 2
    save(6)
    assert retries.count([PAIR], 0) == 0  # without retries there are none


def test_tries_that_start_from_the_beginning_are_counted():
    """As on nodes of two kinds, which cannot use each other's checkpoints."""
    retries = Retries([PAIR])
    save(1, 2, 3)
    assert retries.count([PAIR], 2) == 2 + 1
    for _ in range(3):
        save(1, 2, 3)
        assert retries.count([PAIR], 2) == 2 + 1
    save(4)
    assert retries.count([PAIR], 2) == 2 + 2


def test_a_limit_shorter_than_an_epoch_ends_the_tries():
    retries = Retries([PAIR])
    log(f"12:00 resuming\n{NO_EPOCH}")
    assert retries.count([PAIR], 2) == 0
    log(f"{NO_EPOCH}12:01 stopped by a signal\n")
    assert retries.count([PAIR], 2) == 2


@pytest.mark.parametrize("stopped", [PAIR, OTHER])
def test_of_several_runs_in_a_job_one_that_goes_on_is_enough(stopped):
    retries = Retries([PAIR, OTHER])
    log(NO_EPOCH, stopped)
    assert retries.count([PAIR, OTHER], 1) == 0
    save(1)
    assert retries.count([PAIR, OTHER], 1) == 2
