"""The files that tell the calls of one Snakemake call what happened to its jobs."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

RECORDS = Path(".snakemake/slurm")  # a folder per Snakemake call, a file per job
SUBMITTED = "submitted."  # with its number: a file of each job that the plugin knows
INTERRUPTED = "interrupted"  # a file in the folder of an interrupted call
WAITING = "waiting"  # a file there with a line per reason to wait, shown by hw2core/slurm.py
DAYS_KEPT = 30


def report_waiting(folder: Path, what: str, reason: str) -> None:
    """Record why something waits, once for each reason of a call."""
    line = f": {reason}\n"
    with contextlib.suppress(OSError), (folder / WAITING).open("a+") as file:
        file.seek(0)
        if line not in file.read():
            file.write(f"{what}{line}")


def record_interrupt(folder: Path) -> None:
    """Record that a call was interrupted, unless a quota is used up: its jobs end all the same."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INTERRUPTED).touch()


def remove_old_records() -> None:
    """Delete the records of calls in which nothing has happened for long."""
    for folder in RECORDS.glob("*"):
        with contextlib.suppress(OSError):  # another submission deletes them at the same time
            newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            if newest < time.time() - DAYS_KEPT * 24 * 3600:
                shutil.rmtree(folder, ignore_errors=True)
