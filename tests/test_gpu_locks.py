"""Processes share GPUs that an nvidia-smi of these tests lists; some of them are killed."""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import multiprocessing.connection
import os
import random
import stat
import time

import pytest

from hw2core import gpu_locks, gpus

FORK = multiprocessing.get_context("fork")
LONGEST_IDLE = 1.0  # seconds: looking for room takes much less, but others use this machine too


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for variable in (gpus.DEVICE, gpus.VISIBLE, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(gpus.platform, "system", lambda: "Linux")
    monkeypatch.setattr(gpu_locks, "FOLDER", tmp_path / "locks")
    monkeypatch.setattr(gpu_locks, "SECONDS_BETWEEN_TRIES", 0.01)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def list_gpus(folder, *names):
    script = folder / "nvidia-smi"
    lines = [f"echo '{name}, 81559, Disabled'\n" for name in names]
    script.write_text("".join(["#!/bin/sh\n", *lines]))
    script.chmod(0o755)


def hold_gpu(percent, seconds, pipe):
    """A job: it says when it has a GPU, and when it is about to end."""
    waited = time.monotonic()
    gpu_locks.take_gpu(percent, logging.getLogger("job"))
    pipe.send((os.environ.get(gpus.VISIBLE), waited, time.monotonic()))
    time.sleep(seconds)
    pipe.send(time.monotonic())


class Job:
    """A process of ``hold_gpu``; when it waited and held a GPU, in seconds."""

    def __init__(self, percent, seconds):
        self.gpu, self.percent = None, percent
        self.pipe, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=hold_gpu, args=(percent, seconds, theirs))
        self.process.start()
        theirs.close()

    def wait_for_gpu(self):
        assert self.pipe.poll(30), "no GPU within 30 seconds"
        self.gpu, self.waited, self.start = self.pipe.recv()
        return self.gpu

    def kill(self):
        """End the job in a way that it cannot notice."""
        self.end = time.monotonic()
        self.process.kill()
        self.process.join()

    def finish(self):
        self.end = self.pipe.recv()
        self.process.join()


def run_jobs(percents, choose):
    """Let jobs come at once; every fifth is killed as soon as it has a GPU."""
    jobs = [
        Job(percent, choose.uniform(0.02, 0.1) if k % 5 else 3600)
        for k, percent in enumerate(percents)
    ]
    left = {job.pipe: job for job in jobs}
    while left:
        for pipe in multiprocessing.connection.wait(left, timeout=30):
            job = left[pipe]
            if job.gpu is not None:
                job.finish()
                del left[pipe]
            elif job.wait_for_gpu() and job in jobs[::5]:
                job.kill()
                del left[pipe]
    return jobs


@pytest.mark.parametrize("number", [1, 2, 4])
def test_forty_jobs_keep_every_gpu_busy_and_none_overfull(folder, number):
    names = [f"GPU-{k}" for k in range(number)]
    list_gpus(folder, *names)
    choose = random.Random(number)
    jobs = run_jobs([choose.choice([10, 15, 34, 50, 60, 100]) for _ in range(40)], choose)
    for name in names:
        changes = sorted(
            change
            for job in jobs
            if job.gpu == name
            for change in ((job.start, job.percent), (job.end, -job.percent))
        )
        held, since = 0, min(job.waited for job in jobs)
        for moment, change in changes:
            waiting = [job for job in jobs if job.waited <= since and job.start > moment]
            assert held or not waiting or moment - since < LONGEST_IDLE, f"{name} was idle"
            held, since = held + change, moment
            assert 0 <= held <= 100, f"{name} at {held} %"
    for name in names:
        assert gpu_locks.lock_share([name], 100) == name, "left locked"


def test_a_job_takes_the_gpu_with_the_most_room(folder):
    list_gpus(folder, "GPU-a", "GPU-b")
    jobs = []
    for percent, expected in ((60, "GPU-a"), (50, "GPU-b"), (50, "GPU-b"), (40, "GPU-a")):
        jobs.append(Job(percent, 30))
        assert jobs[-1].wait_for_gpu() == expected
    assert stat.S_IMODE(gpu_locks.FOLDER.stat().st_mode) == 0o700  # not for other users
    waiting = Job(10, 0)
    assert not waiting.pipe.poll(0.2)
    jobs[1].kill()
    assert waiting.wait_for_gpu() == "GPU-b"
    for job in jobs:
        job.kill()


