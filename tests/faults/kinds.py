"""Every kind of fault: each function injects one into a study and says what was wrong with it.

A fault is a function of the study and a random generator. It breaks something in the middle of
real work and returns an ``Outcome``; that no file is wrong, and that the next call heals all, is
checked by ``campaign`` for every kind alike.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from small_study import (
    EPOCHS,
    FIGURES,
    FOLDERS,
    MANIFEST,
    RUNS,
    STUDY,
    TABLES,
    Study,
    finish,
)

from hw2core import artifacts
from hw2core.data.prepared import PREPARED_FILES, DataError, load_prepared
from hw2core.outline import dump_outlines


@dataclass
class Outcome:
    """What a fault left, as far as only its kind can say.

    ``unclear`` holds messages that did not name the file and the way out; ``damaged`` the files
    that are known to be wrong until they are made again; ``locked`` is true when Snakemake itself
    was killed, and may ask for ``--unlock``.
    """

    unclear: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    locked: bool = False

    def expect(self, output: str, *patterns: str) -> None:
        """Note when ``output`` shows a traceback or lacks a line that matches all patterns."""
        if "Traceback" in output or "hung for" in output:
            self.unclear.append(f"traceback: {output[-3000:]}")
        lines = output.splitlines()
        if not any(all(re.search(pattern, line) for pattern in patterns) for line in lines):
            self.unclear.append(f"no line with {patterns}: {output[-3000:]}")


class Impossible(Exception):
    """This machine or user cannot inject such a fault; the message says why."""


Kind = Callable[[Study, random.Random], Outcome]
# Where a write can be cut: the file is not begun, half, not yet renamed, just renamed.
POINTS = ("before", "half", "written", "renamed")
OUTPUTS = (artifacts.result_path, artifacts.weights_path)
WRITES = ("checkpoint", "weights", "result")
PATIENCE = 120.0  # seconds


def make_fault(
    script: str, path: str, point: str, action: str, rng: random.Random, *, full_size: int
) -> dict:
    """Return a fault at one point of the write of ``path``, which has ``full_size`` bytes."""
    stem, suffix = Path(path).stem, Path(path).suffix
    temporary = rf"^\.{re.escape(stem)}\.\d+\.tmp{re.escape(suffix)}$"
    fault = {"script": script, "name": temporary, "event": "open", "nth": 1, "action": action}
    rust = suffix in (".safetensors", ".checkpoint")
    if point == "half":
        fault["size"] = rng.randrange(full_size // 4, full_size)
        if rust:  # nothing tells of the start of its write: no file may be so large at all
            del fault["event"]
    elif point == "written":
        fault["nth"] = 1 if rust else 2  # opened once more, to be flushed
    elif point == "renamed":
        fault["event"] = "os.remove"
    return fault


def cut_training_write(which: str, action: str) -> Kind:
    """Return a fault in the write of one training's checkpoint, weights or result."""

    def inject(study: Study, rng: random.Random) -> Outcome:
        run, outcome = rng.choice(RUNS), Outcome()
        result = Path(artifacts.result_path(run, 0))
        weights = Path(artifacts.weights_path(run, 0))
        checkpoint = artifacts.checkpoint_path(result)
        path, size = {
            "checkpoint": (checkpoint, 20_000),
            "weights": (weights, 10_000),
            "result": (result, 7_000),
        }[which]
        make_sure(study, MANIFEST)
        study.delete_training(run)
        point = rng.choice(POINTS if action == "kill" else POINTS[:3])
        fault = make_fault("train.py", str(path), point, action, rng, full_size=size)
        if which == "checkpoint" and "event" in fault:
            fault["nth"] += rng.randrange(EPOCHS)
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
        point = rng.choice(POINTS if action != "full" else POINTS[:3])
        if point == "half" and action == "kill_group":
            point = "written"  # the kernel kills the writer alone
        fault = make_fault(script, path, point, action, rng, full_size=size)
        status, output = study.call(paths[0], fault=fault)
        if status == 0:
            outcome.unclear.append(f"was not hit ({path}, {point}): {output[-2000:]}")
        if action == "full":
            outcome.expect(output, re.escape(path), "cannot be written", "run again")
        return outcome

    return inject


