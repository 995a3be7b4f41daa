"""Trainings as jobs of a real Slurm: one at a time on the GPU, reported when they fail.

Whatever stops them in the middle, Slurm or a person: the numbers stay the same. One file, so that
tests that run in several processes have one cluster.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from cluster import call, wait_until
from cluster_study import EPOCHS, name_run

pytestmark = pytest.mark.slurm


def test_an_experiment_is_six_jobs_that_take_turns_on_the_gpu(cluster, study):
    before = len(cluster.read_finished())
    output = study.submit("results/exp1_4")
    jobs = cluster.read_finished()[before:]
    assert output.count("has been submitted with SLURM jobid") == len(jobs) == 6
    for number, state, start, end in jobs:
        assert state == "COMPLETED"
        assert end > start
        assert cluster.read_gpus(number) == {"0"}  # CUDA_VISIBLE_DEVICES, set by Slurm
    by_start = sorted(jobs, key=lambda job: job[2])
    assert all(b[2] >= a[3] for a, b in itertools.pairwise(by_start)), by_start

    results = sorted((study.checkout / "results").glob("exp1_4_*/seed0.json"))
    assert len(results) == 6
    for path in results:
        assert json.loads(path.read_text())["environment"]["threads"] == 2
        assert path.with_suffix(".test.json").exists()
    for path in ("figures/exp1_4_curves.svg", "figures/exp1_4_accuracy.png"):
        assert (study.checkout / path).stat().st_size > 0
    assert "Nothing to be done" in study.submit("results/exp1_4")


@pytest.mark.parametrize(
    "groups",
    [
        ["--group-components", "run=6"],  # as the README has it
        ["--groups", "train=all", "evaluate=all", "--group-components", "all=6"],
    ],
    ids=["components", "groups"],
)
def test_runs_can_share_a_job(cluster, study, groups):
    for path in (study.checkout / "results").glob("exp1_4_*/seed0.*"):
        path.unlink()
    before = len(cluster.read_finished())
    study.submit("results/exp1_4", *groups, "--cores", "2")
    ((number, state, *_),) = cluster.read_finished()[before:]
    assert state == "COMPLETED"
    assert cluster.read_gpus(number) == {"0"}
    evaluations = list((study.checkout / "results").glob("exp1_4_*/seed0.test.json"))
    assert len(evaluations) == 6


def test_a_job_that_fails_is_reported_with_its_log(study):
    images = study.checkout / "data/generated_240_60/train_images.npy"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    try:
        output = study.train("damaged", "--retries", "0", succeeds=False)
    finally:
        images.write_bytes(whole)
    assert "Error in rule train" in output
    assert f"logs/train/{name_run('damaged')}/seed0.log" in output
    assert "train_images.npy" in output, "what the log says is shown"
    assert "train_images.npy" in study.read_log("damaged")
    assert "train_images.npy" in study.read_job_logs("damaged")


def test_the_courses_own_call(cluster, study):
    # `script` is a terminal for --pty. Two epochs are enough here.
    command = f"srun -c 2 --gres=gpu:1 --pty {sys.executable} -m hw2core.experiments run-exp"
    command += " -n test -K 32 64 -L 2 -P 2 -H 100 --epochs 2"
    before = len(cluster.read_finished())
    process = subprocess.run(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"],
        cwd=study.checkout.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout
    document = json.loads((study.checkout / "results/test_L2_K32-64.json").read_text())
    assert document["results"]["num_epochs"] == 2
    assert document["metadata"]["threads"] == 2
    ((number, state, *_),) = cluster.read_finished()[before:]
    assert state == "COMPLETED"
    assert cluster.read_gpus(number) == {"0"}


def assert_equal(study, experiment, undisturbed) -> None:
    """Assert that curves and weights are the same to the last bit."""
    curves, weights = study.read_outcome(experiment)
    expected_curves, expected_weights = undisturbed
    assert curves == expected_curves
    assert len(curves["train_loss"]) == EPOCHS
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[name], expected_weights[name]) for name in weights)
    assert "resuming after epoch" in study.read_log(experiment)


def test_a_cancelled_job_is_reported_and_the_next_call_finishes(cluster, study, undisturbed):
    with study.training("cancelled", "--retries", "0", beside=("another",)) as snakemake:
        job = cluster.find_running()
        call("scancel", job)
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode != 0
    # Of a group of rules, Snakemake prints the job's log and not the word of Slurm alone.
    assert re.search(rf"JOB {job} ON \S+ CANCELLED", output)
    assert read_state(cluster, job) == "CANCELLED"
    assert "stopped by a signal" in study.read_log("cancelled")
    assert len(study.read_outcome("another")[0]["train_loss"]) == EPOCHS
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
        trainer = study.find_trainer("limited")
        trainer.suspend()  # as slow as it has to be: the limit is minutes, the training seconds
        job = cluster.find_running()
        call("scontrol", "update", f"JobId={job}", "TimeLimit=1")
        wait_until(lambda: is_asked_to_stop(trainer), "the warning", seconds=60)
        with contextlib.suppress(psutil.NoSuchProcess):
            trainer.resume()
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count("has been submitted with SLURM jobid") == 2
    assert f"group_run_evaluate_train/{job}.log" in output
    assert read_state(cluster, job) == "FAILED"  # and not TIMEOUT
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


def read_state(cluster, job: str) -> str:
    """Return how a job ended, from Slurm's own record."""
    (state,) = {state for number, state, *_ in cluster.read_finished() if number == job}
    return state


def is_asked_to_stop(process: psutil.Process) -> bool:
    """Return whether SIGTERM waits for a suspended process, or has ended it already."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return True
    pending = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return bool(pending & 1 << (signal.SIGTERM - 1))
