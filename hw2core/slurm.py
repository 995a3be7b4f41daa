"""Prepares Snakemake's Slurm plugin: its environment, and what it shows and cancels."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hw2core.errors import UserError

# They change what Slurm's commands answer, or which cluster or kind of job sbatch submits to.
VARIABLES = re.compile(
    r"(SQUEUE|SINFO|SACCT|SCONTROL|SCANCEL)_.*|SLURM_CLUSTERS|SBATCH_(CLUSTERS|WAIT|ARRAY_INX)"
)
ELSEWHERE = re.compile(r"(?<!\S)(--clusters|--array|-[Ma])")  # in options of sbatch
UNUSABLE = re.compile("[$`%]")  # in a path: the plugin's shell or Slurm replaces them


def prepare_slurm(checkout: str, folders: Iterable[str]) -> None:
    """Set the variables that change what Slurm answers, and check that jobs can be submitted.

    Args:
        checkout: its slurm/bin comes before Slurm's own commands.
        folders: those that a job works in and writes its log to.

    Raises:
        UserError: there is no sbatch, or the path of a folder has signs that the plugin cannot use.
    """
    for name in filter(VARIABLES.fullmatch, list(os.environ)):
        del os.environ[name]
    # Otherwise, jobs in a hidden partition would count as gone.
    os.environ |= dict.fromkeys(("SQUEUE_ALL", "SINFO_ALL", "SCONTROL_ALL"), "1")
    for folder in folders:
        if found := UNUSABLE.search(folder):
            raise UserError(
                f"{folder}: Slurm's plugin cannot work in a folder with {found.group()} in its "
                "path; rename the folder"
            )
    ours = str(Path(checkout, "slurm", "bin"))
    known = os.environ["PATH"].split(os.pathsep)
    if not shutil.which("sbatch", path=os.pathsep.join(p for p in known if p != ours)):
        raise UserError("sbatch: not found; --profile slurm is for the login node of a cluster")


def check_settings(settings: Any) -> None:
    """Refuse a setting of the plugin with which jobs leave no record of their end, or fail.

    Raises:
        UserError: it is set.
    """
    for name in ("pass_command_as_script", "array_jobs"):
        if getattr(settings, name, None):
            option = f"slurm-{name.replace('_', '-')}"
            raise UserError(f"{option}: not supported; call without it")


def check_resources(jobs: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse jobs for another cluster, whose squeue would not list them, and arrays of jobs.

    Args:
        jobs: the rule and the resources of each.

    Raises:
        UserError: with the first resource that asks for one.
    """
    for rule, given in jobs:
        for name in ("cluster", "clusters", "slurm_cluster", "slurm_extra"):
            value = str(given.get(name) or "")
            if value and (name != "slurm_extra" or ELSEWHERE.search(value)):
                raise UserError(
                    f"{name}: {value} for rule {rule}: other clusters and arrays of jobs are not "
                    "supported; call on the login node of that cluster, without this setting"
                )


def watch_plugin(executor: Any, show: Callable[[str], None]) -> None:
    """Make Slurm's plugin show what it otherwise keeps to itself, and leave no job behind.

    Args:
        executor: the plugin, or another executor, which is left as it is.
        show: called with each line.
    """
    if hasattr(executor, "run_uuid"):
        _Watch(executor, show)


class _Watch:
    """Replaces methods of the plugin.

    Jobs and submissions wait for reasons that slurm/records.py records. The errors of jobs in a
    group, as ours are, have no message, and exceptions in the plugin's threads are lost.
    """

    def __init__(self, executor: Any, show: Callable[[str], None]) -> None:
        self._executor, self._name = executor, executor.run_uuid
        self._folder = Path(".snakemake", "slurm", executor.run_uuid)
        self._sign = self._folder / "call"  # there as long as nobody deletes .snakemake
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sign.touch()
        self._signed = self._sign.exists()
        self._show = show
        self._shown: set[str] = set()
        self._interrupted = False
        self._ended: list[Any] = []  # jobs of which the plugin has reported the end
        self._run, self._check = executor.run_job, executor.check_active_jobs
        self._report_error = executor.report_job_error
        self._report_success = executor.report_job_success
        executor.run_job = self.run_job
        executor.check_active_jobs = self.check_active_jobs
        executor.cancel_jobs = self.cancel_jobs
        executor.report_job_error = self.report_job_error
        executor.report_job_success = self.report_job_success

    def run_job(self, job: Any) -> None:
        """Submit a job; if the plugin cannot, or after an interrupt, report it as failed."""
        try:
            if self._interrupted:
                raise InterruptedError("Snakemake was interrupted")
            self._run(job)
        except Exception as error:
            # The plugin's own handler fails for groups.
            reason = f"submission failed: {error.__context__ or error}"
            self.report_job_error(SimpleNamespace(job=job, external_jobid=None), reason)

    def report_job_error(self, info: Any, msg: str | None = None, **options: Any) -> None:
        """Report that a job failed, and why."""
        if msg:
            reason = " ".join(msg.partition("\n    sbatch call:")[0].split())
            self._show(f"{Path(min(info.job.output)).with_suffix('')}: {reason}")
        self._report_error(info, msg=msg, **options)
        self._ended.append(info)

    def report_job_success(self, info: Any) -> None:
        """Report that a job succeeded."""
        self._report_success(info)
        self._ended.append(info)

    async def check_active_jobs(self, jobs: list[Any]) -> AsyncIterator[Any]:
        """Yield the jobs that have not ended, also those that the plugin could not check."""
        if self._is_deleted():  # without code and records, they would never end
            self.cancel_jobs(jobs)
            for job in jobs:
                self.report_job_error(job, ".snakemake was deleted; call it again")
            return
        self._ended.clear()
        running = []
        try:
            async for job in self._check(jobs):
                running.append(job)
                yield job
        except Exception as error:
            self._show_once(f"the jobs could not be checked and will be checked again: {error}")
        known = set(map(id, [*running, *self._ended]))
        for job in jobs:  # after some queries without an answer, the plugin would forget all
            if id(job) not in known:
                yield job
        if getattr(self._executor, "_status_query_failures", 0):  # the plugin only counts them
            self._show_once("squeue or sacct failed and is called again; --verbose shows why")
        with suppress(OSError):
            for line in (self._folder / "waiting").read_text().splitlines():
                self._show_once(line)

    def _is_deleted(self) -> bool:
        """Return whether somebody has deleted .snakemake, which has the code of the jobs.

        Another call may have made it anew.
        """
        try:
            os.utime(self._sign)  # so that no call takes the records for old
        except FileNotFoundError:
            return self._signed
        except OSError:  # of a file system that does not answer at the moment
            return False
        return False

    def _show_once(self, line: str) -> None:
        if line not in self._shown:
            self._shown.add(line)
            self._show(line)

    def cancel_jobs(self, jobs: list[Any]) -> None:
        """Cancel all jobs of this call, also those that the plugin does not know at the moment."""
        self._interrupted = True
        command = ["scancel", "--name", self._name]  # which submits nothing more, see slurm/
        try:
            # In a session of its own: another Ctrl-C ends the wait for it, not the cancelling.
            scancel = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            _, reason = scancel.communicate(timeout=60)
            failed = scancel.returncode != 0
        except (OSError, subprocess.SubprocessError, KeyboardInterrupt) as error:
            reason, failed = str(error) or "interrupted again", True
        if failed:
            advice = f"when Slurm answers, call {' '.join(command)}"
            self._show(f"jobs may still run: {reason.strip()}; {advice}")
