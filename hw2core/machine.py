"""What this machine offers, found out without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess


def has_gpu() -> bool:
    """Return whether a GPU that torch can train on is in this machine (CUDA, or Apple's)."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return True
    if shutil.which("nvidia-smi") is None:
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0


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
