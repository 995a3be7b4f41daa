"""Calls Slurm's own programs, which come after the wrappers of slurm/bin in the PATH."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

SECONDS_TO_ANSWER = 40  # the plugin gives up after 60
MISSING = "not found, or not executable"


def find(command: str) -> str | None:
    """Return Slurm's own program."""
    folders = os.environ["PATH"].split(os.pathsep)
    theirs = [f for f in folders if not Path(f, "..", "commands.py").exists()]
    return shutil.which(command, path=os.pathsep.join(theirs))


def call(
    command: str,
    *arguments: str,
    waits: Callable[[int], bool] = lambda seconds: seconds < SECONDS_TO_ANSWER,
) -> subprocess.CompletedProcess[str]:
    """Call a command of Slurm; if it is missing or does not answer, return a failure.

    Args:
        waits: asked each second whether to wait for the answer, given the seconds so far.
    """
    program = find(command)
    if program is None:
        return subprocess.CompletedProcess(command, 127, "", f"{command}: {MISSING}\n")
    try:
        process = subprocess.Popen(
            [program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            errors="replace",
            start_new_session=True,  # Ctrl-C would end it before it has answered
        )
        for seconds in itertools.count(1):
            try:
                output, message = process.communicate(timeout=1)
                return subprocess.CompletedProcess(command, process.returncode, output, message)
            except subprocess.TimeoutExpired:
                if not waits(seconds):
                    break
        os.killpg(process.pid, signal.SIGKILL)  # a site's script may have started others
        with contextlib.suppress(subprocess.TimeoutExpired):  # of a file system that hangs
            process.communicate(timeout=1)
        message = f"{command}: no answer within {seconds} s\n"
    except OSError as error:
        message = f"{command}: {error}\n"
    return subprocess.CompletedProcess(command, 1, "", message)
