"""Submits a job that records its exit status, and leaves none behind that nobody waits for."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from programs import SECONDS_TO_ANSWER, call
from records import (
    INTERRUPTED,
    RECORDS,
    SUBMITTED,
    record_interrupt,
    remove_old_records,
    report_waiting,
)

SECONDS_BETWEEN_TRIES = 5
TRIES_TO_FIND = 3  # a job that may have been accepted, after an interrupt
SECONDS_TO_BEGIN = 600  # a call that cannot submit its first job in this time gives up
AWAY = re.compile(
    "Unable to contact slurm controller|Zero Bytes were transmitted|Socket timed out"
    "|controller in standby mode|temporarily un(able|available)|Munge encode failed"
    "|Protocol authentication error|Could not establish a configuration source"
    "|Required partition not available"  # its state is inactive or drain
)
# The job may be accepted.
UNHEARD = re.compile("Zero Bytes were transmitted|Socket timed out|no answer within")
LIMIT = re.compile(r"\w*Submit\w*Limit")  # such as AssocMaxSubmitJobLimit
NUMBER = re.compile(r"^(\d+)(?:;.*)?$", re.MULTILINE)  # of a job, in what sbatch prints
RUN = re.compile(r"(train|evaluate):run=([^,]+),seed=(\d+)")  # in the command of a job


def submit(arguments: list[str]) -> int:
    """Submit a job; print its number alone. Wait while Slurm is down or accepts no jobs.

    After an interrupt of Snakemake, nothing more is submitted, and a job that Slurm accepts
    meanwhile is cancelled.
    """
    folder = RECORDS / arguments[arguments.index("--job-name") + 1]
    if not any(folder.glob(f"{SUBMITTED}*")):
        remove_old_records()
    folder.mkdir(parents=True, exist_ok=True)
    is_interrupted = watch_interrupts(folder)
    mark = f" {secrets.token_hex(8)}"  # the plugin gives many jobs one comment
    wrapped = [record_status(argument, folder.resolve()) for argument in arguments]
    wrapped[arguments.index("--comment") + 1] += mark

    def waits(seconds: int) -> bool:
        if seconds == SECONDS_TO_ANSWER:
            report_waiting(folder, "submissions wait", f"sbatch: no answer within {seconds} s")
        return seconds < SECONDS_TO_ANSWER or (is_read() and not is_interrupted())

    started = time.monotonic()
    while is_read() and not is_interrupted():
        done = call("sbatch", *wrapped, waits=waits)
        jobs = NUMBER.findall(done.stdout) if done.returncode == 0 else []
        if not jobs and (done.returncode == 0 or UNHEARD.search(done.stderr)):
            jobs = find_accepted(folder, mark, is_interrupted)
        if jobs:
            keep(folder, jobs[-1], arguments)
            if is_interrupted() and (done := call("scancel", jobs[-1])).returncode:
                print(f"job {jobs[-1]} was not cancelled: {done.stderr}", end="", file=sys.stderr)
                return done.returncode
            print(jobs[-1], flush=True)
            return 0
        reason = done.returncode and explain_waiting(done.stderr)
        if not reason or is_hopeless(folder, started):
            print(done.stdout, end="", flush=True)
            print(done.stderr, end="", file=sys.stderr)
            return done.returncode
        report_waiting(folder, "submissions wait", reason)
        time.sleep(SECONDS_BETWEEN_TRIES)
    print("not submitted: Snakemake was interrupted", file=sys.stderr)
    return 130


def watch_interrupts(folder: Path) -> Callable[[], bool]:
    """Return a function that tells whether Snakemake was interrupted.

    A signal to this process counts even if it cannot be recorded for the others.
    """
    received: list[int] = []

    def record(number: int, _: object) -> None:
        received.append(number)
        record_interrupt(folder)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, record)
    return lambda: bool(received) or (folder / INTERRUPTED).exists()


def keep(folder: Path, job: str, arguments: list[str]) -> None:
    """Record a job that Slurm accepted."""
    runs = RUN.findall(" ".join(arguments))
    logs = sorted("logs/{}/{}/seed{}.log".format(*run) for run in runs)  # of train at the end
    with contextlib.suppress(OSError):  # on a full disk, as if Slurm knew the job alone
        (folder / f"{SUBMITTED}{job}").write_text("".join(logs[-1:]))
        (folder / job).touch()  # the job may have written to it by now


def find_accepted(folder: Path, mark: str, is_interrupted: Callable[[], bool]) -> list[str]:
    """Return the job that Slurm accepted without a word, as soon as squeue answers."""
    for tries in itertools.count(1):
        time.sleep(SECONDS_BETWEEN_TRIES)
        done = call("squeue", "--noheader", "--format=%i|%k", "--name", folder.name)
        lines = done.stdout.splitlines()
        jobs = [line.partition("|")[0] for line in lines if line.endswith(mark)]
        if jobs or done.returncode == 0:
            break
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        report_waiting(folder, "a job may have been submitted; squeue is asked again", reason)
        if tries >= TRIES_TO_FIND and (is_interrupted() or not is_read()):
            advice = f"when Slurm answers, call scancel --name {folder.name}"
            print(f"a job may have been submitted; {advice}", file=sys.stderr)
            break
    return jobs


def record_status(argument: str, folder: Path) -> str:
    """Make a job script write its exit status; return other arguments unchanged."""
    if not argument.startswith("--wrap="):
        return argument
    file = f'{shlex.quote(str(folder))}/"$SLURM_JOB_ID"'
    # Emptied first, because Slurm may restart a job; on a full disk, `: >` would end it.
    return f"--wrap=true > {file}\n{argument.removeprefix('--wrap=')}\nstatus=$?\n" + (
        f"echo $status > {file}\nexit $status"
    )


def explain_waiting(message: str) -> str:
    """Return why sbatch may succeed later: a job has ended or Slurm is up again; else nothing."""
    if away := AWAY.search(message) or UNHEARD.search(message):
        return f"{away.group()}; this call tries again until Slurm accepts jobs"
    if (limit := LIMIT.search(message)) is None:
        return ""
    queue = list_own_jobs()
    # If no job of this user is in the queue, the limit is per job: waiting does not help.
    if "Grp" not in limit.group() and queue.returncode == 0 and not queue.stdout.strip():
        return ""
    return (
        f"{limit.group()}: your site allows no more jobs until others end; `squeue --me` lists "
        "yours, `jobs:` in slurm/config.yaml sets how many this call submits"
    )


def is_hopeless(folder: Path, started: float) -> bool:
    """Return whether Slurm has long accepted no job of this call and has none of this user."""
    if time.monotonic() - started < SECONDS_TO_BEGIN or any(folder.glob("[0-9]*")):
        return False
    queue = list_own_jobs()
    return queue.returncode != 0 or not queue.stdout.strip()


def list_own_jobs() -> subprocess.CompletedProcess[str]:
    """Ask Slurm for the jobs of this user; squeue before Slurm 20.11 does not know --me."""
    return call("squeue", "--noheader", "--user", str(os.getuid()))


def is_read() -> bool:
    """Return whether the caller still reads this process's output."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)
