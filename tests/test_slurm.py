"""Tests of what is prepared for Snakemake's Slurm plugin."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw2core.errors import UserError
from hw2core.slurm import check_resources, check_settings, prepare_slurm, watch_plugin


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Slurm's own sbatch, behind that of the checkout."""
    for folder in ("slurm/bin", "usr/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/slurm/bin{os.pathsep}{tmp_path}/usr/bin")
    return tmp_path / "usr/bin/sbatch"


def test_a_machine_without_slurm_is_told_from_one_with_it(sbatch, tmp_path):
    prepare_slurm(str(tmp_path), [])
    sbatch.unlink()
    with pytest.raises(UserError, match="sbatch: not found"):
        prepare_slurm(str(tmp_path), [])


@pytest.mark.usefixtures("sbatch")
@pytest.mark.parametrize("sign", ["$", "%", "`"])
def test_a_folder_that_the_plugin_cannot_work_in_is_refused(tmp_path, sign):
    prepare_slurm(str(tmp_path), ["/home/é 'a' {b}#c"])
    with pytest.raises(UserError, match=r"/a.b: .* with . in its path; rename the folder") as error:
        prepare_slurm(str(tmp_path), ["/a", f"/a{sign}b"])
    assert f"with {sign} in" in str(error.value)


@pytest.mark.usefixtures("sbatch")
def test_variables_that_change_the_answers_of_slurm_are_removed(tmp_path, monkeypatch):
    removed = ["SQUEUE_PARTITION", "SQUEUE_USERS", "SINFO_PARTITION", "SACCT_FEDERATION"]
    removed += ["SCONTROL_JSON", "SCANCEL_INTERACTIVE", "SLURM_CLUSTERS", "SBATCH_WAIT"]
    kept = ["SLURM_CONF", "SBATCH_PARTITION", "SBATCH_ACCOUNT", "SBATCH_WAIT_ALL_NODES"]
    for name in (*removed, *kept):
        monkeypatch.setenv(name, "x")
    prepare_slurm(str(tmp_path), [])
    assert not set(removed) & set(os.environ)
    assert set(kept) <= set(os.environ)
    # Jobs in a hidden partition are listed too.
    assert [os.environ[f"{name}_ALL"] for name in ("SQUEUE", "SINFO", "SCONTROL")] == ["1"] * 3


def test_a_setting_with_which_jobs_leave_no_record_is_refused():
    check_settings(SimpleNamespace(pass_command_as_script=False))
    check_settings(None)  # of other executors
    with pytest.raises(UserError, match=r"^slurm-pass-command-as-script: not supported"):
        check_settings(SimpleNamespace(pass_command_as_script=True))
    with pytest.raises(UserError, match=r"^slurm-array-jobs: not supported; call without it"):
        check_settings(SimpleNamespace(pass_command_as_script=False, array_jobs="all"))


@pytest.mark.parametrize(
    "resources",
    [
        *({name: "other"} for name in ("cluster", "clusters", "slurm_cluster")),
        *({"slurm_extra": f"--qos=x {text}"} for text in ("--clusters=a,b", "-M a", "-Ma")),
        *({"slurm_extra": text} for text in ("--array=1-3", "-a 1-3")),
    ],
)
def test_jobs_of_other_clusters_and_arrays_are_refused(resources):
    """squeue of this cluster never lists them, so that a call would wait for ever."""
    usual = {"gres": "gpu:1", "slurm_extra": "--signal=TERM@60 --mail-type=END -A course"}
    jobs = [
        ("evaluate", usual),
        ("train", {"clusters": "", "slurm_extra": "--cluster-constraint=x"}),
    ]
    check_resources(jobs)
    with pytest.raises(UserError, match=r"^\w+: .* for rule train: other clusters and arrays of"):
        check_resources([*jobs, ("train", usual | resources)])


class Executor:
    """Stands for the plugin: each job is as its text says."""

    run_uuid = "call-1"
    is_silent = False  # as after five queries without an answer

    def __init__(self):
        self.events = []

    def run_job(self, job):
        try:
            if job.error:
                raise RuntimeError(job.error)
            self.events.append(("submitted", job))
        except RuntimeError as error:
            raise AttributeError(f"no attribute 'rule' to report {error}")  # noqa: B904

    async def check_active_jobs(self, jobs):
        for info in () if self.is_silent else jobs:
            if info.job.error:
                raise OSError(info.job.error)
            if info.job.state == "running":
                yield info
            elif info.job.state == "failed":
                self.report_job_error(info, msg="failed")
            else:
                self.report_job_success(info)

    def cancel_jobs(self, jobs):
        raise AssertionError("it may not know all jobs")

    def report_job_error(self, info, msg=None, **options):
        self.events.append(("failed", info.job))

    def report_job_success(self, info):
        self.events.append(("succeeded", info.job))


@pytest.fixture
def watched(in_folder):
    executor, shown = Executor(), []
    watch_plugin(executor, shown.append)
    return executor, shown


def fail(error):
    raise error


def make_info(state="running", error=""):
    job = SimpleNamespace(state=state, error=error, output=["a.t.json", "a.s"])
    return SimpleNamespace(job=job, external_jobid="7")


