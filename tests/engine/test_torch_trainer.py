"""The trainer of torch networks: its steps, and what it evaluates."""

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


def test_only_training_smooths_labels(make_trainer):
    plain, smoothed = make_trainer(), make_trainer(label_smoothing=0.3)
    batches = list(make_batches(10))
    assert smoothed.test_epoch(batches) == plain.test_epoch(batches)
    assert smoothed.train_epoch(batches).losses != plain.train_epoch(batches).losses


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
