"""Signals to a run, or to Snakemake and all its processes, at any moment."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from contextlib import suppress

import psutil
from outcome import Kind, Outcome, delete_some, make_sure, wait_for
from small_study import MANIFEST, RUNS, Study, finish

from hw2core.runs import paths


def kill_training(study: Study, rng: random.Random) -> Outcome:
    """Kill a training at any moment; other signals are in tests/workflow/test_resume.py."""
    run, outcome = rng.choice(RUNS), Outcome()
    make_sure(study, MANIFEST)
    study.delete_training(run, checkpoint=rng.random() < 0.5)
    (study / paths.log_path("train", run, "seed0")).unlink(missing_ok=True)
    process = study.train(run)
    # In the middle of an epoch, or, now and then, while everything is being imported.
    if rng.random() < 0.8:
        wait_for(lambda: "epoch" in study.log_of(run) or process.poll() is not None)
        time.sleep(rng.uniform(0, 0.3))
    else:
        time.sleep(rng.uniform(0, 3))
    process.kill()
    status, output = finish(process)
    if status not in (0, -signal.SIGKILL) or "Traceback" in output:
        outcome.unclear.append(f"status {status}: {output[-2000:]}")
    return outcome


def stop_sweep(number: signal.Signals) -> Kind:
    """Return a signal to Snakemake and all that belongs to it, at any moment of a sweep."""

    def inject(study: Study, rng: random.Random) -> Outcome:
        delete_some(study, rng)
        process = study.run("-m", "snakemake")
        time.sleep(rng.uniform(0.5, 12))
        if process.poll() is None:
            os.killpg(process.pid, number)
        _, output = finish(process)
        outcome = Outcome(locked=number in (signal.SIGKILL, signal.SIGHUP))
        if "hung for" in output:
            outcome.unclear.append(output[-2000:])
        return outcome

    return inject


def kill_training_of_sweep(study: Study, rng: random.Random) -> Outcome:
    """Kill one training that Snakemake started; it must say which, and where its log is."""
    outcome, run = Outcome(), rng.choice(RUNS)
    study.delete_training(run)
    process = study.run("-m", "snakemake", paths.result_path(run, 0))
    found: list[psutil.Process] = []

    def find() -> bool:
        with suppress(psutil.Error):  # it ended in the meantime
            found[:] = [
                child
                for child in psutil.Process(process.pid).children(recursive=True)
                if any(part.endswith("train.py") for part in child.cmdline())
            ]
        return bool(found) or process.poll() is not None

    wait_for(find)
    time.sleep(rng.uniform(0, 4))
    hit = bool(found) and found[0].is_running()
    if hit:
        with suppress(psutil.NoSuchProcess):
            found[0].kill()
    status, output = finish(process)
    if hit and status != 0:
        outcome.expect(output, re.escape(paths.log_path("train", run, "seed0")))
    return outcome
