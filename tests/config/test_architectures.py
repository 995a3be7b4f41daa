"""The arguments that a network gets from its keys."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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


@pytest.mark.parametrize(
    ("model", "keys", "key", "other"),
    [
        ("resnet", {"batchnorm": True}, "batchnorm", {"pools": 3}),
        ("resnet", {"dropout": 0.1}, "dropout", {"pools": 2}),
        ("resnet", {"activation_type": "gelu"}, "activation_type", {"hidden_dims": [8]}),
        ("resnet", {"layers_per_block": 1, "pools": 1, "batchnorm": True}, "batchnorm", {}),
        ("ycn", {"shortcuts": False}, "shortcuts", {"pools": 1}),
        ("ycn", {"squeeze_excitation": False}, "squeeze_excitation", {"pools": 2}),
    ],
)
def test_what_a_network_would_not_have_is_refused(model, keys, key, other):
    values = {"filters_per_layer": [4], "layers_per_block": 4, "pools": 4, "hidden_dims": []}
    validate = MODELS[model].architecture.model_validate
    with pytest.raises(ValidationError, match=r": has no effect .*; must be ") as caught:
        validate(values | keys)
    assert caught.value.errors()[0]["ctx"]["key"] == key
    validate(values | keys | {key: MODELS[model].architecture.model_fields[key].default})
    if other:
        validate(values | keys | other)


@pytest.mark.parametrize("model", ["resnet", "ycn"])
def test_a_network_of_ones_own_may_have_other_blocks(model):
    class Mine(MODELS[model].architecture):
        """Keys of a subclass."""

    values = {"filters_per_layer": [4], "layers_per_block": 4, "pools": 4, "hidden_dims": []}
    for key in {"batchnorm", "shortcuts"} & Mine.model_fields.keys():
        Mine.model_validate(values | {key: not Mine.model_fields[key].default})
