"""Copies the sources of this checkout, with another config.yaml, and runs Snakemake in the copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from measure import ROOT

from hw2core.config.reading import read_config
from hw2core.config.study import STUDY_FILE

# A forked process inherits the peak memory of its parent, so a small parent is used.
WATCHED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""
PARTS = ["Snakefile", "rules", "workflow_scripts", "hw2core", "profiles", "gpu", "report", "search"]


class Usage(NamedTuple):
    """Time of a call in seconds, and the peak resident memory of any of its processes in bytes."""

    seconds: float
    memory: int


def read_study_config() -> dict[str, Any]:
    """Return the content of this checkout's config.yaml."""
    return read_config(STUDY_FILE)


def make_workspace(folder: Path, config: dict[str, Any]) -> None:
    """Copy the sources to ``folder``, with ``config`` as config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    built = shutil.ignore_patterns("__pycache__", "report.html", "report.pdf", "explore.html")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=built)
        else:
            shutil.copy2(ROOT / part, folder / part)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def run_snakemake(folder: Path, *arguments: str) -> Usage:
    """Run Snakemake in a workspace; if it fails, exit with its output."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with tempfile.NamedTemporaryFile("r") as memory:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, memory.name, *command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-5000:]}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Usage(seconds, int(memory.read()) * unit)


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Return Snakemake's record of each file it made: rule, log, start and end."""
    files = (folder / ".snakemake" / "metadata").rglob("*")
    return [json.loads(file.read_text()) for file in files if file.is_file()]