def stop_training(number: signal.Signals) -> Kind:
    """Return a signal to a training at any moment."""

    def inject(study: Study, rng: random.Random) -> Outcome:
        run, outcome = rng.choice(RUNS), Outcome()
        make_sure(study, MANIFEST)
        study.delete_training(run, checkpoint=rng.random() < 0.5)
        (study / artifacts.log_path("train", run, "seed0")).unlink(missing_ok=True)
        process = study.train(run)
        # In the middle of an epoch, or, now and then, while everything is being imported.
        if rng.random() < 0.8:
            wait_for(lambda: "epoch" in study.log_of(run) or process.poll() is not None)
            time.sleep(rng.uniform(0, 0.3))
        else:
            time.sleep(rng.uniform(0, 3))
        process.send_signal(number)
        status, output = finish(process)
        if status not in (0, -number, 128 + number) or "Traceback" in output:
            outcome.unclear.append(f"status {status}: {output[-2000:]}")
        return outcome

    return inject


def stop_sweep(number: signal.Signals) -> Kind:
    """Return a signal to Snakemake and all that belongs to it, at any moment of a sweep."""

    def inject(study: Study, rng: random.Random) -> Outcome:
        delete_some(study, rng)
        process = study.run("-m", "snakemake")
        time.sleep(rng.uniform(0.5, 12))
        if process.poll() is None:
            os.killpg(process.pid, number)
        _, output = finish(process)
        outcome = Outcome(locked=number == signal.SIGKILL)
        if "hung for" in output:
            outcome.unclear.append(output[-2000:])
        return outcome

    return inject


