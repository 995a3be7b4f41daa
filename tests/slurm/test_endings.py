"""Calls of Snakemake that end, and rightly, whatever happens to Slurm, to a job or to the code."""

from __future__ import annotations

import contextlib
import re
import signal
import time

import psutil
import pytest
from cluster import call, wait_until
from cluster_study import configure, name_run

pytestmark = pytest.mark.slurm

SUBMITTED = "has been submitted with SLURM jobid"


def test_slurm_does_not_answer_while_a_job_ends(cluster, study, undisturbed):
    with study.training("unwatched") as snakemake:
        with cluster.stopped_controller():
            time.sleep(20)
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 1
    assert study.read_outcome("unwatched")[0] == undisturbed[0]


def test_a_job_that_another_one_replaced_is_submitted_again(cluster, study, undisturbed):
    with study.training("preempted") as snakemake:
        job = cluster.find_running()
        urgent = ("sbatch", "--partition=urgent", "--gres=gpu:1", "--output=/dev/null")
        call(*urgent, "--wrap", "true")
        output, _ = snakemake.communicate(timeout=300)
    assert snakemake.returncode == 0, output
    assert output.count(SUBMITTED) == 2
    assert (job, "PREEMPTED") in [finished[:2] for finished in cluster.read_finished()]
    assert study.read_outcome("preempted")[0] == undisturbed[0]


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


EDITED = ("config.yaml", "Snakefile", "rules/train.smk", "hw2core/engine/run.py")
EDITED += ("workflow_scripts/evaluate.py", "slurm/commands.py", "profiles/default/config.yaml")
