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


def test_tries_that_wrote_a_checkpoint_are_not_counted():
    write_text_atomically(CHECKPOINT, "of an earlier call")
    retries = Retries([PAIR])
    assert [retries.count([PAIR], 2) for _ in range(3)] == [2, 2, 2]
    for epoch in range(1, 6):
        write_text_atomically(CHECKPOINT, str(epoch))
        assert retries.count([PAIR], 2) == 2 + epoch
    assert retries.count([PAIR], 2) == 2 + 5
    assert retries.count([], 2) == 2
    write_text_atomically(CHECKPOINT, "6")
    assert retries.count([PAIR], 0) == 0  # without retries there are none


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
    write_text_atomically(CHECKPOINT, "1")
    assert retries.count([PAIR, OTHER], 1) == 2
