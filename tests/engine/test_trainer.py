"""What both backends do as trainers of runs: epochs, evaluation, weights and states."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hw2core.engine.layer_trainer import ScratchTrainer
from hw2core.engine.torch_trainer import DeviceTrainer
from hw2core.engine.trainer import RunTrainer
from hw2core.layers import MLP
from hw2core.optimizers import MomentumSGD, RMSProp, VanillaSGD

CPU = torch.device("cpu")


def make_batches(*sizes):
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        yield torch.randn(size, 2, 3, 3, generator=generator), torch.arange(size) % 4


@pytest.fixture
def make_trainer(specify):
    """Makes a trainer, of ``torch`` by SGD or of ``scratch``, of a small model with dropout."""

    def make(backend="torch", *, dropout=0.0, optimizer=MomentumSGD, **training) -> RunTrainer:
        torch.manual_seed(0)
        if backend == "scratch":
            mlp = MLP(18, 4, [16], dropout=dropout)
            chosen = optimizer(mlp.params(), learn_rate=0.1)
            return ScratchTrainer(mlp, chosen, CPU, batches=training.get("batches"))
        model = nn.Sequential(nn.Flatten(), nn.Linear(18, 4), nn.Dropout(dropout))
        training = {"optimizer": "sgd", "lr": 0.5} | training
        return DeviceTrainer(model, specify(**training).training, 10, CPU)

    return make


both_backends = pytest.mark.parametrize("backend", ["torch", "scratch"])


@both_backends
def test_an_epoch_counts_images_when_the_last_batch_is_short(make_trainer, backend):
    trainer = make_trainer(backend)
    batches = list(make_batches(10, 10, 3))
    logits, labels = trainer.compute_logits(batches)
    x, y = map(torch.cat, zip(*batches, strict=True))
    assert torch.equal(labels, y)  # in the order of the images
    torch.testing.assert_close(logits, trainer.test_step(x, y)[1])
    result = trainer.test_epoch(batches)
    assert result.accuracy == pytest.approx(100 * (logits.argmax(1) == y).sum().item() / 23)
    assert result.losses == [pytest.approx(F.cross_entropy(logits, y).item())]
    assert trainer.test_epoch(batches) == result  # sums start at zero


@both_backends
def test_an_epoch_may_have_fewer_batches_than_the_loader(make_trainer, backend):
    trainer, sizes = make_trainer(backend, batches=2), []
    take_step = trainer.take_step
    trainer.take_step = lambda x, y: sizes.append(len(y)) or take_step(x, y)
    trainer.train_epoch(make_batches(4, 5, 6))
    assert sizes == [4, 5]
    assert trainer.images_per_second > 0


@both_backends
def test_evaluation_learns_nothing_and_drops_nothing_and_the_mode_is_set(make_trainer, backend):
    trainer, batches = make_trainer(backend, dropout=0.9), list(make_batches(10, 7))
    mode = "training" if backend == "torch" else "training_mode"
    before = {name: tensor.clone() for name, tensor in trainer.get_weights().items()}
    assert trainer.test_epoch(batches) == trainer.test_epoch(batches)
    assert not getattr(trainer.model, mode)
    assert all(torch.equal(w, before[name]) for name, w in trainer.get_weights().items())
    trainer.train_epoch(batches)
    assert getattr(trainer.model, mode)
    assert not any(torch.equal(w, before[name]) for name, w in trainer.get_weights().items())


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("torch", {"momentum": 0.9, "schedule": "one_cycle", "average": 0.5}),
        ("torch", {"optimizer": "adamw", "lr": 0.01}),
        ("torch", {}),
        *[("scratch", {"optimizer": kind}) for kind in (VanillaSGD, MomentumSGD, RMSProp)],
    ],
)
def test_a_trainer_that_loads_a_state_takes_the_same_next_steps(make_trainer, backend, options):
    trainer, other = (make_trainer(backend, **options) for _ in range(2))
    trainer.train_epoch(make_batches(10, 10))
    state = copy.deepcopy(trainer.get_state())
    expected = trainer.train_epoch(make_batches(9, 9)), trainer.test_epoch(make_batches(9))
    other.load_state(state)
    assert (other.train_epoch(make_batches(9, 9)), other.test_epoch(make_batches(9))) == expected
    for name, tensor in trainer.get_weights().items():
        assert torch.equal(other.get_weights()[name], tensor)


@pytest.mark.parametrize(
    ("backend", "options"), [("torch", {}), ("torch", {"average": 0.5}), ("scratch", {})]
)
def test_weights_are_loaded_into_what_is_evaluated(make_trainer, backend, options):
    trainer, other = (make_trainer(backend, **options) for _ in range(2))
    trainer.train_epoch(make_batches(10, 10))
    assert other.test_epoch(make_batches(9)) != trainer.test_epoch(make_batches(9))
    other.load_weights(trainer.get_weights())
    assert other.test_epoch(make_batches(9)) == trainer.test_epoch(make_batches(9))
