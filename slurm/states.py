"""Reports the state of each job of a Snakemake call, also where Slurm does not know it."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from programs import call
from records import RECORDS, SUBMITTED, report_waiting

# The plugin would wait forever for a job in one of these states, expecting Slurm to restart it. A
# job that Slurm does restart is pending in squeue.
LOST = ("PREEMPTED", "NODE_FAIL", "REVOKED")
# It holds a job that did not start on a broken node until somebody releases it, which may be never.
HELD = re.compile("launch failed|SPECIAL_EXIT|JobHoldMaxRequeue")
ORDINARY = ("", "None", "Priority", "Resources", "BeginTime", "Cleaning", "Prolog")
WAITS = re.compile("PENDING|SUSPENDED|STOPPED|[A-Z_]+_HOLD")  # a state
# A job that waits for one of these reasons requests what the site never grants.
NEVER = re.compile(
    r"Partition(Time|Node)Limit|(QOS|Assoc)Max\w*Per(Job|Node)|QOSMin|MaxMemPerLimit|BadConstraints"
    r"|Invalid(Account|QOS)|(Account|QOS)NotAllowed|DependencyNeverSatisfied"
)
# A node that does not respond keeps a failed job in this state; usually it lasts a few seconds.
ENDING, ENDING_SECONDS = "COMPLETING", 60
SECONDS_TO_APPEAR = 120  # of a new job, where a site keeps squeue's answers for a while
UNKNOWN = "nvalid job id"  # squeue's error for jobs that it no longer knows
RESERVATION_ENDED = "RESV_DEL_HOLD"  # the state of a job whose reservation has ended
SECONDS_FOR_ALL = 50  # queries of a call of ours; the plugin waits 60 for it
SETTINGS = {  # of slurm/config.yaml, by a part of the reason
    "Reservation": "slurm-reservation",
    "Time|Wall|Minutes": "runtime",
    "Mem": "mem_mb",
    "GRES": "gres",
    "Account": "slurm_account",
    "QOSNot|InvalidQOS": "qos",
    "": "default-resources and set-resources",
}
NEVER_STARTS = "never starts"  # as in hw2core/runs/log.py


def report_states(name: str) -> int:
    """Print the state of each job of a call as squeue does, including jobs unknown to squeue."""
    folder = RECORDS / name
    end = time.monotonic() + SECONDS_FOR_ALL

    def is_time(_: int = 0) -> bool:
        return time.monotonic() < end

    query = ("--format=%i|%T|%r|%P", "--states=all", "--noheader")
    done = call("squeue", *query, "--name", name, waits=is_time)
    answers = done.returncode == 0
    lines = done.stdout.splitlines() if answers else []
    lost = {x.name for x in folder.glob("[0-9]*") if not _read(x)}
    lost -= {line.partition("|")[0] for line in lines}
    if answers and lost:  # ended, or renamed
        done = call("squeue", *query, "--jobs", ",".join(sorted(lost)), waits=is_time)
        answers = done.returncode == 0 or UNKNOWN in done.stderr  # of some of them
        lines += done.stdout.splitlines() if answers else []
    if not answers:
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        report_waiting(folder, "the states of running jobs are unknown", reason)
    states = {}
    for line in lines:
        job, state, reason, partitions = f"{line}|||".split("|")[:4]
        # With several partitions, the reason is that of the last one that Slurm tried.
        never = state == RESERVATION_ENDED or (
            state == "PENDING" and "," not in partitions and NEVER.search(reason)
        )
        why = reason.partition(",")[0] if state == "PENDING" else state  # without names of nodes
        if never:
            explain_failure(folder, job, reason)
        elif WAITS.fullmatch(state) and why not in ORDINARY:
            report_waiting(folder, f"job {job} waits", why)
        if never or HELD.search(f"{state} {reason}"):
            # If it cannot be cancelled now, the next query tries again.
            cancelled = is_time() and call("scancel", job, waits=is_time).returncode == 0
            state = "FAILED" if cancelled else "PENDING"
        if job:
            states[job] = state
    for record in folder.glob("[0-9]*"):
        status, age = _read(record), 0.0  # read after asking Slurm
        with contextlib.suppress(OSError):
            age = time.time() - record.stat().st_mtime
        if states.get(record.name) == ENDING and status != "0" and age > ENDING_SECONDS:
            report_waiting(folder, f"job {record.name} waits", ENDING)
        # While Slurm does not answer, it may be about to restart a failed job.
        is_gone = answers and (status or age > SECONDS_TO_APPEAR)
        state = states.get(record.name, "FAILED" if is_gone else "RUNNING")
        states[record.name] = "COMPLETED" if status == "0" else state
    for job, state in states.items():
        print(f"{job}|{'FAILED' if state in LOST else state}")
    return 0


def _read(record: Path) -> str:
    """Return the exit status that a job has written, if it has."""
    with contextlib.suppress(OSError):
        return record.read_text().strip()
    return ""


def explain_failure(folder: Path, job: str, reason: str) -> None:
    """Record why a job will not start, also in the log of its run, which Snakemake shows."""
    setting = next(name for part, name in SETTINGS.items() if re.search(part, reason))
    why = f"{reason}: it {NEVER_STARTS}; change {setting} in slurm/config.yaml"
    report_waiting(folder, f"job {job} is cancelled", why)
    with contextlib.suppress(OSError):
        if log := (folder / f"{SUBMITTED}{job}").read_text():
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            Path(log).write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')} job {job}: {why}\n")
