"""Interrupted writes: the writer is killed, or the disk is full, at each step of each write."""

from __future__ import annotations

import random
import re
import signal
from pathlib import Path

from outcome import Kind, Outcome, make_sure
from small_study import EPOCHS, FIGURES, MANIFEST, RUNS, STUDY, TABLES, Study, finish

from hw2core.data.prepared import PREPARED_FILES
from hw2core.runs import paths

# Where a write can be cut: the file is not begun, half, whole, on the disk, or just renamed.
POINTS = ("before", "half", "written", "flushed", "renamed")
TRAINING = ("checkpoint", "weights", "result")
ARRAYS = [paths.array_path(STUDY.data.folder, file) for file in PREPARED_FILES]
# What a rule makes, its script, and the least size of one of its files in bytes.
DRAWINGS = {
    "table": (TABLES, "make_tables.py", 600),
    "figure": (FIGURES, "make_figures.py", 40_000),
    "report": ([paths.REPORT], "make_report.py", 100_000),
    "data": ([MANIFEST, *ARRAYS], "prepare_data.py", 180),
}


def make_fault(
    script: str, path: str, point: str, action: str, rng: random.Random, *, full_size: int
) -> dict:
    """Return a fault at one point of the write of ``path``, which has ``full_size`` bytes."""
    stem, suffix = Path(path).stem, Path(path).suffix
    temporary = rf"^\.{re.escape(stem)}\.[^/]+\.\d+\.tmp{re.escape(suffix)}$"
    fault = {"script": script, "name": temporary, "event": "open", "nth": 1, "action": action}
    if point == "half":
        fault["size"] = rng.randrange(full_size // 4, full_size)
    elif point == "written":
        fault["nth"] = 2  # opened once more, to be flushed
    elif point == "flushed":
        fault |= {"event": "os.rename", "name": rf"^{re.escape(Path(path).name)}$"}
    elif point == "renamed":
        fault["event"] = "os.remove"
    return fault


def cut_training_write(which: str, action: str) -> Kind:
    """Return a fault in the write of one training's checkpoint, weights or result."""

    def inject(study: Study, rng: random.Random) -> Outcome:
        run, outcome = rng.choice(RUNS), Outcome()
        result = Path(paths.result_path(run, 0))
        weights = Path(paths.weights_path(run, 0))
        checkpoint = paths.checkpoint_path(result)
        path, size = {
            "checkpoint": (checkpoint, 20_000),
            "weights": (weights, 10_000),
            "result": (result, 3_000),
        }[which]
        make_sure(study, MANIFEST)
        study.delete_training(run)
        point = rng.choice(POINTS if action == "kill" else POINTS[:4])
        fault = make_fault("train.py", str(path), point, action, rng, full_size=size)
        if which == "checkpoint":  # at any epoch: each write opens its file twice
            opened = 2 if fault["event"] == "open" else 1
            fault["nth"] += opened * rng.randrange(EPOCHS)
        status, output = finish(study.train(run, fault=fault, every_epoch=which == "checkpoint"))
        if action == "kill":
            if status not in (-signal.SIGKILL, -signal.SIGXFSZ):
                outcome.unclear.append(f"was not killed ({point}): {output[-2000:]}")
        elif which == "checkpoint":  # training does without, and says so
            outcome.expect(output, re.escape(str(path)), "no checkpoint written")
        else:
            outcome.expect(output, re.escape(str(path)), "cannot be written", "run again")
        return outcome

    return inject


def cut_drawing_write(paths: list[str], script: str, size: int, action: str) -> Kind:
    """Return a fault in the write of tables, figures, report or data, under Snakemake."""

    def inject(study: Study, rng: random.Random) -> Outcome:
        outcome = Outcome(locked=action == "kill_group")
        study.delete(*paths)
        path = rng.choice(paths)
        point = rng.choice(POINTS if action != "full" else POINTS[:4])
        if point == "half" and action == "kill_group":
            point = "written"  # the kernel kills the writer alone
        fault = make_fault(script, path, point, action, rng, full_size=size)
        status, output = study.call(paths[0], fault=fault)
        if status == 0:
            outcome.unclear.append(f"was not hit ({path}, {point}): {output[-2000:]}")
        if action == "full":
            outcome.expect(output, re.escape(path), "cannot be written", "run again")
        if MANIFEST in paths:  # or what is drawn next would lack the images that it may show
            make_sure(study, MANIFEST)
        return outcome

    return inject
