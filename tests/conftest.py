"""Fixtures that several rooms need: a tiny prepared data set and a run on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hw2core.data.arrays import Arrays
from hw2core.data.prepared import PreparedData, load_prepared, write_prepared
from hw2core.spec import RunSpec

POOL, TEST = 400, 100

# The networks here are tiny, and test processes may run side by side.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with Slurm: its tests take longest and mostly wait, and others run beside them."""
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

    arrays = Arrays(*make(POOL), *make(TEST), tuple("abcdefghij"))
    folder = tmp_path_factory.mktemp("tiny")
    return write_prepared(arrays, folder, name="tiny", source={})


@pytest.fixture
def tiny_data(tiny_manifest) -> PreparedData:
    return load_prepared(tiny_manifest)


@pytest.fixture
def tiny_values() -> dict:
    """A run on the tiny data, as plain values to change and to validate."""
    return {
        "name": "tiny_L2_K8",
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
            "pool": POOL,
            "test_pool": TEST,
            "train": 300,
            "validation": 100,
            "test": TEST,
        },
    }


@pytest.fixture
def tiny_spec(tiny_values) -> RunSpec:
    return RunSpec.model_validate(tiny_values)
