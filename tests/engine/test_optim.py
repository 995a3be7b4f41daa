"""Optimizers, schedules and the EMA of the weights."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from hw2core.engine.optim import (
    WeightEMA,
    build_ema,
    build_optimizer,
    build_schedule,
    leave_out_compiler,
    scale_one_cycle,
)
from hw2core.engine.run import build_trainer


def test_weight_decay_spares_biases_and_normalisation(specify):
    spec = specify("resnet", {"batchnorm": True}, weight_decay=0.1)
    groups = build_trainer(spec, torch.device("cpu"), 10).optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])


@pytest.mark.parametrize(
    ("training", "kind"),
    [
        ({"optimizer": "sgd", "momentum": 0.7, "nesterov": True}, torch.optim.SGD),
        ({"optimizer": "adamw"}, torch.optim.AdamW),
    ],
)
def test_the_optimizer_is_the_one_that_is_named(specify, training, kind):
    optimizer = build_optimizer(specify(lr=0.25, **training).training, nn.Linear(2, 2))
    assert isinstance(optimizer, kind)
    for group in optimizer.param_groups:
        assert group["lr"] == 0.25
        assert group.get("momentum", 0.7) == 0.7
        assert group.get("nesterov", True) is True


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    rates = [scale_one_cycle(step, 100, 25) for step in range(100)]
    assert rates[25] == max(rates) == 1.0
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert 0 < rates[0] < 0.05
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_one_cycle_works_for_the_shortest_training(specify, num_steps):
    schedule = build_schedule(specify(lr=0.1, schedule="one_cycle").training, num_steps)
    assert all(0 < schedule(step) <= 0.1 for step in range(num_steps))


def test_cosine_falls_from_the_rate_to_nothing(specify):
    schedule = build_schedule(specify(lr=0.2, schedule="cosine").training, 100)
    rates = [schedule(step) for step in range(100)]
    assert rates[0] == 0.2
    assert rates[50] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.001


def test_step_lowers_the_rate_at_its_milestones(specify):
    training = specify(lr=0.8, schedule="step", gamma=0.5, milestones=[0.25, 0.5]).training
    schedule = build_schedule(training, 8)
    assert [schedule(step) for step in range(8)] == [0.8] * 2 + [0.4] * 2 + [0.2] * 4


def change(model: nn.Module, seed: int) -> None:
    """Set all tensors, as a step of training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator))


def test_the_ema_holds_parameters_and_running_statistics():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = WeightEMA(model, horizon=4)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for seed in range(5):
        change(model, seed)
        ema.update()
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = 0.75 * expected[name] + 0.25 * tensor
    assert "1.running_var" in expected
    for name, tensor in ema.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])


def test_a_horizon_of_one_step_is_the_weights_themselves():
    model = nn.Linear(3, 4)
    ema = WeightEMA(model, horizon=1)
    change(model, 0)
    ema.update()
    assert torch.equal(ema.model.weight, model.weight)


def test_the_ema_changes_nothing_in_the_network():
    model = nn.Linear(3, 4)
    ema = WeightEMA(model, horizon=2)
    change(model, 0)
    before = model.weight.clone()
    ema.update()
    assert torch.equal(model.weight, before)
    assert model.weight.requires_grad
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_the_ema_continues_from_a_state_that_is_loaded():
    model = nn.Linear(3, 4)
    ema = WeightEMA(model, horizon=2)
    ema.model.load_state_dict({"weight": torch.ones(4, 3), "bias": torch.ones(4)})
    with torch.no_grad():
        model.weight.fill_(3.0)
    ema.update()
    assert (ema.model.weight == 2).all()


@pytest.mark.parametrize("horizon", [0, 0.5, -1])
def test_refuses_a_horizon_of_less_than_a_step(horizon):
    with pytest.raises(ValueError, match=f"horizon must be at least 1 step, got {horizon}"):
        WeightEMA(nn.Linear(1, 1), horizon)


@pytest.mark.parametrize(("share", "weight"), [(0.5, 0.25), (0.125, 1.0), (0.01, 1.0)])
def test_the_horizon_is_a_share_of_the_steps_and_at_least_one(specify, share, weight):
    """Of 8 steps, 0.5 is a horizon of 4: a step moves the average by a quarter."""
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    ema = build_ema(specify(average=share).training, model, num_steps=8)
    nn.init.ones_(model.weight)
    ema.update()
    assert ema.model.weight.item() == pytest.approx(weight)


def test_there_is_no_ema_unless_it_is_asked_for(specify):
    assert build_ema(specify().training, nn.Linear(1, 1), num_steps=8) is None


OPTIMIZERS = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
]


def take_steps(model, optimizer, number):
    for i in range(number):
        optimizer.zero_grad(set_to_none=True)
        x = torch.linspace(-1, 1 + i, 12).reshape(4, 3)
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_without_the_compiler_steps_and_state_are_those_of_torch(kind, options):
    torch.manual_seed(0)
    theirs = nn.Linear(3, 2)
    ours = copy.deepcopy(theirs)
    optimizers = []
    for model, make in ((theirs, kind), (ours, leave_out_compiler(kind))):
        optimizer = make(model.parameters(), **options)
        take_steps(model, optimizer, 3)
        again = make(model.parameters(), **options)
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        take_steps(model, again, 3)
        optimizers.append(again)
    assert isinstance(optimizers[1], kind)
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b)
    a, b = (optimizer.state_dict() for optimizer in optimizers)
    assert a["param_groups"] == b["param_groups"]
    for index, memory in a["state"].items():
        for name, value in memory.items():
            assert torch.equal(value, b["state"][index][name])


SCRIPT = """
import sys, torch
from hw2core.engine.optim import leave_out_compiler
for kind in (torch.optim.SGD, torch.optim.AdamW):
    model = torch.nn.Linear(3, 2)
    optimizer = leave_out_compiler(kind)(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_the_compiler_is_not_imported():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
