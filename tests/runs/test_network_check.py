"""Before a training: networks that could fail, or go wrong unseen, until its end are refused."""

from __future__ import annotations

import random
import traceback

import numpy as np
import pytest
import torch
from torch import nn

from hw2core.engine.cuda_graph import GraphError
from hw2core.engine.run import NetworkError
from hw2core.gpus import CUDA_GRAPH
from hw2core.runs.make import make_result
from hw2core.runs.network_check import check_graph, check_network, draws_on_cpu


class Squeezed(nn.Module):
    """Loses the axis of a batch that has one image."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(6, out_classes)

    def forward(self, x):
        return self.head(torch.cat([self.pool(x).squeeze()] * 2, dim=1))


class Scaled(nn.Module):
    """Has no convolution and no product of matrices."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(out_classes, 3))

    def forward(self, x):
        return (x.mean((2, 3)).unsqueeze(1) * self.scale).sum(2)


class Complex(nn.Module):
    """Has a buffer of a type that safetensors does not know."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.head = nn.Linear(3, out_classes)
        self.register_buffer("phase", torch.zeros(1, dtype=torch.complex128))

    def forward(self, x):
        return self.head(x.mean((2, 3)))


class Norm(nn.Module):
    """Keeps a running mean and a count: assigned, or changed in place."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.head = nn.Linear(3, out_classes)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("count", torch.tensor(0))
        self.steps = 0
        self.state = {"steps": 0}
        self.old = torch.zeros(3)
        self.generator = np.random.default_rng(0)

    def forward(self, x):
        means = x.mean((2, 3))
        if self.training:
            self.keep(means.detach().mean(0))
        return self.head(means - self.mean)

    def keep(self, mean):
        self.mean.lerp_(mean, 0.1)


class Drawing(Norm):
    def forward(self, x):
        drawn = random.random() + np.random.rand() + torch.rand(()) if self.training else 0
        return super().forward(x + drawn)


class Assigned(Norm):
    def keep(self, mean):
        self.mean = self.mean.lerp(mean, 0.1)


class AssignedInEvaluation(Norm):
    def train(self, mode=True):
        if not mode:
            self.mean = self.mean + 1
        return super().train(mode)


class Normalized(Norm):
    def keep(self, _):
        self.head.weight.data = nn.functional.normalize(self.head.weight.data)


class Counting(Norm):
    def keep(self, _):
        self.steps += 1


class CountingInClass(Norm):
    seen = 0

    def keep(self, _):
        self.seen += 1


class CountingInPlace(Norm):
    def keep(self, _):
        self.count += 1


class CountingInDictionary(Norm):
    def forward(self, x):
        self.state["steps"] += self.training
        return super().forward(x) * self.state["steps"]


class Plain(Norm):
    """Keeps its running mean in a tensor that is no buffer."""

    def forward(self, x):
        means = x.mean((2, 3))
        if self.training:
            self.old = self.old.lerp(means.detach().mean(0), 0.1)
            return self.head(means - means.mean(0))
        return self.head(means - self.old)


class DrawingItsOwn(Norm):
    def forward(self, x):
        return super().forward(x + self.generator.normal() if self.training else x)


