from __future__ import annotations

import pytest

from hw2core.config.reading import read_config
from hw2core.config.study import STUDY_FILE


@pytest.fixture
def config() -> dict:
    return read_config(STUDY_FILE)


@pytest.fixture
def small() -> dict:
    """One experiment with one run."""
    return {
        "data": {
            "name": "generated",
            "source_train": 100,
            "source_test": 50,
            "train": 60,
            "validation": 20,
            "test": 50,
        },
        "training": {
            "epochs": 1,
            "batch_size": 10,
            "optimizer": "sgd",
            "lr": 0.1,
            "weight_decay": 0,
            "schedule": "constant",
        },
        "seeds": [0],
        "experiments": {
            "one": {
                "question": "?",
                "varies": "nothing",
                "fixed": "all",
                "model": "cnn",
                "architecture": {"hidden_dims": [], "pool_every": 2},
                "grid": {"filters_per_layer": [[8]], "layers_per_block": [2]},
            }
        },
    }
