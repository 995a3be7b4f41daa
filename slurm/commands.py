"""Wraps sbatch, squeue, sacct and scancel for Snakemake's Slurm plugin: see slurm/bin.

Each job writes its exit status to a file, so that its end is known even if Slurm has forgotten the
job, does not answer, or has no accounting database, and no call waits for a job that is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

RECORDS = Path(".snakemake/slurm")  # a folder per Snakemake call, a file per job
SUBMITTED = "submitted."  # with its number: a file of each job that the plugin knows
INTERRUPTED = "interrupted"  # a file in the folder of an interrupted call
WAITING = "waiting"  # a file there with a line per reason why jobs wait; Snakemake shows them
OURS = {"--job-name", "--comment"}  # the plugin's calls have both
NOT_RECORDED = {"--array", "--clusters"}  # their jobs have other ids, or are not in squeue
DAYS_KEPT = 30
SECONDS_TO_ANSWER = 40  # the plugin gives up after 60
SECONDS_BETWEEN_TRIES = 5
SECONDS_TO_BEGIN = 600  # a call that cannot submit its first job in this time gives up
AWAY = re.compile(
    "Unable to contact slurm controller|Zero Bytes were transmitted|Socket timed out"
    "|controller in standby mode|temporarily un(able|available)"
)
UNHEARD = re.compile("Zero Bytes were transmitted|Socket timed out")  # the job may be accepted
LIMIT = re.compile(r"\w*Submit\w*Limit")  # such as AssocMaxSubmitJobLimit
# The plugin would wait forever for a job in one of these states, expecting Slurm to restart it. A
# job that Slurm does restart is pending in squeue.
LOST = ("PREEMPTED", "NODE_FAIL", "REVOKED")
# It holds a job that did not start on a broken node until somebody releases it, which may be never.
HELD = re.compile("launch failed|SPECIAL_EXIT|JobHoldMaxRequeue")
ORDINARY = ("", "None", "Priority", "Resources", "BeginTime", "Cleaning", "Prolog")
# A job that waits for one of these reasons requests what the site never grants.
NEVER = re.compile(
    r"Partition(Time|Node)Limit|(QOS|Assoc)Max\w*Per(Job|Node)|QOSMin|MaxMemPerLimit|BadConstraints"
    r"|Invalid(Account|QOS)|(Account|QOS)NotAllowed|DependencyNeverSatisfied|ReservationDeleted"
)
SETTINGS = {  # of slurm/config.yaml, by a part of the reason
    "Time|Wall|Minutes": "runtime",
    "Mem": "mem_mb",
    "GRES": "gres",
    "Account": "slurm_account",
    "QOSNot|InvalidQOS": "qos",
    "": "default-resources and set-resources",
}
NUMBER = re.compile(r"^(\d+)(?:;.*)?$", re.MULTILINE)  # of a job, in what sbatch prints
RUN = re.compile(r"train:run=([^,]+),seed=(\d+)")  # in the command of a job
NEVER_STARTS = "never starts"  # as in hw2core/runs/log.py


def main(command: str, arguments: list[str]) -> int:
    """Handle the plugin's calls; pass all others on to Slurm's own command."""
    options = {argument.partition("=")[0] for argument in arguments}
    if command == "sbatch" and options >= OURS and not options & NOT_RECORDED:
        return submit(arguments)
    if command in ("squeue", "sacct") and "--name" in arguments:
        return report_states(arguments[arguments.index("--name") + 1])
    if command == "scancel":  # the plugin calls it when Snakemake is interrupted
        for job in arguments:
            for record in RECORDS.glob(f"*/{job}"):
                record.with_name(INTERRUPTED).touch()
    program = find(command)
    if program is not None:
        os.execv(program, [command, *arguments])
    print(f"{command}: not found, or not executable", file=sys.stderr)
    return 127


def find(command: str) -> str | None:
    """Return Slurm's own program, which comes after the wrapper in the PATH."""
    folders = os.environ["PATH"].split(os.pathsep)
    theirs = [f for f in folders if not Path(f, "..", Path(__file__).name).exists()]
    return shutil.which(command, path=os.pathsep.join(theirs))


