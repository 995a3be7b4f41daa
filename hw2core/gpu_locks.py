"""Shares out the GPUs of this machine among the jobs of a user, whoever has started them."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from hw2core.gpus import VISIBLE, find_gpus

# Not a folder of the session or of TMPDIR: all calls of a user must find the same files.
FOLDER = Path(f"/tmp/hw2core-{os.getuid()}")
GATE = "choosing"
PERCENT = 100  # a byte of a GPU's file is one percent of it
SECONDS_BETWEEN_TRIES = 0.2


def take_gpu(percent: int, log: logging.Logger) -> None:
    """Hold ``percent`` of one GPU until this process ends, and hide the others from it.

    It is the GPU with the most room; where none has enough, this waits. To be called before CUDA
    starts. Does nothing where no GPU of NVIDIA is to be shared: ``percent`` is 0, or HW2_DEVICE
    names the device. Where no lock can be had, a warning says so, and CUDA chooses.
    """
    names = [gpu.name for gpu in find_gpus() if gpu.name] if percent else []
    if not names:
        return
    waits = False
    try:
        # With several GPUs, Snakemake lets --set-resources ask for more than all of one.
        while (name := lock_share(names, min(percent, PERCENT))) is None:
            if not waits:
                log.info("waiting for a GPU with room")
            waits = True
            time.sleep(SECONDS_BETWEEN_TRIES)
    except OSError as error:
        log.warning(f"{FOLDER}: cannot be used ({error.strerror}), so GPUs are not shared out")
        return
    os.environ[VISIBLE] = name


def lock_share(names: Iterable[str], percent: int) -> str | None:
    """Lock ``percent`` bytes of the file of the GPU with the most room; return its name, or None.

    The kernel drops the locks of a process that ends, however it does.

    Raises:
        OSError: the files cannot be made or locked.
    """
    with os.fdopen(open_file(GATE), "w") as gate:
        fcntl.lockf(gate, fcntl.LOCK_EX)  # one process at a time counts what is free and takes it
        files = {name: open_file(name) for name in names}
        free = {name: _lock_free(file) for name, file in files.items()}
        best = max(free, key=lambda name: len(free[name]))
        # All of them are marked as used.
        kept = all([keep_file(gate.fileno(), GATE), *map(keep_file, files.values(), files)])
        chosen = best if kept and len(free[best]) >= percent else None
        for name, file in files.items():
            if name != chosen:
                os.close(file)  # drops its locks
        if chosen:
            for byte in free[chosen][percent:]:
                fcntl.lockf(files[chosen], fcntl.LOCK_UN, 1, byte)
            # A training that starts itself again (os.execv) keeps its share.
            os.set_inheritable(files[chosen], True)
    return chosen


def open_file(name: str) -> int:
    """Open a file in the folder of locks; its content does not matter.

    Raises:
        OSError: it cannot be made, or the folder belongs to another user.
    """
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    if FOLDER.lstat().st_uid != os.getuid():
        raise PermissionError(0, "it belongs to another user")
    return os.open(_locate(name), os.O_RDWR | os.O_CREAT, 0o600)


def keep_file(file: int, name: str) -> bool:
    """Mark an open file as used; return whether other processes open the same file.

    They do not if it was deleted meanwhile: many systems clean /tmp of files that were not used for
    days.
    """
    os.utime(file)
    _lock_folder(FOLDER)
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), _locate(name).stat())
    return False


@cache
def _lock_folder(folder: Path) -> None:
    """Keep systemd from cleaning the folder until this process ends, however long it runs."""
    with suppress(OSError):  # not every disk has such locks
        file = os.open(folder, os.O_RDONLY)
        os.set_inheritable(file, True)
        fcntl.flock(file, fcntl.LOCK_SH)


def _locate(name: str) -> Path:
    return FOLDER / re.sub(r"[^\w.-]", "_", name)


def _lock_free(file: int) -> list[int]:
    """Lock every byte that no other process has; return them."""
    free = []
    for byte in range(PERCENT):
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            continue
        free.append(byte)
    return free
