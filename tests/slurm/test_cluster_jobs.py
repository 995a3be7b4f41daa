"""Trainings as jobs of a real Slurm: done one at a time on the GPU, and reported when they fail."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest
from cluster_study import name_run

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
        assert json.loads(path.read_text())["metadata"]["threads"] == 2
    for path in ("figures/exp1_4_curves.svg", "figures/exp1_4_accuracy.png"):
        assert (study.checkout / path).stat().st_size > 0
    assert "Nothing to be done" in study.submit("results/exp1_4")


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
    call = f"srun -c 2 --gres=gpu:1 --pty {sys.executable} -m hw2core.experiments run-exp"
    call += " -n test -K 32 64 -L 2 -P 2 -H 100 --epochs 2"
    before = len(cluster.read_finished())
    process = subprocess.run(
        ["script", "--quiet", "--return", "--command", call, "/dev/null"],
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