def call(
    command: str, *arguments: str, timeout: float | None = SECONDS_TO_ANSWER
) -> subprocess.CompletedProcess[str]:
    """Call a command of Slurm; if it is missing or does not answer, return a failure."""
    program = find(command) or "/missing"
    try:
        return subprocess.run(
            [program, *arguments], capture_output=True, errors="replace", timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", f"{command}: {error}\n")


def submit(arguments: list[str]) -> int:
    """Submit a job that records its exit status; wait while Slurm is down or accepts no jobs."""
    folder = RECORDS / arguments[arguments.index("--job-name") + 1]
    if not folder.exists():
        remove_old_records()
    folder.mkdir(parents=True, exist_ok=True)
    mark = f" {secrets.token_hex(8)}"  # the plugin gives many jobs one comment
    wrapped = [record_status(argument, folder.resolve()) for argument in arguments]
    wrapped[arguments.index("--comment") + 1] += mark
    interrupted = folder / INTERRUPTED
    started = time.monotonic()
    unheard = False  # whether Slurm may have accepted the job
    try:
        while is_read() and not interrupted.exists():
            done = call("sbatch", *wrapped, timeout=None)
            if done.returncode == 0 and (jobs := NUMBER.findall(done.stdout)):
                keep(folder, jobs[-1], arguments)
            elif done.returncode and is_temporary(done.stderr) and not is_hopeless(folder, started):
                unheard = bool(UNHEARD.search(done.stderr))
                time.sleep(SECONDS_BETWEEN_TRIES)
                if not unheard:
                    continue
                while (found := find_accepted(folder, mark)) is None and is_read():
                    time.sleep(SECONDS_BETWEEN_TRIES)
                unheard = False
                if not found:
                    continue
                keep(folder, found, arguments)
                done = subprocess.CompletedProcess("sbatch", 0, f"{found}\n", "")
            print(done.stdout, end="", flush=True)
            print(done.stderr, end="", file=sys.stderr)
            return done.returncode
    except KeyboardInterrupt:
        interrupted.touch()
    if unheard and (found := find_accepted(folder, mark)):
        keep(folder, found, arguments)
    print("not submitted: Snakemake was interrupted", file=sys.stderr)
    return 130


def keep(folder: Path, job: str, arguments: list[str]) -> None:
    """Record a job that Slurm accepted; cancel it if the call was interrupted meanwhile."""
    logs = ["logs/train/{}/seed{}.log".format(*run) for run in RUN.findall(" ".join(arguments))]
    (folder / f"{SUBMITTED}{job}").write_text("".join(logs[:1]))
    (folder / job).touch()  # the job may have written to it by now
    if (folder / INTERRUPTED).exists():  # the plugin does not know this job yet
        call("scancel", job)


def find_accepted(folder: Path, mark: str) -> str | None:
    """Return the job that Slurm accepted unheard, or ""; None while squeue does not answer."""
    done = call("squeue", "--me", "--noheader", "--format=%i|%k", "--name", folder.name)
    for line in done.stdout.splitlines():
        if line.endswith(mark):
            return line.partition("|")[0]
    return None if done.returncode else ""


def record_status(argument: str, folder: Path) -> str:
    """Make a job script write its exit status; return other arguments unchanged."""
    if not argument.startswith("--wrap="):
        return argument
    file = f'{shlex.quote(str(folder))}/"$SLURM_JOB_ID"'
    # Emptied first, because Slurm may restart a job.
    return f"--wrap=: > {file}\n{argument.removeprefix('--wrap=')}\nstatus=$?\n" + (
        f"echo $status > {file}\nexit $status"
    )


def is_temporary(message: str) -> bool:
    """Return whether sbatch may succeed later, when a job has ended or Slurm is up again."""
    if AWAY.search(message):
        return True
    limit = LIMIT.search(message)
    if limit is None:
        return False
    queue = call("squeue", "--me", "--noheader")
    # If no job of this user is in the queue, the limit is per job: waiting does not help.
    return "Grp" in limit.group() or queue.returncode != 0 or bool(queue.stdout.strip())


def is_hopeless(folder: Path, started: float) -> bool:
    """Return whether Slurm has long accepted no job of this call and has none of this user."""
    if time.monotonic() - started < SECONDS_TO_BEGIN or any(folder.glob("[0-9]*")):
        return False
    queue = call("squeue", "--me", "--noheader")
    return queue.returncode != 0 or not queue.stdout.strip()


def is_read() -> bool:
    """Return whether the caller still reads this process's output."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)


def report_states(name: str) -> int:
    """Print the state of each job of a call as squeue does, including jobs unknown to squeue."""
    query = ("--format=%i|%T|%r|%P", "--states=all", "--noheader", "--name", name)
    done = call("squeue", *query)
    answers = done.returncode == 0
    states = {}
    for line in done.stdout.splitlines() if answers else ():
        job, state, reason, partitions = f"{line}|||".split("|")[:4]
        # With several partitions, the reason is that of the last one that Slurm tried.
        never = state == "PENDING" and "," not in partitions and NEVER.search(reason)
        if state == "PENDING":
            with contextlib.suppress(OSError):
                (explain_failure if never else report_waiting)(RECORDS / name, job, reason)
        if never or HELD.search(f"{state} {reason}"):
            call("scancel", job)
            state = "FAILED"
        if job:
            states[job] = state
    for record in (RECORDS / name).glob("[0-9]*"):
        status = record.read_text().strip()  # read after asking Slurm
        # While Slurm does not answer, it may be about to restart a failed job.
        state = states.get(record.name, "FAILED" if answers else "RUNNING")
        states[record.name] = "COMPLETED" if status == "0" else state
    for job, state in states.items():
        print(f"{job}|{'FAILED' if state in LOST else state}")
    return 0


def explain_failure(folder: Path, job: str, reason: str) -> None:
    """Write to the log of a run why its job will not start; Snakemake shows the log."""
    setting = next(name for part, name in SETTINGS.items() if re.search(part, reason))
    if log := (folder / f"{SUBMITTED}{job}").read_text():
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        line = f"job {job}: {reason}: it {NEVER_STARTS}; change {setting} in slurm/config.yaml"
        Path(log).write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def report_waiting(folder: Path, job: str, reason: str) -> None:
    """Record why a job waits, once for each reason of a call, unless jobs usually wait for it."""
    reason = reason.partition(",")[0]  # without names of nodes
    with (folder / WAITING).open("a+") as file:
        file.seek(0)
        if reason not in ORDINARY and f": {reason}\n" not in file.read():
            file.write(f"job {job} waits: {reason}\n")


def remove_old_records() -> None:
    """Delete the records of old calls."""
    for folder in RECORDS.glob("*"):
        if folder.stat().st_mtime < time.time() - DAYS_KEPT * 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