def kill_training_of_sweep(study: Study, rng: random.Random) -> Outcome:
    """Kill one training that Snakemake started; it must say which, and where its log is."""
    outcome, run = Outcome(), rng.choice(RUNS)
    study.delete_training(run)
    process = study.run("-m", "snakemake", artifacts.result_path(run, 0))
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
        outcome.expect(output, re.escape(artifacts.log_path("train", run, "seed0")))
    return outcome


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return ``content`` cut short, or with a bit flipped."""
    if rng.random() < 0.4:
        return content[: rng.randrange(len(content))]
    position = rng.randrange(8 * len(content))
    flipped = bytearray(content)
    flipped[position // 8] ^= 1 << position % 8
    return bytes(flipped)


def damage_file(study: Study, path: str, rng: random.Random, version: tuple[bytes, bytes]) -> None:
    """Damage a file, or make it one of another version; its time may tell or hide it."""
    file = study / path
    content, times = file.read_bytes(), file.stat()
    other = content.replace(*version, 1) if rng.random() < 0.25 else content
    file.write_bytes(damage(content, rng) if other == content else other)
    if rng.random() < 0.5:
        os.utime(file, (times.st_atime, times.st_mtime))


def make_sure(study: Study, *paths: str) -> None:
    """Make files that an earlier fault of the chain left missing."""
    if not all((study / path).exists() for path in paths):
        study.call(*paths)


def damage_result(study: Study, rng: random.Random) -> Outcome:
    """Damage a result: no table may show it, and the next call must train it again."""
    outcome, run = Outcome(), rng.choice(RUNS)
    path = artifacts.result_path(run, 0)
    make_sure(study, path, artifacts.weights_path(run, 0))
    version = (f'"format": {artifacts.FORMAT}'.encode(), b'"format": 99')
    damage_file(study, path, rng, version)
    outcome.damaged.add(path)
    study.delete(*TABLES)
    command = ["workflow_scripts/make_tables.py", "--experiments", dump_outlines(STUDY.outlines)]
    command += ["--summary", TABLES[0], "--epochs", TABLES[1]]
    outcome.expect(finish(study.run(*command))[1], re.escape(path), "delete it and run again")
    return outcome


def damage_weights(study: Study, rng: random.Random) -> Outcome:
    """Damage weights: they are not current, and the next call must train them again."""
    outcome, run = Outcome(), rng.choice(RUNS)
    path = artifacts.weights_path(run, 0)
    make_sure(study, path, artifacts.result_path(run, 0))
    damage_file(study, path, rng, (b'"dtype":"F32"', b'"dtype":"F99"'))
    outcome.damaged.add(path)
    _, output = finish(study.run("workflow_scripts/why_stale.py", run))
    # An earlier fault may have damaged the result, which is looked at first.
    stem = re.escape(path.removesuffix("safetensors"))
    outcome.expect(output, rf"{stem}(safetensors|json)", "run again")
    return outcome


def damage_checkpoint(study: Study, rng: random.Random) -> Outcome:
    """Damage the checkpoint of a killed training, or both: it must not change the numbers."""
    outcome, run = Outcome(), rng.choice(RUNS)
    make_sure(study, MANIFEST)
    study.delete_training(run)
    path = str(artifacts.checkpoint_path(Path(artifacts.result_path(run, 0))))
    fault = make_fault("train.py", path, "renamed", "kill", rng, full_size=0)
    finish(study.train(run, fault=fault | {"nth": rng.randrange(2, EPOCHS)}))
    for name in (path, f"{path}.previous")[: rng.choice((1, 2))]:
        damage_file(study, name, rng, (b'"format":"1"', b'"format":"9"'))
    status, output = finish(study.train(run))
    outcome.expect(output, re.escape(path), "not used")
    if status != 0:
        outcome.unclear.append(f"status {status}: {output[-2000:]}")
    return outcome


def damage_data(study: Study, rng: random.Random) -> Outcome:
    """Damage prepared data: a training refuses them, good results stay; then do as it says."""
    outcome, (run, other) = Outcome(), rng.sample(RUNS, 2)
    make_sure(study, MANIFEST, artifacts.result_path(other, 0), artifacts.weights_path(other, 0))
    folder = (study / MANIFEST).parent
    path = rng.choice(sorted(path for path in folder.iterdir() if path.name[0] != "."))
    name = path.relative_to(study.folder).as_posix()
    # A letter of the manifest's note on where the data came from decides nothing: try again.
    while is_accepted(study / MANIFEST):
        damage_file(study, name, rng, (b'"format": 1', b'"format": 99'))
    study.delete_training(run)
    _, output = finish(study.train(run))
    outcome.expect(output, re.escape(name), f"delete the folder data/{folder.name} and run again")
    _, output = study.call("-n", artifacts.result_path(other, 0))
    outcome.expect(output, "Nothing to be done")
    shutil.rmtree(folder)
    return outcome


def is_accepted(manifest: Path) -> bool:
    try:
        load_prepared(manifest)
    except DataError:
        return False
    return True


def start_twice(study: Study, rng: random.Random) -> Outcome:
    """Start a second Snakemake beside the first: one of them does the work, none does harm."""
    outcome = Outcome()
    delete_some(study, rng)
    first = study.run("-m", "snakemake", *TABLES)
    time.sleep(rng.uniform(0, 6))
    second = study.call(*FIGURES)
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


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise Impossible(f"cannot mount: {done.stderr.strip()}")


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
        os.utime(study / artifacts.result_path(run, 0), (0, 0))
    _, output = study.call("-n")
    if "rule train:" in output:
        outcome.unclear.append(f"trains for the time of a file: {output[-3000:]}")
    return outcome


def delete_some(study: Study, rng: random.Random) -> None:
    """Leave the pipeline something to do: anything from one file to everything."""
    for paths in rng.choice(
        [[TABLES], [FIGURES], [TABLES, FIGURES], [TABLES, RUNS[:1]], [FIGURES, RUNS]]
    ):
        for path in paths:
            study.delete_training(path) if path in RUNS else study.delete(path)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


ARRAYS = [artifacts.array_path(STUDY.data.folder, file) for file in PREPARED_FILES]
DRAWINGS = {
    "table": (TABLES, "make_tables.py", 600),
    "figure": (FIGURES, "make_figures.py", 40_000),
    "report": ([artifacts.REPORT], "make_report.py", 100_000),
    "data": ([MANIFEST, *ARRAYS], "prepare_data.py", 180),
}
KINDS: dict[str, Kind] = {
    **{f"kill in {w} write": cut_training_write(w, "kill") for w in WRITES},
    **{f"kill in {w} write": cut_drawing_write(*DRAWINGS[w], "kill") for w in DRAWINGS},
    "kill of everything in a table write": cut_drawing_write(*DRAWINGS["table"], "kill_group"),
    "kill of everything in a figure write": cut_drawing_write(*DRAWINGS["figure"], "kill_group"),
    "kill of a training": stop_training(signal.SIGKILL),
    "kill of a training under Snakemake": kill_training_of_sweep,
    "kill of everything in a sweep": stop_sweep(signal.SIGKILL),
    "SIGTERM to a training": stop_training(signal.SIGTERM),
    "SIGTERM to everything": stop_sweep(signal.SIGTERM),
    "SIGINT to everything": stop_sweep(signal.SIGINT),
    **{f"disk full in {w} write": cut_training_write(w, "full") for w in WRITES},
    **{f"disk full in {w} write": cut_drawing_write(*DRAWINGS[w], "full") for w in DRAWINGS},
    "disk really full": fill_disk,
    "damaged result": damage_result,
    "damaged weights": damage_weights,
    "damaged checkpoint": damage_checkpoint,
    "damaged data": damage_data,
    "two Snakemakes": start_twice,
    "read-only results": forbid_writing,
    "clock jump": jump_clock,
}
