from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import weight_norm as old_weight_norm
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from hw2core.cnn import ConvClassifier, ResNetClassifier, YourCodeNet
from hw2core.engine.probe import probe_layers


def make_batch(size=16):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 3, 32, 32, generator=generator), torch.arange(size) % 10


def test_gradients_are_those_of_autograd():
    model = ConvClassifier((3, 32, 32), 10, [4, 8], 1, [16])
    x, y = make_batch()
    probe = probe_layers(model, x, y)
    nn.functional.cross_entropy(model(x), y).backward()
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    expected = [layer.weight.grad.square().mean().sqrt().item() for layer in layers]
    assert probe.names == ["conv1", "conv2", "fc1", "fc2"]
    assert probe.gradient_norm == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("activation", ["relu", "lrelu"])
def test_scale_and_dead_units_are_seen_behind_the_activation(activation):
    model = ConvClassifier((3, 32, 32), 10, [4], 1, [6], activation_type=activation)
    with torch.no_grad():
        model.feature_extractor[0].bias[:3] = -100.0  # three of four channels never fire
        model.classifier[0].weight.zero_()
        model.classifier[0].bias[:] = torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0, 1.0])
    x, y = make_batch()
    probe = probe_layers(model, x, y)
    dead = [0.75, pytest.approx(1 / 3, abs=1e-4)] if activation == "relu" else [None, None]
    assert probe.dead_fraction == [*dead, None]
    features = model.feature_extractor[:2](x)
    assert probe.activation_std[0] == pytest.approx(features.std().item(), rel=1e-3)
    assert probe.activation_std[2] == pytest.approx(model(x).std().item(), rel=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        ResNetClassifier((3, 32, 32), 10, [4, 4, 8], 2, [], batchnorm=True, dropout=0.5),
        YourCodeNet((3, 32, 32), 10, [4, 4, 8, 8], 2, [], dropout=0.5),
    ],
)
def test_looking_changes_nothing(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    probe = probe_layers(model, *make_batch())
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert "proj1" in probe.names
    assert len(set(map(len, probe))) == 1


def test_frozen_layers_have_the_gradient_they_would_be_trained_with():
    model, batch = nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.Linear(8, 10)), make_batch()
    expected = probe_layers(model, *batch)
    model[1].requires_grad_(False)
    assert probe_layers(model, *batch) == expected
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


class WithAuxiliaryHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.auxiliary = nn.Linear(3072, 10), nn.Linear(3072, 10)

    def forward(self, x):
        self.seen = self.auxiliary(x.flatten(1))
        return self.head(x.flatten(1))


def test_a_layer_that_the_loss_does_not_depend_on_has_no_gradient():
    gradients = probe_layers(WithAuxiliaryHead(), *make_batch()).gradient_norm
    assert gradients[0] == 0
    assert gradients[1] > 0


@pytest.mark.parametrize("normalise", [weight_norm, spectral_norm, old_weight_norm])
def test_the_gradient_of_a_computed_weight_is_that_of_the_weight_in_use(normalise):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.ReLU(), nn.Linear(8, 10)).eval()
    normalised = copy.deepcopy(plain)
    normalise(normalised[1])
    batch = make_batch()
    found = probe_layers(normalised, *batch)
    with torch.no_grad():
        plain[1].weight.copy_(normalised[1].weight)
    assert found.gradient_norm == pytest.approx(probe_layers(plain, *batch).gradient_norm, rel=0.02)


class Aliased(nn.Module):
    """Uses its weight by another name, and another layer without gradient."""

    def __init__(self):
        super().__init__()
        self.head, self.frozen = nn.Linear(3072, 10), weight_norm(nn.Linear(3072, 10))
        self.weights = (self.head.weight,)

    def forward(self, x):
        with torch.no_grad():
            self.frozen(x.flatten(1))
        self.head(x.flatten(1))
        return x.flatten(1) @ self.weights[0].T


def test_the_gradient_is_found_by_whatever_name_a_weight_is_used():
    frozen, used = probe_layers(Aliased(), *make_batch()).gradient_norm
    assert frozen == 0
    assert used > 0