@pytest.mark.parametrize("made_anew", [False, True])
def test_jobs_end_when_their_records_and_code_are_deleted(
    watched, tmp_path, monkeypatch, made_anew
):
    monkeypatch.setenv("PATH", str(tmp_path))
    scancel = tmp_path / "scancel"
    scancel.write_text(f"#!/bin/sh\necho $* > {tmp_path}/cancelled\n")
    scancel.chmod(0o755)
    executor, shown = watched
    jobs = [make_info(), make_info()]
    assert list_active(executor, jobs) == jobs
    with monkeypatch.context() as silent:
        for number in (errno.ESTALE, errno.EIO, errno.EACCES):
            silent.setattr(os, "utime", lambda _, number=number: fail(OSError(number, "x")))
            assert list_active(executor, jobs) == jobs
    Path(".snakemake").rename("deleted")
    if made_anew:
        Path(".snakemake/slurm/call-2").mkdir(parents=True)
    assert list_active(executor, jobs) == []
    assert executor.events == [("failed", info.job) for info in jobs]
    assert (tmp_path / "cancelled").read_text() == f"--name {executor.run_uuid}\n"
    assert shown == ["a: .snakemake was deleted; call it again"] * 2


@pytest.mark.usefixtures("in_folder")
def test_without_a_sign_of_its_own_a_call_takes_nothing_for_deleted():
    Path(".snakemake").touch()  # as where nothing can be written
    watch_plugin(executor := Executor(), print)
    jobs = [make_info()]
    assert list_active(executor, jobs) == jobs


def list_active(executor, jobs=()):
    async def check():
        return [job async for job in executor.check_active_jobs(jobs)]

    return asyncio.run(check())


def test_each_reason_to_wait_is_shown_once(watched):
    executor, shown = watched
    file = Path(".snakemake/slurm/call-1/waiting")
    info = make_info()
    assert list_active(executor, [info]) == [info]
    for lines in ("", "a", "a", "a a b"):
        file.write_text("".join(f"{line}\n" for line in lines.split()))
        assert list_active(executor, [info]) == [info]
    assert shown == ["a", "b"]
    watch_plugin(object(), shown.append)  # an executor of another kind


def test_a_job_that_the_plugin_cannot_submit_has_failed(watched):
    executor, shown = watched
    good, bad = make_info().job, make_info(error="The given account\nx is invalid").job
    executor.run_job(good)
    executor.run_job(bad)
    assert executor.events == [("submitted", good), ("failed", bad)]
    assert shown == ["a: submission failed: The given account x is invalid"]


def test_a_failure_is_shown_in_one_line(watched):
    executor, shown = watched
    message = "SLURM sbatch failed. The error message was 'a\nb'.\n    sbatch call:\n  sbatch -p"
    executor.report_job_error(make_info(), msg=message)
    executor.report_job_error(make_info())
    assert shown == ["a: SLURM sbatch failed. The error message was 'a b'."]
    assert len(executor.events) == 2


def test_jobs_that_could_not_be_checked_are_checked_again(watched):
    executor, shown = watched
    states = ["running", "failed", "succeeded"]
    jobs = [make_info(state) for state in states] + [make_info(error="no fork"), make_info()]
    active = [jobs[0], *jobs[3:]]
    assert list_active(executor, jobs) == active
    assert list_active(executor, active) == active
    assert executor.events == [("failed", jobs[1].job), ("succeeded", jobs[2].job)]
    assert shown[0] == "a: failed"
    (line,) = shown[1:]
    assert line.endswith("will be checked again: no fork")


def test_jobs_without_an_answer_are_not_forgotten(watched):
    executor, _ = watched
    jobs = [make_info(state) for state in ("running", "failed", "succeeded")]
    executor.is_silent = True
    assert list_active(executor, jobs) == jobs
    executor.is_silent = False
    assert list_active(executor, jobs) == jobs[:1]
    assert len(executor.events) == 2


def test_queries_that_failed_are_shown_once(watched):
    executor, shown = watched
    for failures in (0, 1, 6):
        executor._status_query_failures = failures
        assert list_active(executor) == []
        assert len(shown) == min(failures, 1)
    assert "squeue or sacct failed" in shown[0]


@pytest.mark.usefixtures("sbatch")
def test_all_jobs_of_an_interrupted_call_are_cancelled(watched, tmp_path, monkeypatch):
    executor, shown = watched
    monkeypatch.setenv("PATH", str(tmp_path / "usr/bin"), prepend=os.pathsep)
    scancel = tmp_path / "usr/bin/scancel"
    scancel.touch(0o755)
    scancel.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    executor.cancel_jobs([])
    assert (tmp_path / "cancelled").read_text() == "--name call-1\n"
    assert shown == []
    executor.run_job(make_info().job)
    assert shown.pop() == "a: submission failed: Snakemake was interrupted"
    assert [event for event, _ in executor.events] == ["failed"]
    scancel.write_text("#!/bin/sh\necho no controller >&2; exit 1\n")
    executor.cancel_jobs([])
    assert shown == [
        "jobs may still run: no controller; when Slurm answers, call scancel --name call-1"
    ]


def test_another_interrupt_ends_the_wait_and_not_the_cancelling(watched, tmp_path, monkeypatch):
    executor, shown = watched
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    scancel, cancelled = tmp_path / "scancel", tmp_path / "cancelled"
    scancel.touch(0o755)
    parent = f"kill -INT {os.getpid()}"  # the terminal signals scancel's group too, if it is ours
    scancel.write_text(f"#!/bin/sh\n{parent}; sleep 1; touch {cancelled}\n")
    executor.cancel_jobs([])
    (line,) = shown
    assert line.startswith(
        "jobs may still run: interrupted again; when Slurm answers, call scancel"
    )
    deadline = time.monotonic() + 30
    while not cancelled.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
