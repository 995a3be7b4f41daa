"""Prepares Snakemake's Slurm plugin: its environment, and what it shows of jobs that wait."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hw2core.errors import UserError

# They change what Slurm's commands answer, or which cluster or kind of job sbatch submits to.
VARIABLES = re.compile(
    r"(SQUEUE|SINFO|SACCT|SCONTROL|SCANCEL)_.*|SLURM_CLUSTERS|SBATCH_(CLUSTERS|WAIT|ARRAY_INX)"
)
UNUSABLE = re.compile("[$`%]")  # in a path: the plugin's shell or Slurm replaces them


def prepare_slurm(checkout: str, folders: Iterable[str]) -> None:
    """Remove variables that change what Slurm answers, and check that jobs can be submitted.

    Args:
        checkout: its slurm/bin comes before Slurm's own commands.
        folders: those that a job works in and writes its log to.

    Raises:
        UserError: there is no sbatch, or the path of a folder has signs that the plugin cannot use.
    """
    for name in filter(VARIABLES.fullmatch, list(os.environ)):
        del os.environ[name]
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


def show_waiting(executor: Any, show: Callable[[str], None]) -> None:
    """Make Slurm's plugin show why jobs wait, as recorded by slurm/commands.py.

    Args:
        executor: the plugin, or another executor, which is left as it is.
        show: called with each line.
    """
    name = getattr(executor, "run_uuid", None)
    if name is None:
        return
    check = executor.check_active_jobs
    file = Path(".snakemake", "slurm", name, "waiting")
    shown = 0

    async def check_and_show(jobs: list[Any]) -> AsyncIterator[Any]:
        nonlocal shown
        async for job in check(jobs):
            yield job
        with suppress(OSError):
            lines = file.read_text().splitlines()
            for line in lines[shown:]:
                show(line)
            shown = len(lines)

    executor.check_active_jobs = check_and_show
