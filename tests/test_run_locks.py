"""Tests of the lock of a run, with processes that are killed."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from hw2core import gpu_locks
from hw2core.run_locks import FILE, hold_run

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_locks, "FOLDER", tmp_path / "locks")
    return tmp_path


def hold(result, pipe):
    pipe.send(hold_run(result))
    time.sleep(30)


def start_holding(result):
    """Start a process that holds the run; return it and the end of its pipe."""
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=hold, args=(result, theirs))
    process.start()
    return process, ours


def test_a_run_is_held_until_its_process_ends_however_it_is_named(folder):
    (folder / "results").mkdir()
    (folder / "link").symlink_to(folder / "results")
    jobs = []
    for name in ("results/seed0.json", "results/seed1.json", "link/seed0.json"):
        jobs.append(start_holding(folder / name))
        if name != "link/seed0.json":
            assert jobs[-1][1].recv() is False
    (first, _), (other, _), (second, answer) = jobs
    assert not answer.poll(0.5)
    first.kill()
    assert answer.recv() is True
    for process in (other, second):
        process.kill()


def test_a_lock_that_is_deleted_while_a_process_waits_for_it_is_taken_again(folder):
    """As a cleaner of /tmp deletes it."""
    first, answer = start_holding(folder / "seed0.json")
    assert answer.recv() is False
    second, waiting = start_holding(folder / "seed0.json")
    assert not waiting.poll(0.5)
    (gpu_locks.FOLDER / FILE).unlink()
    third, answer = start_holding(folder / "seed0.json")
    assert answer.recv() is False
    first.kill()
    assert not waiting.poll(0.5), "two processes hold the run"
    third.kill()
    assert waiting.recv() is True
    second.kill()


def test_where_no_lock_can_be_had_training_goes_on(folder, capfd):
    gpu_locks.FOLDER.touch()
    assert hold_run(folder / "seed0.json") is False
    assert "seed0.json: trained without a lock (File exists)" in capfd.readouterr().err
