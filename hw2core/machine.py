"""What this machine offers, found out without importing torch."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from contextlib import suppress

# Options of glibc's mallopt, from malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def measure_gpu_memory() -> int:
    """Return the bytes of the first GPU that torch can train on (CUDA, or Apple's); 0 for none."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if shutil.which("nvidia-smi") is None:
        return 0
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True)
    first = answer.stdout.partition("\n")[0].strip()
    return int(first) << 20 if answer.returncode == 0 and first.isdigit() else 0  # from MiB


def count_allotted_threads() -> int:
    """Return the CPU cores this process may use: Slurm's allotment, else its affinity.

    ``os.cpu_count()`` counts the cores of others too; threads beyond the allotment make a training
    several times slower.
    """
    if slurm := os.environ.get("SLURM_CPUS_PER_TASK"):
        return int(slurm)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Let this process keep what it frees, for what it needs next; nothing happens but with glibc.

    glibc returns large blocks (of 32 MB at the latest) to the system whenever they are freed, and
    the system clears every page of the next ones: a third of the steps of 128 filters on a CPU.
    """
    with suppress(AttributeError):  # another C library has no such call
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_MAX, 0)
        set_option(_TRIM_THRESHOLD, 2**31 - 1)  # bytes; the largest there is
