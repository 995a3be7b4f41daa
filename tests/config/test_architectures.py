"""The arguments that a network gets from its keys."""

from __future__ import annotations

import pytest

from hw2core.config.networks import MODELS


@pytest.mark.parametrize(
    ("model", "keys", "expected"),
    [
        ("cnn", {"kernel_size": 5}, {"conv_params": {"kernel_size": 5, "padding": 2}}),
        ("cnn", {}, {"conv_params": {"kernel_size": 3, "padding": 1}, "pool_every": 4}),
        ("cnn", {"dropout": 0.2, "activation_type": "gelu"}, {"dropout": 0.2}),
        ("resnet", {"layers_per_block": 10, "pools": 4}, {"pool_every": 3, "batchnorm": False}),
        ("resnet", {"activation_type": "silu"}, {"activation_type": "silu"}),
        # Repeated, not interleaved.
        ("ycn", {"filters_per_layer": [4, 8]}, {"channels": [4] * 4 + [8] * 4, "pool_every": 8}),
    ],
)
def test_a_network_gets_what_its_keys_say(model, keys, expected):
    values = {"filters_per_layer": [4], "layers_per_block": 4, "pools": 1, "hidden_dims": []}
    arguments = MODELS[model].architecture.model_validate(values | keys).build_arguments(100)
    assert arguments.items() >= (expected | {"out_classes": 100}).items()
    assert "kernel_size" not in arguments
