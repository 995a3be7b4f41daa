"""Tests of Snakemake's Slurm plugin with fakes of Slurm's commands: no call waits in silence."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest
from checkout import TINY, copy_sources

from hw2core.runs import paths

pytestmark = pytest.mark.workflow

CALL = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1"]
CALL += ["--retries", "0", "results/exp1_1_L2_K4"]
LIMIT = "QOSMaxSubmitJobPerUserLimit"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The tiny study with its images."""
    checkout = copy_sources(tmp_path_factory.mktemp("cluster") / "study")
    checkout.configure(TINY)
    checkout.snakemake(paths.manifest_path("generated_240_60"))
    return checkout


@pytest.fixture
def slurm(prepared, tmp_path, monkeypatch):
    """Defines a command of Slurm by a shell script; each call is recorded in a file."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HW2_DEVICE", "cpu")  # tests replace the profile's request for a GPU

    def define(command: str, script: str) -> None:
        line = f"echo {command} $@ | head -n 1 >> {tmp_path}/calls"
        (programs / command).write_text(f"#!/bin/sh\n{line}\n{script}\n")
        (programs / command).chmod(0o755)

    for command in ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "sshare"):
        define(command, "true")
    define("sacctmgr", "echo course")
    return define


def list_calls(tmp_path, command: str) -> list[str]:
    lines = (tmp_path / "calls").read_text().splitlines()
    return [line for line in lines if line.partition(" ")[0] == command]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("slurm_account='curse'", "The given account curse appears to be invalid."),
        ("slurm_extra='--partition=gpu'", "The --partition option is not allowed"),
    ],
)
def test_what_the_plugin_refuses_is_a_failed_job(prepared, slurm, tmp_path, resource, reason):
    output = prepared.snakemake(*CALL, "--set-resources", f"train:{resource}", succeeds=False)
    (line,) = [line for line in output.splitlines() if reason in line]
    assert line.startswith(f"results/exp1_1_L2_K4/seed0: submission failed: {reason}")
    assert "Error in group run" in output
    assert not list_calls(tmp_path, "sbatch")


def test_a_training_without_time_limit_is_refused_before_the_first_job(prepared, slurm, tmp_path):
    """The time limit of the group would be that of its evaluation."""
    output = prepared.snakemake(*CALL, "--set-resources", "train:runtime=0", succeeds=False)
    assert "runtime: 0 for rule train: must be at least 1, the time limit of a run" in output
    assert "Traceback" not in output
    assert not (tmp_path / "calls").exists() or not list_calls(tmp_path, "sbatch")


def test_an_option_that_takes_the_gpu_away_is_refused_before_the_first_job(
    prepared, slurm, tmp_path, monkeypatch
):
    """It replaces the whole list of the profile."""
    monkeypatch.delenv("HW2_DEVICE")
    output = prepared.snakemake(*CALL, "--set-resources", "train:runtime=240", succeeds=False)
    assert "rule train requests no GPU (--set-resources replaces all that slurm/" in output
    assert "Traceback" not in output
    assert not (tmp_path / "calls").exists() or not list_calls(tmp_path, "sbatch")


def test_a_job_for_another_cluster_is_refused_before_the_first_job(prepared, slurm, tmp_path):
    output = prepared.snakemake(*CALL, "--default-resources", "clusters=other", succeeds=False)
    assert re.search(r"clusters: other for rule \w+: other clusters and arrays of jobs are", output)
    assert "Traceback" not in output
    assert not (tmp_path / "calls").exists() or not list_calls(tmp_path, "sbatch")


def test_a_command_as_a_script_is_refused(prepared, slurm, tmp_path):
    output = prepared.snakemake(*CALL, "--slurm-pass-command-as-script", succeeds=False)
    assert "slurm-pass-command-as-script: not supported; call without it" in output
    assert not (tmp_path / "calls").exists() or not list_calls(tmp_path, "sbatch")


@pytest.mark.parametrize("account", [[], ["train:slurm_account='course'"]])
def test_while_slurm_is_away_submissions_wait(prepared, slurm, tmp_path, account):
    away = f"[ -e {tmp_path}/back ] || {{ echo Unable to contact slurm controller >&2; exit 1; }}"
    for command in ("sinfo", "sacctmgr", "sshare"):
        slurm(command, away)
    refused = "echo sbatch: error: invalid partition specified: x >&2; exit 1"
    slurm("sbatch", f"touch {tmp_path}/tried; {away}; {refused}")
    arguments = ["--set-resources", *account] if account else []
    process = prepared.start(*CALL, *arguments)
    try:
        output = read_until(process, "submissions wait: Unable to contact slurm controller")
        (tmp_path / "back").touch()
        output += process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert "invalid partition" in output, "sbatch was called again"
    assert "submission failed" not in output


def test_why_slurm_refuses_a_job_is_shown(prepared, slurm):
    slurm("sbatch", "echo sbatch: error: invalid partition specified: x >&2; exit 1")
    output = prepared.snakemake(*CALL, succeeds=False)
    (line,) = [line for line in output.splitlines() if "invalid partition" in line]
    assert line.endswith("The error message was 'sbatch: error: invalid partition specified: x'.")


def test_a_folder_of_logs_that_cannot_be_made_is_a_failed_job(prepared, slurm, tmp_path):
    (tmp_path / "file").touch()
    output = prepared.snakemake(*CALL, "--slurm-logdir", f"{tmp_path}/file/x", succeeds=False)
    (line,) = [
        line for line in output.splitlines() if line.startswith("results/") and "file/x" in line
    ]
    assert "Not a directory" in line


def read_until(process: subprocess.Popen, text: str) -> str:
    """Return the output of a call up to the line that has a text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_why_a_submission_waits_is_shown(prepared, slurm):
    slurm("sbatch", f"echo sbatch: error: {LIMIT} >&2; exit 1")
    slurm("squeue", 'case "$*" in *--name*) ;; *) echo "77 main";; esac')  # a job of this user
    process = prepared.start(*CALL, start_new_session=True)
    try:
        output = read_until(process, LIMIT)
        time.sleep(8)
        os.killpg(process.pid, signal.SIGINT)
        output += process.communicate(timeout=120)[0]
    finally:
        process.kill()
    (line,) = [line for line in output.splitlines() if line.startswith("submissions wait: ")]
    assert "`jobs:` in slurm/config.yaml" in line


@pytest.mark.parametrize(
    ("number", "send"),
    [
        (signal.SIGINT, os.killpg),
        (signal.SIGINT, os.kill),
        (signal.SIGTERM, os.killpg),
        (signal.SIGHUP, os.killpg),
    ],
)
def test_what_slurm_accepts_after_a_signal_is_cancelled(prepared, slurm, tmp_path, number, send):
    slurm("sbatch", f"touch {tmp_path}/accepted; sleep 4; echo 1001")
    process = prepared.start(*CALL, "results/exp2", start_new_session=True)
    try:
        while not (tmp_path / "accepted").exists():
            time.sleep(0.05)
        time.sleep(1)
        send(process.pid, number)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0, output
    if number == signal.SIGHUP:  # which has ended Snakemake at once
        prepared.snakemake("--unlock")
        time.sleep(8)
    cancelled = list_calls(tmp_path, "scancel")
    if number == signal.SIGINT:
        assert cancelled.pop(0).startswith("scancel --name ")  # sbatch has not answered yet
    assert cancelled == ["scancel 1001"] * len(list_calls(tmp_path, "sbatch"))
