from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hw2core.config.spec import RunSpec


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
