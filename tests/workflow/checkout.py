"""Copies of this checkout with a tiny study, and real Snakemake to run in them."""

from __future__ import annotations

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
PARTS = ["Snakefile", "rules", "workflow_scripts", "hw2core", "profiles", "slurm", "gpu", "report"]
PARTS += ["search", "quick"]

TINY = {
    "data": {"name": "generated", "source_train": 240, "source_test": 60, "train": 160}
    | {"validation": 80, "test": 60},
    "training": {
        "epochs": 2,
        "batch_size": 32,
        "optimizer": "adamw",
        "lr": 0.003,
        "weight_decay": 0.0,
        "schedule": "constant",
    },
    "seeds": [0],
    "experiments": {
        "exp1_1": {
            "question": "Depth?",
            "varies": "L",
            "fixed": "the rest",
            "model": "cnn",
            "architecture": {"pools": 2, "hidden_dims": [8]},
            "grid": {"filters_per_layer": [[4]], "layers_per_block": [2, 4]},
        },
        "exp1_4": {
            "question": "Skips?",
            "varies": "nothing",
            "fixed": "all",
            "model": "resnet",
            "architecture": {"pools": 2, "hidden_dims": [8]},
            "grid": {"filters_per_layer": [[4]], "layers_per_block": [4]},
        },
        "exp2": {
            "question": "More?",
            "varies": "nothing",
            "fixed": "all",
            "model": "ycn",
            "architecture": {"pools": 2, "hidden_dims": []},
            "grid": {"filters_per_layer": [[4]], "layers_per_block": [4]},
        },
    },
}
NUM_RUNS = 4
TARGETS = ("all", "figures", "report")


class Checkout:
    """A folder with the sources and a configuration of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def configure(self, config: dict) -> None:
        (self / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that stands exactly once in a source file."""
        text = (self / path).read_text()
        assert text.count(old) == 1, f"{path}: {text.count(old)} times {old!r}"
        (self / path).write_text(text.replace(old, new))

    def overlay(self, experiment: str, **values: object) -> None:
        """Configure the tiny study with something else in one experiment."""
        config = copy.deepcopy(TINY)
        config["experiments"][experiment] |= values
        self.configure(config)

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def execute(self, *command: str, environment: dict[str, str], **options) -> subprocess.Popen:
        """Start this Python in the folder, with one thread a training, and read its output."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            # With more threads, those of two jobs would get in each other's way.
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A test that runs in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            **options,
        )

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        return self.execute("-m", "snakemake", *arguments, environment={}, **options)

    def snakemake(self, *arguments: str, succeeds: bool = True) -> str:
        """Run Snakemake and return what it printed."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=600)
        assert (process.returncode == 0) == succeeds, output
        return output

    def plan(self, *arguments: str) -> Counter[str]:
        """Return how many jobs of each rule a dry run plans."""
        return count_jobs(self.snakemake("-n", *arguments))


def count_jobs(output: str) -> Counter[str]:
    """Return how many jobs of each rule Snakemake printed; the targets' own are left out."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    jobs = re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)
    return Counter({rule: int(count) for rule, count in jobs if rule not in TARGETS})


def copy_sources(folder: Path) -> Checkout:
    folder.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            # "reference": the published record, of another study than the tests'.
            ignored = shutil.ignore_patterns(
                "__pycache__", "report.html", "report.pdf", "explore.html", "reference", "output"
            )
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        else:
            shutil.copy2(ROOT / part, folder / part)
    return Checkout(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Forbid writing to a folder; the superuser, whom no mode stops, by a read-only mount."""
    if os.geteuid() != 0:
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        try:
            yield
        finally:
            for path in folders:
                path.chmod(0o755)
        return
    mount("--bind", str(folder), str(folder))
    try:
        mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class CannotMount(RuntimeError):
    """This machine does not let us mount."""


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotMount(done.stderr.strip())
