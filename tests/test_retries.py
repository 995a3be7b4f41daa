"""Tests of how often a run is resubmitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw2core.io import write_text_atomically
from hw2core.retries import Retries
from hw2core.runs import paths

PAIR = ("tiny", "0")
CHECKPOINT = paths.checkpoint_path(Path(paths.result_path(*PAIR)))


def log(text: str, pair: tuple[str, str] = PAIR) -> None:
    write_text_atomically(paths.log_path("train", pair[0], f"seed{pair[1]}"), text)


def test_a_training_that_fails_is_tried_as_often_as_asked(in_folder):
    retries = Retries([PAIR])
    assert [retries.count([PAIR], 2) for _ in range(4)] == [2, 2, 2, 2]
    assert retries.count([], 2) == 2


def test_tries_that_wrote_a_checkpoint_are_not_counted(in_folder):
    write_text_atomically(CHECKPOINT, "of an earlier call")
    retries = Retries([PAIR])
    assert retries.count([PAIR], 2) == 2
    for epoch in range(1, 6):
        write_text_atomically(CHECKPOINT, str(epoch))
        assert retries.count([PAIR], 2) == 2 + epoch
    assert retries.count([PAIR], 2) == 2 + 5


def test_without_retries_there_are_none(in_folder):
    retries = Retries([PAIR])
    write_text_atomically(CHECKPOINT, "1")
    assert retries.count([PAIR], 0) == 0


def test_a_limit_shorter_than_an_epoch_ends_the_tries(in_folder):
    retries = Retries([PAIR])
    log("12:00 resuming\n12:01 no epoch fitted into 60 s; raise runtime\n")
    assert retries.count([PAIR], 2) == 0
    log("12:00 no epoch fitted into 60 s; raise runtime\n12:01 stopped by a signal\n")
    assert retries.count([PAIR], 2) == 2


@pytest.mark.parametrize("stopped", [0, 1])
def test_of_several_runs_in_a_job_one_that_goes_on_is_enough(in_folder, stopped):
    pairs = [PAIR, ("other", "0")]
    retries = Retries(pairs)
    log("no epoch fitted into 60 s; raise runtime", pairs[stopped])
    assert retries.count(pairs, 1) == 0
    write_text_atomically(CHECKPOINT, "1")
    assert retries.count(pairs, 1) == 2
