"""Trains and evaluates a tiny version of a run with the code of any checkout; compares two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hw2core.config.architectures import Architecture, ConvolutionalArchitecture
from hw2core.config.retired import RENAMED
from hw2core.config.schema import DataSpec
from hw2core.config.spec import RunSpec
from hw2core.errors import UserError
from hw2core.runs.files import read_evaluation, read_result

if TYPE_CHECKING:
    from hw2core.runs.schema import Result

# At most; the last training batch is not full.
IMAGES = DataSpec(
    name="generated",
    source_train=320,
    source_test=80,
    train=250,
    validation=60,
    test=80,
    root=None,
)
EPOCHS = 2
BATCH_SIZE, BATCHES = 32, 4  # at most
CHANNELS = 4  # of the narrowest stage; each wider one has twice as many
DEPTH = 4  # at most
UNITS = 32  # at most
# The study's share would be less than one of the few steps here, which is no EMA at all.
LEAST_AVERAGE = 0.25

Options = list[str | Path]


class TinyRunError(UserError):
    """A checkout cannot train or evaluate the tiny version of a run."""


class TinyRun(NamedTuple):
    """What a tiny run gave.

    Attributes:
        result: with its evaluation.
        weights: name of each tensor -> dtype, shape and bytes.
    """

    result: Result
    weights: dict[str, dict[str, Any]]


def shrink_spec(result: Result) -> RunSpec:
    """Return the tiny version of the run that gave ``result``.

    Its network, optimizer, schedule, augmentation, EMA and precision are those of the run; the
    network is narrow and of a few layers, and it is trained for two epochs on generated images.

    Raises:
        ConfigError: this version does not support the configuration of ``result``.
    """
    spec = RunSpec.from_config(result.config)
    training, data = spec.training, spec.data
    return RunSpec.model_validate(
        {
            "experiment": "tiny",
            "model": spec.model,
            "architecture": shrink_architecture(spec.architecture),
            "training": {
                **training.model_dump(),
                "epochs": EPOCHS,
                "batch_size": min(training.batch_size, BATCH_SIZE),
                "batches": training.batches and min(training.batches, BATCHES),
                "average": training.average and max(training.average, LEAST_AVERAGE),
                "precision": result.environment.precision,
            },
            "data": {
                **IMAGES.model_dump(),
                "train": min(data.train, IMAGES.train),
                "validation": min(data.validation, IMAGES.validation),
                "test": min(data.test, IMAGES.test),
                "split_seed": data.split_seed,
            },
        }
    )


def shrink_architecture(architecture: Architecture) -> dict[str, Any]:
    """Return a small network with the same parts: equal widths stay equal, others different."""
    values = architecture.model_dump(exclude={"pools"})
    values["hidden_dims"] = [min(width, UNITS) for width in values["hidden_dims"]]
    if isinstance(architecture, ConvolutionalArchitecture):
        widths = sorted(set(architecture.filters_per_layer))
        depth = min(architecture.layers_per_block, DEPTH)
        spread = architecture.pool_every
        scaled = -(-spread * depth // architecture.layers_per_block)
        values |= {
            "filters_per_layer": [
                CHANNELS * 2 ** widths.index(width) for width in architecture.filters_per_layer
            ],
            "layers_per_block": depth,
            # Two at least: blocks of several convolutions do not become blocks of one.
            "pool_every": max(scaled, min(spread, 2)),
        }
    return values


def describe_spec(spec: RunSpec) -> str:
    """Return a short text on a tiny spec, for people."""
    training = spec.training
    words = [spec.model, spec.architecture.name_suffix, training.optimizer, training.precision]
    return f"{' '.join(filter(None, words))}, {EPOCHS} epochs of {spec.data.train} images on a CPU"


def run_tiny(checkout: Path, spec: RunSpec, manifest: Path, folder: Path) -> TinyRun:
    """Train and evaluate ``spec`` with the code in ``checkout``, on one thread of the CPU.

    Args:
        checkout: has ``hw2core`` and ``workflow_scripts``, of this version or an earlier one.
        spec: a tiny spec.
        manifest: of its prepared images.
        folder: for the files of the run; it is made.

    Raises:
        TinyRunError: the code fails, with the last line of what it printed.
    """
    folder.mkdir(parents=True)
    result, weights = folder / "seed0.json", folder / "seed0.safetensors"
    files: Options = ["--result", result, "--weights", weights, "--data", manifest]
    words: Options = ["--spec", word_spec(spec, checkout), "--seed", "0"]
    _run_script(checkout, "train.py", [*words, *files])
    trained = read_result(result)
    if _evaluates_apart(checkout):
        evaluation = folder / "seed0.test.json"
        words = ["--num-images", str(spec.data.test), "--evaluation", evaluation]
        _run_script(checkout, "evaluate.py", [*words, *files])
        trained = trained.model_copy(update={"test": read_evaluation(evaluation)})
    # Imported late: of those who read this module's constants, few compare weights.
    from safetensors import deserialize

    return TinyRun(trained, dict(deserialize(weights.read_bytes())))  # type: ignore[no-untyped-call]


def word_spec(spec: RunSpec, checkout: Path) -> str:
    """Return the JSON of ``spec`` that the code in ``checkout`` reads.

    Keys at their default are left out: a version that does not have them reads the rest.
    """
    values = {**spec.identity(), "experiment": spec.experiment}
    values["data"]["test"] = spec.data.test
    if not _evaluates_apart(checkout):  # older than the names of today
        values["name"] = spec.name
        for (section, old), new in RENAMED.items():
            values[section][old] = values[section].pop(new)
    return json.dumps(values)


def find_difference(old: TinyRun, new: TinyRun) -> str | None:
    """Return where two runs of one spec first differ; None if they are bit for bit equal."""
    one, two = _list_numbers(old), _list_numbers(new)
    for key in [*one, *(key for key in two if key not in one)]:
        was, now = one.get(key, "absent"), two.get(key, "absent")
        if was != now:
            if isinstance(was, dict | list) or isinstance(now, dict | list):
                return f"{key}: not the same"
            return f"{key}: was {was!r}, is {now!r}"
    return None


def _list_numbers(run: TinyRun) -> dict[str, object]:
    """Return all that two runs are compared by, in the order in which it comes about."""
    result = run.result
    test = result.test
    assert test is not None
    numbers: dict[str, object] = {
        "parameters": result.parameters,
        "FLOPs": result.flops_per_image,
    }
    for epoch in range(len(result.epochs)):
        for curve, values in result.epochs:
            numbers[f"{curve.replace('_', ' ')} of epoch {epoch + 1}"] = values[epoch]
    numbers |= {"best epoch": result.best_epoch, "status": result.status}
    numbers |= {f"weights {name}": tensor for name, tensor in run.weights.items()}
    if result.layers is not None:
        numbers |= {f"{key} of the layers": values for key, values in result.layers}
    return numbers | {
        "test accuracy": test.accuracy,
        "test loss": test.loss,
        "confusion": test.confusion,
    }


def _evaluates_apart(checkout: Path) -> bool:
    return (checkout / "workflow_scripts" / "evaluate.py").exists()


def _run_script(checkout: Path, script: str, options: Options) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, checkout / "workflow_scripts" / script, *options, "--threads", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise TinyRunError(f"{script} ends with status {done.returncode}: {lines[-1]}")
