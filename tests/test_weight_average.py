from __future__ import annotations

import pytest
import torch
from torch import nn

from hw2core.weight_average import WeightAverage


def change(model: nn.Module, seed: int) -> None:
    """A step of training, as far as an average is concerned."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator))


def test_it_is_an_exponential_moving_average_of_parameters_and_statistics():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = WeightAverage(model, horizon=4)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for seed in range(5):
        change(model, seed)
        average.update()
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = 0.75 * expected[name] + 0.25 * tensor
    assert "1.running_var" in expected
    for name, tensor in average.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])


def test_a_horizon_of_one_step_is_the_weights_themselves():
    model = nn.Linear(3, 4)
    average = WeightAverage(model, horizon=1)
    change(model, 0)
    average.update()
    assert torch.equal(average.model.weight, model.weight)


def test_the_average_leaves_the_network_alone():
    model = nn.Linear(3, 4)
    average = WeightAverage(model, horizon=2)
    change(model, 0)
    before = model.weight.clone()
    average.update()
    assert torch.equal(model.weight, before)
    assert model.weight.requires_grad
    assert not any(p.requires_grad for p in average.model.parameters())


def test_a_state_that_is_loaded_is_the_one_that_goes_on():
    model = nn.Linear(3, 4)
    average = WeightAverage(model, horizon=2)
    average.model.load_state_dict({"weight": torch.ones(4, 3), "bias": torch.ones(4)})
    with torch.no_grad():
        model.weight.fill_(3.0)
    average.update()
    assert (average.model.weight == 2).all()


@pytest.mark.parametrize("horizon", [0, 0.5, -1])
def test_refuses_a_horizon_of_less_than_a_step(horizon):
    with pytest.raises(ValueError, match=f"horizon must be at least 1 step, got {horizon}"):
        WeightAverage(nn.Linear(1, 1), horizon)
