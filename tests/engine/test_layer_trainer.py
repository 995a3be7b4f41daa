"""The from-scratch backend as a trainer of runs; its steps are tested in test_training."""

from __future__ import annotations

import pytest
import torch

from hw2core.engine.layer_trainer import ScratchTrainer, choose_optimizer
from hw2core.engine.run import train_run
from hw2core.layers import MLP
from hw2core.optimizers import MomentumSGD, RMSProp, VanillaSGD


def test_an_mlp_is_a_run_of_the_study(specify, tiny_data):
    trained = train_run(specify("mlp"), 0, tiny_data, device="cpu")
    assert max(trained.history.test_acc) > 60
    assert trained.costs.parameters == 3072 * 32 + 32 + 32 * 10 + 10
    assert trained.costs.flops_per_image == 2 * (3072 * 32 + 32 * 10)
    assert len(trained.history.train_loss) == 3
    assert trained.layers is None


@pytest.mark.parametrize(
    ("training", "kind", "attributes"),
    [
        ({"optimizer": "vanilla"}, VanillaSGD, {}),
        ({"optimizer": "momentum", "momentum": 0.7}, MomentumSGD, {"momentum": 0.7}),
        ({"optimizer": "rmsprop", "decay": 0.5}, RMSProp, {"decay": 0.5}),
    ],
)
def test_the_optimizer_is_the_one_that_is_named(specify, training, kind, attributes):
    spec = specify("mlp", lr=0.25, weight_decay=0.125, **training)
    optimizer = choose_optimizer(spec.training, MLP(4, 2))
    assert type(optimizer) is kind
    for name, value in {"learn_rate": 0.25, "reg": 0.125, **attributes}.items():
        assert getattr(optimizer, name) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", "adamw"),
        ("schedule", "one_cycle"),
        ("label_smoothing", 0.1),
        ("average", 0.1),
        ("precision", "bf16"),
    ],
)
def test_keys_that_only_autograd_supports_are_refused(specify, key, value):
    with pytest.raises(ValueError, match="model: mlp"):
        specify("mlp", **{key: value})


def test_dropout_and_initial_scale_reach_the_layers(specify):
    spec = specify("mlp", {"dropout": 0.25, "wstd": 0.5}, batches=7)
    trainer = ScratchTrainer.of(spec, torch.device("cpu"), 1)
    first, _, dropout, last = trainer.model.sequence
    assert dropout.p == 0.25
    assert first.w.std().item() == pytest.approx(0.5, rel=0.05)
    assert last.w.std().item() == pytest.approx(0.5, rel=0.2)
    assert trainer.batches == 7