def test_a_job_that_asks_for_more_than_a_gpu_takes_all_of_one(folder):
    list_gpus(folder, "GPU-a", "GPU-b")
    job = Job(150, 30)
    assert job.wait_for_gpu() == "GPU-a"
    job.kill()


def test_files_that_a_cleaner_of_tmp_deletes_by_age_are_marked_as_used(folder):
    names = ("choosing", "GPU-a", "GPU-b")
    assert gpu_locks.lock_share(names[1:], 100) == "GPU-a"
    for name in names:
        os.utime(gpu_locks.FOLDER / name, (0, 0))
    list_gpus(folder, "GPU-a", "GPU-b")
    job = Job(10, 30)
    assert job.wait_for_gpu() == "GPU-b"
    assert min((gpu_locks.FOLDER / name).stat().st_mtime for name in names) > time.time() - 60
    file = os.open(gpu_locks.FOLDER, os.O_RDONLY)  # systemd skips a folder if it cannot lock it
    with pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(file)
    job.kill()


def test_a_file_that_is_deleted_before_it_is_locked_gives_no_share(folder, monkeypatch):
    lock_free = gpu_locks._lock_free

    def delete(file):
        monkeypatch.setattr(gpu_locks, "_lock_free", lock_free)
        (gpu_locks.FOLDER / "GPU-a").unlink()
        return lock_free(file)

    monkeypatch.setattr(gpu_locks, "_lock_free", delete)
    assert gpu_locks.lock_share(["GPU-a"], 100) is None
    assert gpu_locks.lock_share(["GPU-a"], 100) == "GPU-a"


def test_two_calls_of_snakemake_share_the_same_gpu(folder, monkeypatch):
    """One of them was told of a GPU by its number: with one GPU, no other can be meant."""
    list_gpus(folder, "GPU-a")
    first = Job(60, 30)
    assert first.wait_for_gpu() == "GPU-a"
    monkeypatch.setenv(gpus.VISIBLE, "0")
    second = Job(60, 0)
    assert not second.pipe.poll(0.2)
    first.kill()
    assert second.wait_for_gpu() == "GPU-a"


def test_a_training_that_starts_itself_again_keeps_its_share(folder, monkeypatch):
    list_gpus(folder, "GPU-a", "GPU-b")
    monkeypatch.setenv(gpus.VISIBLE, "GPU-b")
    log = logging.getLogger("job")
    for _ in range(2):
        gpu_locks.take_gpu(60, log)
    job = Job(40, 0)
    assert job.wait_for_gpu() == "GPU-b"


@pytest.mark.parametrize(
    "variable", [{gpus.DEVICE: "cpu"}, {gpus.DEVICE: "cuda:1"}, {gpus.VISIBLE: ""}]
)
def test_nothing_is_chosen_where_the_user_has_chosen(folder, monkeypatch, variable):
    list_gpus(folder, "GPU-a", "GPU-b")
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    gpu_locks.take_gpu(10, logging.getLogger("job"))
    assert os.environ.get(gpus.VISIBLE) == variable.get(gpus.VISIBLE)
    assert not gpu_locks.FOLDER.exists()


def test_a_folder_that_cannot_be_used_is_one_warning(folder, caplog):
    list_gpus(folder, "GPU-a")
    gpu_locks.FOLDER.write_text("")
    gpu_locks.take_gpu(10, logging.getLogger("job"))
    assert "locks: cannot be used (File exists)" in caplog.text
    assert gpus.VISIBLE not in os.environ


def test_a_folder_of_another_user_is_not_used(folder, caplog):
    list_gpus(folder, "GPU-a")
    (folder / "elsewhere").mkdir()
    gpu_locks.FOLDER.symlink_to(folder / "elsewhere")
    if os.geteuid() != 0:
        pytest.skip("only root can make a link that belongs to another user")
    os.lchown(gpu_locks.FOLDER, 12345, 12345)
    gpu_locks.take_gpu(10, logging.getLogger("job"))
    assert "belongs to another user" in caplog.text
    assert list((folder / "elsewhere").iterdir()) == []
