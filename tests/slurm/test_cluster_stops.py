"""Trainings that a real Slurm, or a person, stops in the middle: the numbers stay the same."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil
import pytest
import torch
from cluster import call, wait_until
from cluster_study import EPOCHS

pytestmark = pytest.mark.slurm


def assert_equal(study, experiment, undisturbed) -> None:
    """Assert that curves and weights are the same to the last bit."""
    curves, weights = study.read_outcome(experiment)
    expected_curves, expected_weights = undisturbed
    assert curves == expected_curves
    assert curves["num_epochs"] == EPOCHS
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[name], expected_weights[name]) for name in weights)
    assert "going on after epoch" in study.read_log(experiment)


def test_a_cancelled_job_is_reported_and_the_next_call_finishes(cluster, study, undisturbed):
    with study.training("cancelled", "--retries", "0", beside=("another",)) as snakemake:
        job = cluster.find_running()
        call("scancel", job)
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode != 0
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in output
    assert "stopped by a signal" in study.read_log("cancelled")
    assert study.read_outcome("another")[0]["num_epochs"] == EPOCHS
    study.train("cancelled")
    assert_equal(study, "cancelled", undisturbed)


def test_a_requeued_job_goes_on(cluster, study, undisturbed):
    with study.training("requeued") as snakemake:
        job = cluster.find_running()
        call("scontrol", "requeue", job)
        wait_until(lambda: "PENDING" in call("squeue", "-h", "-j", job, "-o", "%T"), job, 30)
        call("scontrol", "update", f"JobId={job}", "StartTime=now")  # else in two minutes
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count("has been submitted with SLURM jobid") == 1
    assert_equal(study, "requeued", undisturbed)


def test_at_the_time_limit_a_job_is_warned_and_a_second_one_finishes(cluster, study, undisturbed):
    with study.training("limited") as snakemake:
        (trainer,) = find_trainers(study, "limited")
        trainer.suspend()  # as slow as it has to be: the limit is minutes, the training seconds
        job = cluster.find_running()
        call("scontrol", "update", f"JobId={job}", "TimeLimit=1")
        wait_until(lambda: is_asked_to_stop(trainer), "the warning", seconds=60)
        with contextlib.suppress(psutil.NoSuchProcess):
            trainer.resume()
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count("has been submitted with SLURM jobid") == 2
    assert f"SLURM-job '{job}' failed, SLURM status is: 'FAILED'" in output  # and not TIMEOUT
    assert "stopped by a signal" in study.read_job_logs("limited")
    assert_equal(study, "limited", undisturbed)


def test_ctrl_c_cancels_the_jobs_and_the_next_call_finishes(cluster, study, undisturbed):
    with study.training("interrupted") as snakemake:
        snakemake.send_signal(signal.SIGINT)
        wait_until(lambda: not cluster.list_jobs(), "the job to be cancelled", seconds=30)
        snakemake.communicate(timeout=300)
    assert snakemake.returncode != 0
    study.train("interrupted")  # no lock is in the way
    assert_equal(study, "interrupted", undisturbed)


def find_trainers(study, experiment: str) -> list[psutil.Process]:
    """Return the processes that train a run of the study."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = process.info["cmdline"] or []
        is_script = len(line) > 1 and line[1].endswith("workflow_scripts/train.py")
        if is_script and experiment in " ".join(line):
            assert Path(process.info["cwd"]) == study.checkout.folder
            found.append(process)
    return found


def is_asked_to_stop(process: psutil.Process) -> bool:
    """Return whether SIGTERM waits for a suspended process, or has ended it already."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return True
    pending = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return bool(pending & 1 << (signal.SIGTERM - 1))
