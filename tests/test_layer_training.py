"""The from-scratch half's training loop: against autograd, and as runs of the study."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hw2core.layer_training import build_optimizer
from hw2core.layers import MLP, CrossEntropyLoss, Linear, Sequential
from hw2core.optimizers import MomentumSGD, RMSProp, VanillaSGD
from hw2core.runner import train_run
from hw2core.spec import RunSpec
from hw2core.training import LayerTrainer, TorchTrainer


@pytest.fixture
def mlp_values(tiny_values) -> dict:
    tiny_values["model"] = "mlp"
    tiny_values["architecture"] = {"hidden_dims": [32], "wstd": 0.02}
    tiny_values["training"] |= {"optimizer": "momentum", "momentum": 0.9, "lr": 0.01}
    return tiny_values


def make_batches(sizes):
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        x = torch.randn(size, 2, 3, 3, generator=generator, dtype=torch.float64)
        yield x, x.flatten(1).argmax(dim=1) % 4


def test_training_equals_autograd():
    torch.manual_seed(0)
    mlp = MLP(18, 4, [16, 8], wstd=0.3, dtype=torch.float64)
    twin = nn.Sequential(
        nn.Flatten(), nn.Linear(18, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)
    ).double()
    with torch.no_grad():
        for parameter, (value, _) in zip(twin.parameters(), mlp.params(), strict=True):
            parameter.copy_(value)
    ours = LayerTrainer(mlp, CrossEntropyLoss(), VanillaSGD(mlp.params(), learn_rate=0.1, reg=0.01))
    sgd = torch.optim.SGD(twin.parameters(), lr=0.1, weight_decay=0.01)
    theirs = TorchTrainer(twin, nn.CrossEntropyLoss(), sgd)
    batches = list(make_batches([10, 10, 7]))
    expected = theirs.fit(batches, batches, 5, print_every=0)
    actual = ours.fit(batches, batches, 5, print_every=0)
    assert actual.train_acc == expected.train_acc
    assert actual.train_loss == pytest.approx(expected.train_loss, abs=1e-10)
    assert actual.test_loss == pytest.approx(expected.test_loss, abs=1e-10)


def test_gradients_do_not_pile_up_from_batch_to_batch():
    torch.manual_seed(0)
    layer = Linear(18, 4, dtype=torch.float64)
    trainer = LayerTrainer(
        Sequential(layer), CrossEntropyLoss(), VanillaSGD([(layer.w, layer.dw)], learn_rate=0.0)
    )
    batch = next(make_batches([10]))
    trainer.train_batch(batch)
    once = layer.dw.clone()
    trainer.train_batch(batch)
    assert torch.equal(layer.dw, once)


def test_evaluation_learns_nothing_and_drops_nothing():
    mlp = MLP(18, 4, [16], dropout=0.9, dtype=torch.float64)
    trainer = LayerTrainer(mlp, CrossEntropyLoss(), VanillaSGD(mlp.params(), learn_rate=1.0))
    before = [value.clone() for value, _ in mlp.params()]
    batches = list(make_batches([50]))
    first, again = trainer.test_epoch(batches), trainer.test_epoch(batches)
    assert first == again
    assert all(torch.equal(a, b) for a, (b, _) in zip(before, mlp.params(), strict=True))


def test_the_state_can_be_loaded_back():
    mlp = MLP(18, 4, [16], dtype=torch.float64)
    trainer = LayerTrainer(mlp, CrossEntropyLoss(), VanillaSGD(mlp.params(), learn_rate=1.0))
    state = {name: tensor.clone() for name, tensor in trainer.get_state().items()}
    assert len(state) == 4
    trainer.train_epoch(make_batches([10]))
    assert not torch.equal(trainer.get_state()["param0"], state["param0"])
    trainer.load_state(state)
    assert all(torch.equal(trainer.get_state()[name], state[name]) for name in state)


def test_an_mlp_is_a_run_of_the_study(mlp_values, tiny_data):
    trained = train_run(RunSpec.model_validate(mlp_values), 0, tiny_data, device="cpu")
    assert trained.facts["status"] == "trained"
    assert trained.facts["test_accuracy"] > 60
    assert trained.facts["parameters"] == 3072 * 32 + 32 + 32 * 10 + 10
    assert trained.facts["flops_per_image"] == 2 * (3072 * 32 + 32 * 10)
    assert len(trained.results.train_loss) == 3


@pytest.mark.parametrize(
    ("training", "kind", "attributes"),
    [
        ({"optimizer": "vanilla"}, VanillaSGD, {}),
        ({"optimizer": "momentum", "momentum": 0.7}, MomentumSGD, {"momentum": 0.7}),
        ({"optimizer": "rmsprop", "decay": 0.5}, RMSProp, {"decay": 0.5}),
    ],
)
def test_the_optimizer_is_the_one_that_is_named(mlp_values, training, kind, attributes):
    mlp_values["training"] |= {"lr": 0.25, "weight_decay": 0.125, **training}
    spec = RunSpec.model_validate(mlp_values)
    optimizer = build_optimizer(spec.training, MLP(4, 2))
    assert type(optimizer) is kind
    for name, value in {"learn_rate": 0.25, "reg": 0.125, **attributes}.items():
        assert getattr(optimizer, name) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", "adamw"),
        ("schedule", "one_cycle"),
        ("label_smoothing", 0.1),
        ("clip_norm", 1.0),
        ("precision", "bf16"),
    ],
)
def test_what_the_from_scratch_half_does_not_have_is_refused(mlp_values, key, value):
    mlp_values["training"][key] = value
    with pytest.raises(ValueError, match="model: mlp"):
        RunSpec.model_validate(mlp_values)


def test_dropout_and_initial_scale_reach_the_layers(mlp_values, tiny_data):
    def losses(**architecture):
        values = {**mlp_values, "architecture": mlp_values["architecture"] | architecture}
        spec = RunSpec.model_validate(values)
        return train_run(spec, 0, tiny_data, device="cpu").results.train_loss

    assert losses() == losses(dropout=0.0)
    assert losses(dropout=0.4) != losses()
    assert losses(wstd=0.1) != losses()
