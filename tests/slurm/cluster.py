"""A real Slurm on this machine while it is needed: one node, two cores, one simulated GPU.

The job steps of Snakemake's Slurm plugin read /etc/slurm/slurm.conf whatever the environment says,
so links are put there and removed at the end. Nothing else outside a temporary folder is changed.
Without root, or if the machine has a Slurm of its own, ``Unavailable`` is raised.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

SITE = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "slurmdbd.conf")
DATABASE = ("slurmdbd", "mariadbd")  # for accounting only
DAEMONS = ("slurmd", "slurmctld", *DATABASE, "munged")  # in the order in which they are stopped
PREFIX = "hw2-slurm-"

SLURM_CONF = """
ClusterName=hw2
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# linuxproc would leave trainings behind whose shell was cancelled first.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
TaskProlog={folder}/task_prolog
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Jobs start at once, not with the next round of a few seconds.
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
GresTypes=gpu
MpiDefault=none
MailProg=/bin/true
KillWait=5
# A job that is over is forgotten at once, within the minute that Slurm takes to look for them.
MinJobAge=3
# What finished is remembered here, also without an accounting database.
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished
JobAcctGatherType=jobacct_gather/none
# A job in the partition "urgent" cancels one in "main" whose place it needs.
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=urgent Nodes={host} PriorityTier=2 MaxTime=INFINITE State=UP
"""
ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={database_port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=limits
"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={database_port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={storage_port}
StorageUser=root
StorageLoc=slurm
"""
# What Slurm gave each job step: a line that its shell writes before it starts.
TASK_PROLOG = '#!/bin/sh\necho "$SLURM_JOB_ID $CUDA_VISIBLE_DEVICES" >> {folder}/steps\n'


class Unavailable(RuntimeError):
    """No Slurm can be started here; says why."""


class Cluster:
    """A Slurm that is running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list_jobs(self) -> list[str]:
        """Return the numbers of the jobs that wait or run."""
        return call("squeue", "--noheader", "--format=%i").split()

    def find_running(self) -> str:
        """Return the number of the job that runs; there is a GPU for one."""
        (job,) = call("squeue", "--noheader", "--states=running", "--format=%i").split()
        return job

    def read_finished(self) -> list[tuple[str, str, datetime, datetime]]:
        """Return number, state, start and end of the jobs that are over: Slurm's own record."""
        pattern = r"^JobId=(\d+) .*JobState=(\w+) .*StartTime=(\S+) EndTime=(\S+)"
        record = self.folder / "finished"
        found = re.findall(pattern, record.read_text() if record.exists() else "", re.MULTILINE)
        return [
            (job, state, datetime.fromisoformat(start), datetime.fromisoformat(end))
            for job, state, start, end in found
        ]

    def read_gpus(self, job: str) -> set[str]:
        """Return what CUDA_VISIBLE_DEVICES was in the steps of a job."""
        lines = [line.split(" ") for line in (self.folder / "steps").read_text().splitlines()]
        return {gpus for number, gpus in lines if number == job}

    @contextlib.contextmanager
    def stopped_controller(self) -> Iterator[None]:
        """Let nobody answer for Slurm; its jobs run on."""
        _end(self.folder / "slurmctld.pid")
        yield
        _daemon("slurmctld")

    def cancel_all(self) -> None:
        """Cancel what is left, and wait until its processes are gone."""
        jobs = self.list_jobs()
        if jobs:
            call("scancel", *jobs)
        wait_until(lambda: not self.list_jobs(), "the jobs to end", seconds=30)


def call(*command: str) -> str:
    """Return what a command prints; with what it says, when it fails."""
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {process.stderr.strip()}")
    return process.stdout


