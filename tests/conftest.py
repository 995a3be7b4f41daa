"""Fixtures of several folders: a tiny prepared data set, a run on it and its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hw2core.config.spec import RunSpec
from hw2core.data.arrays import Arrays
from hw2core.data.prepared import PreparedData, load_prepared, write_prepared
from hw2core.runs import paths
from hw2core.runs.code_hash import hash_evaluation_code
from hw2core.runs.files import write_evaluation, write_result
from hw2core.runs.schema import Evaluation, Result
from hw2core.runs.staleness import Identity
from hw2core.runs.weights import write_weights

SOURCE, TEST = 400, 100

# The networks here are tiny, and test processes may run side by side.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with Slurm: its tests take longest and mostly wait, and others run beside them.

    Without a GPU, its tests are skipped.
    """
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
    items.sort(key=lambda item: item.get_closest_marker("slurm") is None)


@pytest.fixture(scope="session")
def tiny_manifest(tmp_path_factory) -> Path:
    """Images whose class is their mean colour and a stripe: learnt in an epoch or two."""
    rng = np.random.default_rng(0)

    def make(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = rng.integers(0, 60, (count, 32, 32, 3), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[3 * label : 3 * label + 4] += 150
        return images, labels

    arrays = Arrays(*make(SOURCE), *make(TEST), tuple("abcdefghij"))
    folder = tmp_path_factory.mktemp("tiny")
    return write_prepared(arrays, folder, name="tiny", source={})


@pytest.fixture
def tiny_data(tiny_manifest) -> PreparedData:
    return load_prepared(tiny_manifest)


@pytest.fixture
def tiny_values() -> dict:
    """A run on the tiny data, as plain values to change and to validate."""
    return {
        "experiment": "tiny",
        "model": "cnn",
        "architecture": {
            "filters_per_layer": [8],
            "layers_per_block": 2,
            "pool_every": 1,
            "hidden_dims": [16],
        },
        "training": {
            "epochs": 3,
            "batch_size": 16,
            "optimizer": "adamw",
            "lr": 0.003,
            "weight_decay": 0.0,
            "schedule": "constant",
            "precision": "fp32",
        },
        "data": {
            "name": "generated",
            "source_train": SOURCE,
            "source_test": TEST,
            "train": 300,
            "validation": 100,
            "test": TEST,
        },
    }


@pytest.fixture
def tiny_spec(tiny_values) -> RunSpec:
    return RunSpec.model_validate(tiny_values)


@pytest.fixture
def specify(tiny_values) -> Callable[..., RunSpec]:
    """Makes a run of a small network on the tiny data, with other keys of its training."""
    cnn = tiny_values["architecture"]
    networks = {"cnn": cnn, "mlp": {"hidden_dims": [32], "wstd": 0.02}}

    def make(
        model: str = "cnn", architecture: dict[str, Any] | None = None, **training: Any
    ) -> RunSpec:
        if model == "mlp":
            training = {"optimizer": "momentum", "lr": 0.01} | training
            if training["optimizer"] == "momentum":
                training = {"momentum": 0.9} | training
        return RunSpec.model_validate(
            {
                **tiny_values,
                "model": model,
                "architecture": networks.get(model, cnn | {"pool_every": 2}) | (architecture or {}),
                "training": tiny_values["training"] | training,
            }
        )

    return make


@pytest.fixture
def make_result(tiny_spec) -> Callable[..., Result]:
    """Builds the result of a run and seed, current in this folder, with other fields if given."""

    def make(spec: RunSpec = tiny_spec, seed: int = 0, **changes: Any) -> Result:
        identity = Identity.of(spec, seed)
        values: dict[str, Any] = {
            "config": spec.describe(seed),
            "epochs": {
                "train_loss": [1.5, 1.0],
                "train_accuracy": [40.0, 60.0],
                "validation_loss": [1.6, None],
                "validation_accuracy": [39.0, 55.0],
            },
            "parameters": 10,
            "flops_per_image": 20,
            "layers": None,
            "timing": {
                "seconds": 3.5,
                "seconds_loading": 0.25,
                "seconds_training": 2.5,
                "images_per_second": 3000.0,
            },
            "environment": {
                "device": "cpu",
                "processor": "a processor",
                "precision": "fp32",
                "threads": 1,
                "cuda_graph": False,
                "versions": {"torch": "2.11.0"},
                "git_commit": None,
            },
            "code": identity.code,
            **identity.hash_parts(),
        }
        values |= changes
        curves = dict(values["epochs"])
        num_epochs, validation = len(curves["train_loss"]), curves["validation_accuracy"]
        values.setdefault("best_epoch", 1 + validation.index(max(validation)))
        values["timing"]["seconds_per_epoch"] = [1.25] * num_epochs
        return Result.model_validate(values)

    return make


@pytest.fixture
def make_evaluation() -> Callable[..., Evaluation]:
    """Builds the evaluation of a result, current, with other fields if given."""

    def make(result: Result, **changes: Any) -> Evaluation:
        values: dict[str, Any] = {
            "run": result.name,
            "seed": result.seed,
            "num_images": TEST,
            "accuracy": 75.0,
            "loss": 0.5,
            "class_accuracy": [100.0, 50.0, *[None] * 8],
            "confusion": [[50, *[0] * 9], [25, 25, *[0] * 8], *[[0] * 10] * 8],
            "calibration_error": 3.0,
            "mistakes": [{"index": 3, "label": 1, "predicted": 0, "probability": 0.75}],
            "code": hash_evaluation_code(),
            "run_code": result.code_hash,
            "data_sha256": result.data_sha256,
            "weights_sha256": result.weights_sha256,
        }
        return Evaluation.model_validate({**values, **changes})

    return make


@pytest.fixture
def in_folder(tmp_path, monkeypatch) -> Path:
    """Works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write_run(tiny_spec, make_result, make_evaluation, in_folder) -> Callable[..., Result]:
    """Writes weights, result and evaluation of the tiny run, as its two jobs do."""

    def write(
        *, weights: bool = True, evaluation: bool = True, seed: int = 0, **changes: Any
    ) -> Result:
        path = Path(paths.weights_path(tiny_spec.name, seed))
        sha256 = write_weights(path, {"a": torch.ones(3)})
        if not weights:
            path.unlink()
        result = make_result(seed=seed, weights_sha256=sha256, **changes)
        write_result(paths.result_path(tiny_spec.name, seed), result)
        if evaluation:
            evaluated = make_evaluation(result)
            write_evaluation(paths.evaluation_path(tiny_spec.name, seed), evaluated)
        return result

    return write
