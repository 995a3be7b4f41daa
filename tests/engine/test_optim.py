"""Optimizers, schedules and the EMA of the weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hw2core.engine.optim import (
    WeightEMA,
    build_ema,
    build_optimizer,
    build_schedule,
    leave_out_compiler,
)


@pytest.mark.parametrize(
    ("training", "kind"),
    [
        ({"optimizer": "sgd", "momentum": 0.7, "nesterov": True}, torch.optim.SGD),
        ({"optimizer": "adamw"}, torch.optim.AdamW),
    ],
)
def test_the_optimizer_spares_biases_and_normalisation(specify, training, kind):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = build_optimizer(specify(lr=0.25, weight_decay=0.1, **training).training, model)
    assert isinstance(optimizer, kind)
    weights, others = optimizer.param_groups
    assert (weights["params"], weights["weight_decay"]) == ([model[0].weight], 0.1)
    assert (len(others["params"]), others["weight_decay"]) == (3, 0.0)
    for group in (weights, others):
        assert group["lr"] == 0.25
        assert group.get("momentum", 0.7) == 0.7
        assert group.get("nesterov", True) is True


def compute_rates(training, num_steps=100):
    schedule = build_schedule(training, num_steps)
    return [schedule(step) for step in range(num_steps)]


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing(specify):
    rates = compute_rates(specify(lr=1.0, schedule="one_cycle", warmup=0.25).training)
    assert rates[25] == max(rates) == 1.0
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert 0 < rates[0] < 0.05
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_one_cycle_works_for_the_shortest_training(specify, num_steps):
    rates = compute_rates(specify(lr=0.1, schedule="one_cycle").training, num_steps)
    assert all(0 < rate <= 0.1 for rate in rates)


def test_cosine_falls_from_the_rate_to_nothing(specify):
    rates = compute_rates(specify(lr=0.2, schedule="cosine").training)
    assert rates[0] == 0.2
    assert rates[50] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.001


def test_step_lowers_the_rate_at_its_milestones_and_constant_never(specify):
    training = specify(lr=0.8, schedule="step", gamma=0.5, milestones=[0.25, 0.5]).training
    assert compute_rates(training, 8) == [0.8] * 2 + [0.4] * 2 + [0.2] * 4
    assert compute_rates(specify(lr=0.8).training, 8) == [0.8] * 8


def change(model: nn.Module, seed: int) -> None:
    """Set all tensors, as a step of training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator))


@pytest.mark.parametrize("horizon", [4, 2, 1])
def test_the_ema_holds_parameters_and_running_statistics(horizon):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = WeightEMA(model, horizon)
    change(ema.model, 9)  # as a state that is loaded: the EMA continues from it
    expected = {name: tensor.clone() for name, tensor in ema.model.state_dict().items()}
    for seed in range(5):
        change(model, seed)
        before = model[0].weight.clone()
        ema.update()
        assert torch.equal(model[0].weight, before)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = (1 - 1 / horizon) * expected[name] + tensor / horizon
    assert "1.running_var" in expected
    for name, tensor in ema.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    assert all(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in ema.model.parameters())


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


def take_steps(model, optimizer, number):
    for i in range(number):
        optimizer.zero_grad(set_to_none=True)
        x = torch.linspace(-1, 1 + i, 12).reshape(4, 3)
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    ],
)
def test_without_the_compiler_steps_and_state_are_those_of_torch(kind, options):
    theirs = nn.Linear(3, 2)
    ours = copy.deepcopy(theirs)
    states = []
    for model, make in ((theirs, kind), (ours, leave_out_compiler(kind))):
        optimizer = make(model.parameters(), **options)
        take_steps(model, optimizer, 3)
        again = make(model.parameters(), **options)
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        take_steps(model, again, 3)
        states.append(again.state_dict())
    assert isinstance(again, kind)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(states[1]["state"], states[0]["state"], rtol=0, atol=0)
    assert states[1]["param_groups"] == states[0]["param_groups"]
