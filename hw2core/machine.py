"""What this machine offers, found out without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # the environment variable by which torch is asked for them


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


def use_large_pages() -> None:
    """Let torch ask for its large blocks of memory in pages of 2 MB; before its first tensor.

    The system clears every page of a block that it gives, and blocks of 32 MB and more come from
    it anew each time: with pages of 4 kB a quarter of the time of 128 filters on a CPU. Only Linux
    has such pages, and only where it is set to give them; elsewhere nothing happens.
    """
    os.environ.setdefault(LARGE_PAGES, "1")
