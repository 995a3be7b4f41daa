"""A copy of this checkout's sources with a study of its own, and real Snakemake to run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from measure import ROOT

from hw2core.config_file import read_config

PARTS = ("Snakefile", "rules", "workflow_scripts", "hw2core", "profiles", "gpu", "report")


def read_study_config() -> dict[str, Any]:
    """Return config.yaml of this checkout, to be changed and written elsewhere."""
    return read_config(ROOT / "config.yaml")


def make_workspace(folder: Path, config: dict[str, Any]) -> None:
    """Copy the sources to ``folder``, with ``config`` as their config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    built = shutil.ignore_patterns("__pycache__", "report.html", "report.pdf")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=built)
        else:
            shutil.copy2(ROOT / part, folder / part)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def run_snakemake(folder: Path, *arguments: str) -> float:
    """Run Snakemake in a workspace and return its seconds; end with its output where it fails."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-5000:]}")
    return seconds
