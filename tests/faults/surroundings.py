"""What surrounds the pipeline: another Snakemake, the disk, its permissions, the clock."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from contextlib import suppress

from checkout import read_only
from outcome import Impossible, Outcome, delete_some, make_sure, wait_for
from small_study import FIGURES, FOLDERS, MANIFEST, RUNS, TABLES, Study, finish

from hw2core.runs import paths

OUTPUTS = (paths.result_path, paths.weights_path, paths.evaluation_path)


def start_twice(study: Study, rng: random.Random) -> Outcome:
    """Start a second Snakemake beside the first: one of them does the work, none does harm.

    From its lock on, the first may be anywhere. It stands still until the second has answered: a
    Snakemake that ends removes the folder of all locks, and one that starts just then fails with
    an error of Snakemake's own.
    """
    outcome = Outcome()
    delete_some(study, rng)
    first = study.run("-m", "snakemake", *TABLES)
    locks = study / ".snakemake/locks"
    wait_for(lambda: any(locks.glob("*.lock")) or first.poll() is not None)
    time.sleep(rng.uniform(0, 6))
    first.send_signal(signal.SIGSTOP)
    second = study.call(*FIGURES)
    first.send_signal(signal.SIGCONT)
    ends = [finish(first), second]
    if not any(status == 0 for status, _ in ends):
        outcome.unclear.append(f"both failed: {ends}")
    for status, output in ends:
        if status != 0:
            outcome.expect(output, "cannot be locked")
    return outcome


def forbid_writing(study: Study, rng: random.Random) -> Outcome:
    """Make the results read-only while there is work to do."""
    outcome, run = Outcome(), rng.choice(RUNS)
    if rng.random() < 0.5:
        study.delete(TABLES[0])
    else:
        study.delete_training(run)
    with read_only(study / "results"):
        status, output = study.call()
    if status == 0:
        outcome.unclear.append(f"could write all the same: {output[-2000:]}")
    # The second is Snakemake's own word for files that it may not replace.
    outcome.expect(output, r"results/.*cannot be written.*run again|Write-protected output files")
    return outcome


def fill_disk(study: Study, rng: random.Random) -> Outcome:
    """Fill the disk that holds the whole study, so that anything may fail, Snakemake's own too."""
    outcome = Outcome()
    if not os.path.ismount(study.folder):
        raise Impossible("the study has no small disk of its own: mounting one needs root")
    delete_some(study, rng)
    filler = study / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, max(0, filler.stat().st_size - rng.randrange(8, 120) * 1024))
    status, output = study.call()
    filler.unlink()
    if status != 0 and not re.search("No space left on device|os error 28", output):
        outcome.unclear.append(output[-3000:])
    # How Snakemake tells of its own writes is not ours to word.
    if re.search(r'File ".*/(hw2core|workflow_scripts)/', output):
        outcome.unclear.append(f"traceback: {output[-3000:]}")
    return outcome


def jump_clock(study: Study, rng: random.Random) -> Outcome:
    """Give files times of years ago or to come; a result of another day must still be shown."""
    outcome = Outcome()
    run = rng.choice(RUNS)
    trains = rng.random() < 0.5
    if trains:
        make_sure(study, MANIFEST)
        study.delete_training(run)
        finish(study.train(run))
    make_sure(study, *(file(run, 0) for run in RUNS for file in OUTPUTS))
    files = [path for folder in FOLDERS for path in (study / folder).rglob("*") if path.is_file()]
    for path in rng.sample(files, len(files) // 2):
        then = time.time() + rng.uniform(-10, 10) * 365 * 86_400
        os.utime(path, (then, then))
    if trains:
        os.utime(study / paths.result_path(run, 0), (0, 0))
    _, output = study.call("-n")
    if "rule train:" in output:
        outcome.unclear.append(f"trains for the time of a file: {output[-3000:]}")
    return outcome
