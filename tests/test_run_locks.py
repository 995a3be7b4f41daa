"""Tests of the lock of a run, with processes that are killed."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from hw2core import gpu_locks
from hw2core.run_locks import hold_run

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_locks, "FOLDER", tmp_path / "locks")
    return tmp_path


def hold(result, pipe):
    pipe.send(hold_run(result))
    time.sleep(30)


def test_a_run_is_held_until_its_process_ends_however_it_is_named(folder):
    (folder / "results").mkdir()
    (folder / "link").symlink_to(folder / "results")
    jobs = []
    for name in ("results/seed0.json", "results/seed1.json", "link/seed0.json"):
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=hold, args=(folder / name, theirs))
        process.start()
        jobs.append((process, ours))
        if name != "link/seed0.json":
            assert ours.recv() is False
    (first, _), (other, _), (second, answer) = jobs
    assert not answer.poll(0.5)
    first.kill()
    assert answer.recv() is True
    for process in (other, second):
        process.kill()


def test_where_no_lock_can_be_had_training_goes_on(folder, capfd):
    gpu_locks.FOLDER.touch()
    assert hold_run(folder / "seed0.json") is False
    assert "seed0.json: trained without a lock (File exists)" in capfd.readouterr().err