def wait_until(condition, what: str, seconds: float) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def run_cluster(*, accounting: bool = False) -> Iterator[Cluster]:
    """Start Slurm, and stop it and clean up in the end, whatever happens in between.

    With ``accounting``, a database keeps accounts and limits.

    Raises:
        Unavailable: Slurm is not installed, this is not root, or the site has a Slurm.
    """
    _check_available(accounting)
    # One cluster at a time on a machine: a second one waits here for the first to be gone.
    lock = os.open(SITE, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_what_was_killed()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            yield _start(folder, accounting)
        finally:
            _stop(folder)
    finally:
        os.close(lock)


def _check_available(accounting: bool) -> None:
    needed = [name for name in DAEMONS if accounting or name not in DATABASE]
    missing = [name for name in (*needed, "srun", "sbatch") if _find(name) is None]
    if missing:
        raise Unavailable(f"Slurm is not installed: no {', '.join(missing)}")
    if os.geteuid() != 0:
        raise Unavailable("only root can start Slurm's daemons")
    if "SLURM_CONF" in os.environ:
        raise Unavailable(f"SLURM_CONF={os.environ['SLURM_CONF']} names a site's Slurm")
    if not SITE.is_dir():
        raise Unavailable(f"{SITE} is missing")
    for path in map(SITE.joinpath, FILES):
        if os.path.lexists(path) and not _is_ours(path):
            raise Unavailable(f"{path} is a site's: not touched")


def _is_ours(path: Path) -> bool:
    return path.is_symlink() and path.readlink().parent.name.startswith(PREFIX)


def _remove_what_was_killed() -> None:
    """Stop the cluster of a session that could not do it."""
    for folder in {path.readlink().parent for path in map(SITE.joinpath, FILES) if _is_ours(path)}:
        _stop(folder)


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _start(folder: Path, accounting: bool) -> Cluster:
    folder.chmod(0o755)  # munged wants its socket to be reachable
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(4)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
    values = {
        "folder": folder,
        "host": socket.gethostname().split(".")[0],
        "controller_port": ports[0],
        "node_port": ports[1],
        "database_port": ports[2],
        "storage_port": ports[3],
    }
    (folder / "slurm.conf").write_text((SLURM_CONF + ACCOUNTING * accounting).format(**values))
    if accounting:
        (folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**values))
        (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu0\n")
    (folder / "gpu0").symlink_to("/dev/null")
    prolog = folder / "task_prolog"
    prolog.write_text(TASK_PROLOG.format(folder=folder))
    prolog.chmod(0o755)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    for name in FILES:
        path = SITE / name
        path.unlink(missing_ok=True)
        if (folder / name).exists():
            path.symlink_to(folder / name)

    options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    places = [f"--{option}={folder}/munge.{end}" for option, end in options.items()]
    _daemon("munged", *places, f"--seed-file={folder}/munge.seed")
    if accounting:
        _start_accounting(folder, ports[3])
    _daemon("slurmctld", "-c")
    _daemon("slurmd")
    cluster = Cluster(folder)
    try:
        wait_until(lambda: "idle" in call("sinfo", "-h", "-o", "%T"), "the node", seconds=30)
    except (RuntimeError, TimeoutError) as error:
        log = (folder / "slurmctld.log").read_text()[-2000:]
        raise RuntimeError(f"Slurm did not start: {error}\n{log}") from None
    return cluster


def _start_accounting(folder: Path, port: int) -> None:
    """Start a database and its daemon; root has the account "course", without limits."""
    options = ("--no-defaults", f"--datadir={folder}/database", "--user=root")
    (folder / "database").mkdir()
    call("mariadb-install-db", "--auth-root-authentication-method=normal", *options)
    options += (f"--socket={folder}/database.socket", f"--pid-file={folder}/mariadbd.pid")
    options += (f"--port={port}", "--bind-address=127.0.0.1")
    # Of a shell that has ended: a child of this process would have to be waited for.
    command = shlex.join([str(_find("mariadbd")), *options])
    subprocess.run(f"{command} > /dev/null 2>&1 &", shell=True, check=True)
    wait_until((folder / "database.socket").exists, "the database", seconds=30)
    _daemon("slurmdbd")
    wait_until(lambda: _answers("sacctmgr", "list", "cluster"), "slurmdbd", seconds=30)
    for added in (("cluster", "hw2"), ("account", "course"), ("user", "root", "account=course")):
        call("sacctmgr", "--immediate", "add", *added)


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def _daemon(name: str, *arguments: str) -> None:
    call(str(_find(name)), *arguments)


def _stop(folder: Path) -> None:
    with contextlib.suppress(RuntimeError, TimeoutError):
        Cluster(folder).cancel_all()
    for name in DAEMONS:
        _end(folder / f"{name.removesuffix('d') if name == 'munged' else name}.pid")
    for path in map(SITE.joinpath, FILES):
        if _is_ours(path):
            path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _end(pid_file: Path) -> None:
    try:
        process = int(pid_file.read_text())
        os.kill(process, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{process}").exists(), pid_file.stem, seconds=10)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return
    except TimeoutError:
        os.kill(process, signal.SIGKILL)
