"""Tests of runs as jobs of a real Slurm: one at a time on the GPU, reported when they fail.

The numbers stay the same whatever stops a run, Slurm or a person. All tests are in one file, so
that tests that run in several processes have one cluster.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from cluster import call, wait_until
from cluster_study import EPOCHS, call_for, configure, name_run

from hw2core.runs import paths

pytestmark = pytest.mark.slurm

SUBMITTED = "has been submitted with SLURM jobid"
EDITED = ("config.yaml", "Snakefile", "rules/train.smk", "hw2core/engine/run.py")
EDITED += ("workflow_scripts/evaluate.py", "slurm/commands.py", "profiles/default/config.yaml")

WAIT_UNTIL_REQUEUED = """    import os, time
    if "HW2_RESTARTS" not in os.environ:
        Path("evaluating").touch()
        time.sleep(600)
"""


def test_an_experiment_is_six_jobs_that_take_turns_on_the_gpu(cluster, study):
    before = len(cluster.read_finished())
    output = study.submit("results/exp1_4")
    jobs = cluster.read_finished()[before:]
    assert output.count(SUBMITTED) == len(jobs) == 6
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
    for path in ("figures/exp1_4_curves.svg", "figures/exp1_4_curves.png"):
        assert (study.checkout / path).stat().st_size > 0
    assert "Nothing to be done" in study.submit("results/exp1_4")


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param(["--group-components", "run=6"], id="components"),  # as docs/cluster.md has it
        pytest.param(
            ["--groups", "train=all", "evaluate=all", "--group-components", "all=6"], id="groups"
        ),
    ],
)
@pytest.mark.slow
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
    older = study.checkout / paths.result_path(name_run("damaged"), 0)
    older.parent.mkdir(parents=True)
    older.write_text("older")
    try:
        output = study.train("damaged", "--retries", "0", succeeds=False)
    finally:
        images.write_bytes(whole)
    assert "Error in rule train" in output
    assert f"logs/train/{name_run('damaged')}/seed0.log" in output
    assert "train_images.npy" in output, "what the log says is shown"
    assert "train_images.npy" in study.read_log("damaged")
    assert "train_images.npy" in study.read_job_logs("damaged")
    assert older.read_text() == "older"
    assert study.checkout.plan(*call_for("damaged"))["train"] == 1


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


@pytest.mark.slow
def test_a_call_whose_snakemake_folder_is_deleted_ends_and_the_next_one_finishes(
    cluster, study, undisturbed
):
    with study.training("deleted", "--retries", "0") as snakemake:
        cluster.find_running()
        (study.checkout / ".snakemake").rename(study.checkout / "moved")
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode != 0
    assert ".snakemake was deleted; call it again" in output
    shutil.rmtree(study.checkout / "moved")
    study.train("deleted")
    assert study.read_outcome("deleted")[0] == undisturbed[0]


def test_a_requeued_job_goes_on(cluster, study, undisturbed):
    with study.training("requeued") as snakemake:
        job = cluster.find_running()
        call("scontrol", "requeue", job)
        wait_until(lambda: "PENDING" in call("squeue", "-h", "-j", job, "-o", "%T"), job, 30)
        call("scontrol", "update", f"JobId={job}", "StartTime=now")  # else in two minutes
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 1
    assert_equal(study, "requeued", undisturbed)


@pytest.mark.slow
def test_a_job_that_is_requeued_while_it_evaluates_does_not_train_again(cluster, study):
    script = study.checkout / "workflow_scripts/evaluate.py"
    text, start = script.read_text(), "    args = parser.parse_args()\n"
    script.write_text(text.replace(start, f"{start}{WAIT_UNTIL_REQUEUED}"))
    with study.training("evaluating") as snakemake:
        job = cluster.find_running()
        wait_until((study.checkout / "evaluating").exists, "the evaluation", 120)
        call("scontrol", "requeue", job)
        wait_until(lambda: "PENDING" in call("squeue", "-h", "-j", job, "-o", "%T"), job, 30)
        call("scontrol", "update", f"JobId={job}", "StartTime=now")
        output, _ = snakemake.communicate(timeout=300)
    script.write_text(text)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 1
    assert "trained by an earlier attempt" in study.read_log("evaluating")


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
    assert output.count(SUBMITTED) == 2
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


def test_slurm_does_not_answer_while_a_job_ends(cluster, study, undisturbed):
    with study.training("unwatched") as snakemake:
        with cluster.stopped_controller():
            time.sleep(20)
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 1
    assert study.read_outcome("unwatched")[0] == undisturbed[0]


@pytest.mark.slow
def test_a_job_that_another_one_replaced_is_submitted_again(cluster, study, undisturbed):
    with study.training("preempted") as snakemake:
        job = cluster.find_running()
        urgent = ("sbatch", "--partition=urgent", "--gres=gpu:1", "--output=/dev/null")
        call(*urgent, "--wrap", "true")
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 2
    assert read_state(cluster, job) == "PREEMPTED"
    assert study.read_outcome("preempted")[0] == undisturbed[0]


@pytest.mark.slow
def test_slurm_has_forgotten_a_job_when_snakemake_asks(cluster, study, undisturbed):
    with study.training("forgotten") as snakemake:
        job = cluster.find_running()
        snakemake.send_signal(signal.SIGSTOP)
        known = ("squeue", "--noheader", "--states=all", "--format=%i")
        wait_until(lambda: job not in call(*known).split(), "Slurm to forget the job", 120)
        snakemake.send_signal(signal.SIGCONT)
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 1
    assert study.read_outcome("forgotten")[0] == undisturbed[0]


@pytest.mark.slow
def test_a_try_that_finished_an_epoch_is_not_counted(cluster, study, undisturbed):
    with study.training("stopped", "--retries", "1") as snakemake:
        resumed = re.compile(r"resuming after epoch (?s:.*)epoch +\d+/")
        for _ in range(2):
            call("scancel", "--signal=TERM", cluster.find_running())  # as at the time limit
            wait_until(lambda: "stopped by" in study.read_log("stopped"), "the stop", 60)
            wait_until(lambda: resumed.search(study.read_log("stopped")), "an epoch", 120)
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 3
    assert study.read_outcome("stopped")[0] == undisturbed[0]


@pytest.mark.slow
def test_a_limit_shorter_than_an_epoch_is_no_reason_to_try_again(cluster, study):
    arguments = ("--set-resources", "train:runtime=1", "train:slurm_extra=''")
    snakemake = study.start("hopeless", arguments=arguments)
    try:
        wait_until(lambda: study.read_log("hopeless"), "the training to begin", 120)
        trainer = study.find_trainer("hopeless")
        trainer.suspend()
        time.sleep(max(0, trainer.create_time() + 16 - time.time()))
        call("scancel", "--signal=TERM", cluster.find_running())
        with contextlib.suppress(psutil.NoSuchProcess):
            trainer.resume()
        output, _ = snakemake.communicate(timeout=300)
    finally:
        snakemake.kill()
    assert snakemake.returncode != 0
    assert "; raise runtime" in study.read_log("hopeless").splitlines()[-1]
    assert "no epoch fitted into" in output
    assert output.count(SUBMITTED) == 1


@pytest.mark.slow
def test_a_job_whose_reservation_ends_is_cancelled_and_not_resubmitted(cluster, study):
    # While a job waits for a reservation, it cannot be deleted.
    values = ("reservationname=course", "users=root", "starttime=now", "duration=2", "nodes=ALL")
    call("scontrol", "create", "reservation", *values)
    other = ("sbatch", "--gres=gpu:1", "--reservation=course", "--output=/dev/null")
    call(*other, "--wrap", "sleep 1000")
    snakemake = study.start("hopeless", arguments=("--slurm-reservation", "course"))
    try:
        output, _ = snakemake.communicate(timeout=500)
    finally:
        snakemake.kill()
    assert snakemake.returncode != 0
    assert "Reservation course was deleted: it never starts; change slurm-reservation" in output
    assert output.count(SUBMITTED) == 1


def test_jobs_that_begin_after_an_edit_are_those_of_the_call(cluster, study):
    names, checkout = ("edited1", "edited2"), study.checkout
    targets = [f"results/{name_run(name)}" for name in names]
    checkout.git("init", "--initial-branch=main")
    checkout.git("add", *EDITED)
    checkout.git("commit", "-m", "main")
    checkout.git("checkout", "-b", "other")
    for path in EDITED[1:]:
        (checkout / path).write_text((checkout / path).read_text() + "\ndef half(")
    checkout.git("commit", "-am", "half a line")
    checkout.git("checkout", "main")
    with study.training(names[0], beside=names[1:]) as snakemake:
        checkout.git("checkout", "other")
        config = configure()
        config["training"]["lr"] = 0.01
        del config["experiments"]["edited2"]
        checkout.configure(config)
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    results = [study.read_result(name) for name in names]
    assert results[0]["code"] == results[1]["code"]
    for result in results:
        assert result["config"]["training"]["lr"] == 0.003
        assert result["environment"]["git_commit"] == checkout.git("rev-parse", "main")
    checkout.snakemake("-n", targets[0], succeeds=False)
    checkout.git("checkout", "main", *EDITED[1:])
    assert checkout.plan(targets[0])["train"] == 1
    checkout.git("checkout", "--force", "main")
    assert checkout.plan(*targets) == {}


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
