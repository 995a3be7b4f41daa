"""What a run inherits, and what of it another optimizer or schedule leaves out."""

from __future__ import annotations

import pytest

from hw2core.config.errors import ConfigError
from hw2core.config.networks import MODELS
from hw2core.config.study import load_study

SGD = {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "one_cycle"}


@pytest.fixture
def trained_by(small):
    """Return the training of a run that lays its own section over the study's."""
    small["training"] |= SGD | {"warmup": 0.1}

    def load(**training):
        small["experiments"]["one"]["training"] = training
        (run,) = load_study(small).runs.values()
        return run.training

    return load


def test_adamw_needs_no_word_about_momentum(trained_by):
    training = trained_by(optimizer="adamw")
    assert (training.optimizer, training.momentum, training.nesterov) == ("adamw", 0.0, False)
    assert (training.schedule, training.warmup) == ("one_cycle", 0.1)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_another_schedule_needs_no_word_about_the_warm_up(trained_by, schedule):
    training = trained_by(schedule=schedule)
    assert (training.schedule, training.warmup, training.nesterov) == (schedule, 0.25, True)


def test_what_is_given_with_the_optimizer_is_not_left_out(trained_by):
    with pytest.raises(ConfigError, match=r"one\.training\.momentum: 0\.9: has no effect with opt"):
        trained_by(optimizer="adamw", momentum=0.9)
    with pytest.raises(ConfigError, match=r"one\.training\.nesterov: needs optimizer: sgd"):
        trained_by(optimizer="adamw", nesterov=True)


def test_a_key_stays_with_the_optimizer_that_has_it(trained_by):
    training = trained_by(optimizer="sgd", lr=0.3)
    assert (training.momentum, training.nesterov) == (0.9, True)


def test_a_grid_over_optimizers_needs_no_word_either(small):
    small["training"] |= SGD
    small["experiments"]["one"]["grid"] |= {"training.optimizer": ["sgd", "adamw"]}
    sgd, adamw = load_study(small).runs.values()
    assert (sgd.training.nesterov, adamw.training.nesterov) == (True, False)


@pytest.mark.parametrize(
    ("model", "keys", "expected"),
    [
        ("cnn", {"kernel_size": 5}, {"conv_params": {"kernel_size": 5, "padding": 2}}),
        ("cnn", {}, {"conv_params": {"kernel_size": 3, "padding": 1}}),
        ("cnn", {"dropout": 0.2, "activation_type": "gelu"}, {"dropout": 0.2}),
        ("resnet", {"activation_type": "silu"}, {"activation_type": "silu"}),
    ],
)
def test_what_a_network_can_do_the_configuration_can_say(model, keys, expected):
    values = {"filters_per_layer": [4], "layers_per_block": 2, "pools": 1, "hidden_dims": []}
    arguments = MODELS[model].architecture.model_validate(values | keys).build_arguments()
    assert arguments.items() >= expected.items()
    assert "kernel_size" not in arguments
