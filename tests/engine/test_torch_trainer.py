"""Tests of the trainer of torch networks: its steps, its epochs, and what it evaluates."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hw2core.engine.run import build_trainer
from hw2core.engine.torch_trainer import DeviceTrainer

CPU = torch.device("cpu")


def make_batches(*sizes):
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        x = torch.randn(size, 4, generator=generator)
        yield x, (x.sum(dim=1) > 0).long()


@pytest.fixture
def make_trainer(specify):
    """Makes a trainer of a small model by SGD with a learning rate of 0.5."""

    def make(model=None, *, num_steps=10, **training) -> DeviceTrainer:
        torch.manual_seed(0)
        model = model or nn.Linear(4, 2)
        training = specify(**{"optimizer": "sgd", "lr": 0.5} | training).training
        return DeviceTrainer(model, training, num_steps, CPU)

    return make


def test_a_step_is_sgd_on_the_mean_loss(make_trainer):
    trainer = make_trainer()
    reference = copy.deepcopy(trainer.model)
    x, y = next(make_batches(10))
    F.cross_entropy(reference(x), y).backward()
    expected = [p.detach() - 0.5 * p.grad for p in reference.parameters()]
    trainer.train_epoch([(x, y)])
    for actual, wanted in zip(trainer.model.parameters(), expected, strict=True):
        torch.testing.assert_close(actual.detach(), wanted)


def test_an_epoch_counts_images_when_the_last_batch_is_short(make_trainer):
    trainer = make_trainer()
    batches = list(make_batches(10, 10, 3))
    x, y = map(torch.cat, zip(*batches, strict=True))
    with torch.no_grad():
        logits = trainer.model(x)
    result = trainer.test_epoch(batches)
    assert result.accuracy == pytest.approx(100 * (logits.argmax(1) == y).sum().item() / 23)
    assert result.losses == [pytest.approx(F.cross_entropy(logits, y).item())]


def test_sums_of_an_epoch_start_at_zero(make_trainer):
    trainer, batches = make_trainer(lr=1e-30), list(make_batches(10, 10))
    first = trainer.train_epoch(batches)
    assert trainer.test_epoch(batches) == first == trainer.train_epoch(batches)


def test_an_epoch_may_have_fewer_batches_than_the_loader(make_trainer):
    trainer, sizes = make_trainer(batches=2), []
    take_step = trainer.take_step
    trainer.take_step = lambda x, y: sizes.append(len(y)) or take_step(x, y)
    trainer.train_epoch(make_batches(4, 5, 6))
    assert sizes == [4, 5]
    assert trainer.images_per_second > 0


def test_evaluation_uses_the_plain_loss_and_learns_nothing(make_trainer):
    plain, smoothed = make_trainer(), make_trainer(label_smoothing=0.3)
    batches = list(make_batches(10))
    assert smoothed.test_epoch(batches) == plain.test_epoch(batches)
    assert not smoothed.model.training
    assert torch.equal(smoothed.model.weight, plain.model.weight)
    assert smoothed.train_epoch(batches).losses != plain.train_epoch(batches).losses
    assert smoothed.model.training


def test_each_step_has_the_rate_of_the_schedule(make_trainer):
    trainer = make_trainer(
        nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)), num_steps=4, schedule="one_cycle"
    )
    rates = []
    step = trainer.optimizer.step
    trainer.optimizer.step = lambda: (
        rates.append([group["lr"] for group in trainer.optimizer.param_groups]) or step()
    )
    for _ in range(2):  # the steps are counted across epochs
        trainer.train_epoch(make_batches(4, 4))
    assert rates == [[trainer.schedule(i)] * 2 for i in range(4)]
    assert len({rate for rate, _ in rates}) > 2


def test_what_is_evaluated_and_kept_is_the_ema(make_trainer):
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))
    trainer = make_trainer(model, average=0.5)
    trainer.train_epoch(make_batches(10, 10))
    assert trainer.model.training
    assert not trainer.ema.model.training
    x, y = next(make_batches(10))
    ema = trainer.ema.model[0]
    assert not torch.equal(ema.weight, model[0].weight)
    assert torch.equal(trainer.compute_logits([(x, y)])[0], ema(x))
    assert torch.equal(trainer.get_weights()["0.weight"], ema.weight)


def test_weights_are_loaded_into_what_is_evaluated(make_trainer):
    trainer = make_trainer(average=0.5)
    weights = {"weight": torch.ones(2, 4), "bias": torch.zeros(2)}
    trainer.load_weights(weights)
    x, y = next(make_batches(3))
    assert torch.equal(trainer.compute_logits([(x, y)])[0], F.linear(x, torch.ones(2, 4)))
    assert not torch.equal(trainer.model.weight, weights["weight"])


def test_logits_are_in_the_order_of_the_images(make_trainer):
    trainer, batches = make_trainer(), list(make_batches(3, 2))
    x, y = map(torch.cat, zip(*batches, strict=True))
    logits, labels = trainer.compute_logits(batches)
    torch.testing.assert_close(logits, trainer.model(x).detach())
    assert torch.equal(labels, y)


@pytest.mark.parametrize(
    "training",
    [
        {"momentum": 0.9, "schedule": "one_cycle", "average": 0.5},
        {"optimizer": "adamw", "lr": 0.01},
        {},
    ],
)
def test_a_trainer_that_loads_a_state_takes_the_same_next_steps(make_trainer, training):
    trainer = make_trainer(**training)
    trainer.train_epoch(make_batches(10, 10))
    state = copy.deepcopy(trainer.get_state())
    other = make_trainer(nn.Linear(4, 2), **training)
    expected = trainer.train_epoch(make_batches(9, 9)), trainer.test_epoch(make_batches(9))
    other.load_state(state)
    assert (other.train_epoch(make_batches(9, 9)), other.test_epoch(make_batches(9))) == expected
    assert other.get_state()["steps_taken"] == 4
    for name, tensor in trainer.get_weights().items():
        assert torch.equal(other.get_weights()[name], tensor)


def test_bf16_is_for_the_network_and_not_for_the_loss(make_trainer):
    trainer = make_trainer(precision="bf16")
    x, y = next(make_batches(10))
    for step in (trainer.train_step, trainer.test_step):
        loss, logits = step(x, y)
        assert (loss.dtype, logits.dtype) == (torch.float32, torch.bfloat16)
    assert trainer.model.weight.dtype == torch.float32


def test_a_run_has_its_network_in_channels_last_memory_and_no_graph_on_a_cpu(specify):
    trainer = build_trainer(specify(average=0.5), CPU, num_steps=1)
    for model in (trainer.model, trainer.ema.model):
        weight = model.feature_extractor[0].weight
        assert weight.is_contiguous(memory_format=torch.channels_last)
    trainer.train_epoch([(torch.rand(2, 3, 32, 32), torch.arange(2))] * 5)
    assert not trainer.graphed
    assert trainer.count_costs((3, 32, 32)).parameters == sum(
        p.numel() for p in trainer.model.parameters()
    )
