from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from hw2core import machine


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a stand-in for nvidia-smi on the PATH, with what it prints and its exit status."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")

    def write(text: str, status: int = 0) -> None:
        script = tmp_path / "nvidia-smi"
        script.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return write


def test_the_first_gpu_counts(nvidia_smi):
    nvidia_smi("81559\n24576")
    assert machine.measure_gpu_memory() == 81559 << 20


@pytest.mark.parametrize(("text", "status"), [("no devices were found", 6), ("[N/A]", 0), ("", 0)])
def test_a_driver_without_a_gpu_is_none(nvidia_smi, text, status):
    nvidia_smi(text, status)
    assert machine.measure_gpu_memory() == 0


def test_a_machine_without_the_tool_has_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.measure_gpu_memory() == 0


def test_threads_are_slurms_allotment_or_the_affinity(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert machine.count_allotted_threads() == 3
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5}, raising=False)
    assert machine.count_allotted_threads() == 2


# Counts the pages that the system clears for a block of 100 MB: 25,600 of them if of 4 kB.
CLEARED = """
import resource, torch
from hw2core.machine import use_large_pages
use_large_pages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.zeros(100 << 20, dtype=torch.uint8).add_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text(),
    reason="this system gives no large pages",
)
def test_torch_gets_large_pages():
    environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", CLEARED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) < 13_000
