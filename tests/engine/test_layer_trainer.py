"""The from-scratch backend as a trainer of runs; its steps are tested in test_training."""

from __future__ import annotations

import copy

import pytest
import torch

from hw2core.engine.layer_trainer import ScratchTrainer, choose_optimizer
from hw2core.engine.run import train_run
from hw2core.layers import MLP
from hw2core.optimizers import MomentumSGD, RMSProp, VanillaSGD

CPU = torch.device("cpu")


def make_batches(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(n, 3, 2, 3, generator=generator), torch.arange(n) % 4) for n in sizes]


def make_trainer(kind=MomentumSGD) -> ScratchTrainer:
    model = MLP(18, 4, [16])
    return ScratchTrainer(model, kind(model.params(), learn_rate=0.1), CPU)


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


def test_dropout_and_initial_scale_reach_the_layers(specify, tiny_data):
    def losses(**architecture):
        spec = specify("mlp", architecture, epochs=1)
        return train_run(spec, 0, tiny_data, device="cpu").history.train_loss

    assert losses() == losses(dropout=0.0)
    assert losses(dropout=0.4) != losses()
    assert losses(wstd=0.1) != losses()


def test_weights_can_be_loaded_back():
    trainer = make_trainer()
    weights = {name: tensor.clone() for name, tensor in trainer.get_weights().items()}
    assert len(weights) == 4
    trainer.train_epoch(make_batches(10))
    assert not torch.equal(trainer.get_weights()["param0"], weights["param0"])
    trainer.load_weights(weights)
    assert all(torch.equal(trainer.get_weights()[name], weights[name]) for name in weights)


@pytest.mark.parametrize("kind", [VanillaSGD, MomentumSGD, RMSProp])
def test_a_trainer_that_loads_a_state_takes_the_same_next_steps(kind):
    trainer, other = make_trainer(kind), make_trainer(kind)
    trainer.train_epoch(make_batches(10, 10))
    state = copy.deepcopy(trainer.get_state())
    expected = trainer.train_epoch(make_batches(9, 9)), trainer.test_epoch(make_batches(9))
    other.load_state(state)
    assert (other.train_epoch(make_batches(9, 9)), other.test_epoch(make_batches(9))) == expected
    for name, tensor in trainer.get_weights().items():
        assert torch.equal(other.get_weights()[name], tensor)


def test_evaluation_drops_nothing_and_the_mode_is_set():
    model = MLP(18, 4, [16], dropout=0.9)
    trainer = ScratchTrainer(model, VanillaSGD(model.params(), learn_rate=1.0), CPU)
    batches = make_batches(10, 7)
    assert trainer.test_epoch(batches) == trainer.test_epoch(batches)
    assert not model.training_mode
    trainer.train_epoch(batches)
    assert model.training_mode
