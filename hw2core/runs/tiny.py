"""Trains and evaluates tiny versions of runs with the code of any checkout, and compares them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.config.images import DataSpec
from hw2core.config.spec import RENAMED, RunSpec
from hw2core.errors import UserError
from hw2core.io import hash_file
from hw2core.runs.files import read_evaluation, read_result

if TYPE_CHECKING:
    from hw2core.runs.schema import Result

# Evaluations take a whole batch of 500 images and part of another.
SIZES = {"source_train": 550, "source_test": 510, "train": 42, "validation": 502, "test": 502}
IMAGES = DataSpec.model_validate({"name": "generated", **SIZES})
SEED = 1  # of every tiny run: code that loses the seed takes another
EPOCHS = 2
BATCH_SIZE, BATCHES = 8, 4  # the last batch of an epoch is not full
AVERAGE = 0.25  # the study's share would be less than one step here


def shrink_spec(result: Result) -> RunSpec:
    """Return the tiny version of the run that gave ``result``.

    Network, optimizer, schedule, augmentation, EMA and, where this CPU has it, precision are those
    of the run, but it is trained for two epochs on a few generated images, of ten classes. For SGD,
    the learning rate per image of a batch is that of the run.

    Raises:
        ConfigError: this version does not support the configuration of ``result``.
    """
    spec = RunSpec.from_config(result.config)
    # With the rate of larger batches, SGD diverges in networks without batch norm.
    per_image = min(1, BATCH_SIZE / spec.training.batch_size)
    values = spec.model_dump()
    values |= {"experiment": "tiny", "label": "", "data": IMAGES.model_dump()}
    values["data"]["split_seed"] = spec.data.split_seed
    values["training"] |= {
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "lr": spec.training.lr * (per_image if spec.training.optimizer == "sgd" else 1),
        "batches": spec.training.batches and BATCHES,
        "average": spec.training.average and AVERAGE,
        "precision": _pick_precision(result.environment.precision),
    }
    return RunSpec.model_validate(values)


def _pick_precision(trained: str) -> str:
    """Return the precision of a run, but not bf16 where that is emulated: ten times as slow."""
    import torch

    from hw2core.engine.device import pick_precision

    return min(trained, pick_precision("auto", torch.device("cpu")), key=["fp32", "bf16"].index)


def run_tiny(checkout: Path, spec: RunSpec, manifest: Path, folder: Path) -> Result:
    """Train and evaluate ``spec`` with the code in ``checkout``, on one thread of the CPU.

    Args:
        checkout: has ``hw2core`` and ``workflow_scripts``, of this version or an earlier one.
        spec: a tiny spec.
        manifest: manifest of its prepared images.
        folder: an empty folder for the files of the run.

    Returns:
        The result, with its evaluation and the hash of its weights.

    Raises:
        UserError: the code fails, with the last line of what it printed.
    """
    result, weights = folder / f"seed{SEED}.json", folder / f"seed{SEED}.safetensors"
    files: list[str | Path] = ["--result", result, "--weights", weights, "--data", manifest]
    identity = ["--spec", word_spec(spec, checkout), "--seed", str(SEED)]
    _run_script(checkout, "train.py", *identity, *files)
    trained = read_result(result)
    if _evaluates_apart(checkout):
        evaluation = folder / f"seed{SEED}.test.json"
        size = ["--num-images", str(spec.data.test)]
        _run_script(checkout, "evaluate.py", *size, "--evaluation", evaluation, *files)
        trained = trained.model_copy(update={"test": read_evaluation(evaluation)})
    sha256 = hash_file(weights)
    weights.unlink()  # those of a whole study take hundreds of megabytes
    return trained.model_copy(update={"weights_sha256": sha256})


def word_spec(spec: RunSpec, checkout: Path) -> str:
    """Return the JSON of ``spec`` that the code in ``checkout`` reads.

    Keys at their default are left out, because older versions may not have them.
    """
    values = {**spec.identity(), "experiment": spec.experiment}
    values["data"]["test"] = spec.data.test
    if not _evaluates_apart(checkout):  # older than today's names
        values["name"] = spec.name
        for (section, old), new in RENAMED.items():
            values[section][old] = values[section].pop(new)
    return json.dumps(values)


def find_difference(old: Result, new: Result) -> str | None:
    """Return where two runs of one spec first differ; None if they are bit for bit equal.

    A loss that is not finite counts as a difference: all numbers after it are equal anyway.
    """
    expected, found = _list_numbers(old), _list_numbers(new)
    assert old.test is not None
    assert new.test is not None
    if old.test.code == new.test.code:  # of other code, new evaluations are made
        for numbers, test in ((expected, old.test), (found, new.test)):
            numbers["calibration error"] = test.calibration_error
            numbers["mistakes"] = test.mistakes
    for key, value in found.items():
        if value != expected[key]:
            return f"{key}: was {expected[key]!s:.80}, is {value!s:.80}"
    if None in new.epochs.train_loss:
        return "train_loss of the tiny run: not finite, so that the comparison shows nothing"
    return None


def _list_numbers(result: Result) -> dict[str, object]:
    """Return the values that are compared, in the order in which they are computed."""
    test = result.test
    assert test is not None
    return {
        "parameters": result.parameters,
        "FLOPs": result.flops_per_image,
        **dict(result.epochs),
        "best epoch": result.best_epoch,
        "layers": result.layers,
        "hash of the weights": result.weights_sha256,
        "test accuracy": test.accuracy,
        "test loss": test.loss,
        "confusion": test.confusion,
    }


def _evaluates_apart(checkout: Path) -> bool:
    return (checkout / "workflow_scripts" / "evaluate.py").exists()


def _run_script(checkout: Path, script: str, *options: str | Path) -> None:
    settings = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    settings |= {
        "HW2_DEVICE": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }  # older code knows only the second
    command = [sys.executable, checkout / "workflow_scripts" / script, *options, "--threads", "1"]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"{script} ends with status {done.returncode}: {lines[-1]}")
