"""Lets one process of a user train a run at a time on this machine, whoever has started it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from pathlib import Path

from hw2core.gpu_locks import keep_file, open_file

FILE = "runs"  # each run has a byte of it: Snakemake's own locks end with the first of two calls


def hold_run(result: Path) -> bool:
    """Hold the lock of a run until this process ends; return whether another process had it.

    That one is waited for. Where no lock can be had, training goes on without.
    """
    byte = int(hashlib.sha256(os.fsencode(result.resolve())).hexdigest()[:15], base=16)
    waited, file = False, None
    try:
        while file is None or not keep_file(file, FILE):
            file = open_file(FILE)
            # A training that starts itself again (os.execv) keeps its run.
            os.set_inheritable(file, True)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except (BlockingIOError, PermissionError):
                print(f"{result}: another process trains this run; waiting", file=sys.stderr)
                waited = True
                fcntl.lockf(file, fcntl.LOCK_EX, 1, byte)
    except OSError as error:
        print(f"{result}: trained without a lock ({error.strerror})", file=sys.stderr)
    return waited
