"""A study of two runs of a second each, and what its files must be after any fault."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import chdir
from pathlib import Path

import pandas as pd
from checkout import TINY, Checkout, copy_sources
from safetensors import safe_open

from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import load, write_table
from hw2core.config.study import load_study
from hw2core.data.prepared import read_manifest
from hw2core.runs import files, paths

EPOCHS = 8
SMALL = copy.deepcopy(TINY)
SMALL["training"]["epochs"] = EPOCHS
SMALL["experiments"] = {"exp1_1": SMALL["experiments"]["exp1_1"]}
STUDY = load_study(SMALL)
EXPERIMENTS = list(STUDY.experiments.values())
RUNS = tuple(STUDY.runs)
MANIFEST = paths.manifest_path(STUDY.data.folder)
FIGURES = paths.figure_paths("exp1_1")
TABLES = [paths.SUMMARY_TABLE, paths.EPOCHS_TABLE]
FOLDERS = ("data", "results", "figures", "report")
TIMES = re.compile("seconds|images_per_second")  # what the clock decides
INJECTOR = Path(__file__).parent / "inject"


class Study(Checkout):
    """A checkout with the small study, to break."""

    def run(self, *command: str, fault: dict | None = None) -> subprocess.Popen:
        """Start a command in the folder, broken by ``fault``, as the head of its own group."""
        folders = [str(self.folder), *([str(INJECTOR)] if fault else [])]
        environment = {"PYTHONPATH": os.pathsep.join(folders)}
        if fault:
            environment["HW2_FAULT"] = json.dumps(fault)
        return self.execute(*command, environment=environment, start_new_session=True)

    def call(self, *arguments: str, fault: dict | None = None) -> tuple[int, str]:
        """Run Snakemake to its end; return its exit status and what it printed."""
        return finish(self.run("-m", "snakemake", *arguments, fault=fault))

    def train(
        self, run: str, *, fault: dict | None = None, every_epoch: bool = True
    ) -> subprocess.Popen:
        """Start one training by its script, with a checkpoint after every epoch."""
        command = ["workflow_scripts/train.py", "--spec", STUDY.runs[run].to_json(), "--seed", "0"]
        command += ["--data", MANIFEST, "--result", paths.result_path(run, 0)]
        command += ["--weights", paths.weights_path(run, 0), "--threads", "1"]
        command += ["--log", paths.log_path("train", run, "seed0")]
        command += ["--checkpoint-seconds", "0"] if every_epoch else []
        return self.run(*command, fault=fault)

    def log_of(self, run: str) -> str:
        path = self / paths.log_path("train", run, "seed0")
        return path.read_text(errors="replace") if path.exists() else ""

    def delete(self, *paths: str) -> None:
        for path in paths:
            (self / path).unlink(missing_ok=True)

    def delete_training(self, run: str, *, checkpoint: bool = True) -> None:
        result = paths.result_path(run, 0)
        self.delete(result, paths.weights_path(run, 0), paths.evaluation_path(run, 0))
        if checkpoint:
            path = str(paths.checkpoint_path(Path(result)))
            self.delete(path, f"{path}.previous")


def finish(process: subprocess.Popen, seconds: float = 240) -> tuple[int, str]:
    """Wait for a process; return its exit status and what it printed."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return process.returncode, f"{output}\nhung for {seconds} s"
    return process.returncode, output


def make_study(folder: Path) -> Study:
    """Copy the sources and run the study undisturbed."""
    copy_sources(folder)
    study = Study(folder)
    study.configure(SMALL)
    # The bits of a training depend on its threads: as many under Snakemake as in Study.train.
    with (study / "profiles/default/config.yaml").open("a") as profile:
        profile.write("set-threads: [train=1]\n")
    status, output = study.call()
    assert status == 0, output
    return study


def copy_study(study: Study, folder: Path) -> Study:
    shutil.copytree(study.folder, folder, copy_function=shutil.copy2, dirs_exist_ok=True)
    return Study(folder)


def find_wrong_files(study: Study, reference: Study, damaged: set[str]) -> list[str]:
    """Return every file under a final name that is half-written or not what it must be.

    Missing files are not wrong here: the next call makes them. ``damaged`` files are known to be.
    """
    wrong = []
    for path in list_files(reference):
        if path in damaged or not (study / path).exists():
            continue
        try:
            same = read_content(study, path) == read_content(reference, path)
        except Exception as error:  # whatever reading a half-written file raises
            wrong.append(f"{path}: {error!r}")
            continue
        if not same:
            wrong.append(f"{path}: differs from the undisturbed run's")
    return wrong


def find_unfinished(study: Study, reference: Study) -> list[str]:
    """Return what is missing, superfluous or not up to date after the healing call."""
    expected, found = set(list_files(reference)), set(list_files(study))
    if MANIFEST not in found:  # no training was left to do: images are prepared for the next one
        data = f"{Path(MANIFEST).parent}/"
        expected, found = (
            {path for path in paths if not path.startswith(data)} for paths in (expected, found)
        )
    problems = [f"{path}: missing" for path in sorted(expected - found)]
    problems += [f"{path}: left over" for path in sorted(found - expected)]
    return problems + find_stale_tables(study)


def find_stale_tables(study: Study) -> list[str]:
    """Return the tables that are not, byte for byte, what the results say now, times included."""
    with chdir(study.folder):
        tables = load(EXPERIMENTS)
    wrong = []
    frames = tables.runs[list(SUMMARY_COLUMNS)], tables.epochs
    for path, frame in zip(TABLES, frames, strict=True):
        write_table(frame, study / "expected.csv")
        if (study / "expected.csv").read_bytes() != (study / path).read_bytes():
            wrong.append(f"{path}: not what the results say")
        (study / "expected.csv").unlink()
    return wrong


def list_files(study: Study) -> list[str]:
    """Return every file that the pipeline leaves, temporary ones and checkpoints included."""
    paths = (path for folder in FOLDERS for path in (study / folder).rglob("*") if path.is_file())
    names = (path.relative_to(study.folder).as_posix() for path in paths)
    # The report's sources lie beside it.
    return sorted(n for n in names if not n.startswith("report/") or n.endswith((".html", ".pdf")))


def read_content(study: Study, path: str) -> object:
    """Return a file's content, complete and checked, without what a clock decides."""
    file = study / path
    if path == MANIFEST:
        return read_manifest(file)
    if file.name.endswith(".test.json"):
        return files.read_evaluation(file)
    if file.suffix == ".json":
        return files.read_result(file).model_copy(update={"timing": None})
    if path == paths.SUMMARY_TABLE:
        table = pd.read_csv(io.BytesIO(file.read_bytes()))
        return table.drop(columns=[name for name in table if TIMES.match(name)]).to_csv()
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as tensors:
            assert tensors.keys()
    content = file.read_bytes()
    if path.startswith("report/"):  # it speaks of durations
        return content.rstrip().endswith((b"</html>", b"%%EOF"))
    return content