class Stochastic(nn.Module):
    """Leaves out a layer at random."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.first, self.head = nn.Linear(3, 3), nn.Linear(3, out_classes)

    def forward(self, x):
        x = x.mean((2, 3))
        leaves_out = self.training and torch.rand(()).item() < 0.5
        return self.head(x if leaves_out else self.first(x))


class Watched(Norm):
    """Keeps what it computed, for plots."""

    def forward(self, x):
        self.logits = super().forward(x)
        return self.logits


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Squeezed, "cannot compute the logits of a single image"),
        (Scaled, "no parameters, or no convolution or product"),
        (Complex, "weights that cannot be saved as safetensors"),
    ],
)
def test_a_network_whose_costs_or_weights_cannot_be_recorded_is_refused_before_training(
    tiny_spec, tiny_data, monkeypatch, network, problem
):
    state = torch.get_rng_state()
    check_network(tiny_spec)
    assert torch.equal(torch.get_rng_state(), state)
    name = f"{__name__}:{network.__name__}"
    monkeypatch.setattr("hw2core.runs.make.hash_run_code", lambda _: {})
    monkeypatch.setattr("hw2core.runs.make.check_recordable", lambda _: None)
    monkeypatch.setattr("hw2core.runs.make.train_run", lambda *_, **__: pytest.fail("it trains"))
    monkeypatch.setattr(type(tiny_spec), "implementation", name)
    with pytest.raises((NetworkError, LookupError)) as raised:
        make_result(tiny_spec, 0, tiny_data, device="cpu")
    *_, last = "".join(traceback.format_exception(raised.value)).splitlines()
    assert last.endswith(f"{network.__name__}: {problem}")


def describe_own(spec, monkeypatch, network, average=0.0):
    """Return a run of a network of this module."""
    monkeypatch.setattr(type(spec), "implementation", f"{__name__}:{network.__name__}")
    training = spec.training.model_copy(update={"average": average})
    return spec.model_copy(update={"training": training})


@pytest.mark.parametrize(
    ("network", "average"),
    [(Norm, 0.5), (CountingInPlace, 0.0), (Drawing, 0.0), (Watched, 0.0), (Stochastic, 0.5)],
)
def test_a_network_that_keeps_what_it_changes_is_trained(tiny_spec, monkeypatch, network, average):
    check_network(describe_own(tiny_spec, monkeypatch, network, average))


ELSE = "continued from a checkpoint, it computes something else"


@pytest.mark.parametrize(
    ("network", "average", "problem"),
    [
        (Assigned, 0.0, "a training step assigns mean"),
        (AssignedInEvaluation, 0.0, "a training step assigns mean"),
        (Normalized, 0.0, r"a training step assigns head\.weight"),
        (Counting, 0.0, "a training step changes the number steps"),
        (CountingInClass, 0.0, "a training step changes the number seen"),
        (CountingInPlace, 0.5, "a training step changes count, which is not averaged"),
        (CountingInDictionary, 0.0, ELSE),
        (Plain, 0.0, ELSE),
        (Plain, 0.5, ELSE),
        (DrawingItsOwn, 0.0, ELSE),
    ],
)
def test_a_network_whose_steps_change_what_is_not_kept_is_refused(
    tiny_spec, monkeypatch, network, average, problem
):
    with pytest.raises(NetworkError, match=f"{network.__name__}: {problem}"):
        check_network(describe_own(tiny_spec, monkeypatch, network, average))


def test_a_network_that_keeps_gradients_is_refused(tiny_spec, monkeypatch):
    with pytest.raises(RuntimeError, match="deepcopy") as raised:
        check_network(describe_own(tiny_spec, monkeypatch, Watched, 0.5))
    assert "keep only detached tensors" in raised.value.__notes__[0]


def test_layers_that_differ_between_probes_are_left_out(tiny_spec, tiny_data, monkeypatch):
    spec = describe_own(tiny_spec, monkeypatch, Stochastic)
    monkeypatch.setattr("hw2core.runs.make.hash_run_code", lambda _: {})
    monkeypatch.setattr("hw2core.runs.make.check_recordable", lambda _: None)
    with pytest.warns(UserWarning, match="no layers are recorded"):
        result, _ = make_result(spec, 0, tiny_data, device="cpu")
    assert result.layers is None


def test_a_network_that_draws_on_the_cpu_has_no_cuda_graph(tiny_spec, monkeypatch):
    assert not draws_on_cpu(tiny_spec, torch.device("cpu"))
    assert draws_on_cpu(describe_own(tiny_spec, monkeypatch, Stochastic), torch.device("cpu"))


@pytest.mark.gpu
def test_a_network_that_draws_on_the_cpu_is_refused_where_there_are_graphs(tiny_spec, monkeypatch):
    check_graph(tiny_spec, torch.device("cuda"))
    spec = describe_own(tiny_spec, monkeypatch, Stochastic)
    with pytest.raises(GraphError, match="draws on the CPU"):
        check_graph(spec, torch.device("cuda"))
    monkeypatch.setenv(CUDA_GRAPH, "0")
    check_graph(spec, torch.device("cuda"))
