"""Before a training: what a result cannot hold, and what would go wrong at its end, is refused."""

from __future__ import annotations

import traceback

import pytest
import torch
from torch import nn

from hw2core.engine.run import NetworkError
from hw2core.errors import UserError
from hw2core.runs import recordable
from hw2core.runs.make import make_result
from hw2core.runs.network_check import check_network
from hw2core.runs.recordable import check_recordable


@pytest.mark.parametrize("value", ["conv > norm", "ä", "x" * 301, [1] * 101, [[1, 2]], {"a": "<"}])
def test_settings_that_no_result_can_hold_are_refused(tiny_spec, tiny_data, monkeypatch, value):
    config = tiny_spec.describe(0)
    config["architecture"]["mine"] = value
    check_recordable(tiny_spec)
    monkeypatch.setattr(type(tiny_spec), "describe", lambda *_: config)
    problem = r"^tiny_L2_K8: architecture\.mine.*: not a value that a run can have; only"
    with pytest.raises(UserError, match=problem):
        check_recordable(tiny_spec)
    with pytest.raises(UserError, match=problem):
        make_result(tiny_spec, 0, tiny_data)


def test_a_module_whose_name_no_result_can_hold_is_refused(tiny_spec, monkeypatch):
    monkeypatch.setattr(recordable, "hash_run_code", lambda _: {"hw2core.cnn.blöcke": "0"})
    with pytest.raises(UserError, match=r"^tiny_L2_K8: hw2core\.cnn\.blöcke: rename this module"):
        check_recordable(tiny_spec)


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

    def forward(self, x):
        means = x.mean((2, 3))
        if self.training:
            self.keep(means.detach().mean(0))
        return self.head(means - self.mean)

    def keep(self, mean):
        self.mean.lerp_(mean, 0.1)


class Assigned(Norm):
    def keep(self, mean):
        self.mean = self.mean.lerp(mean, 0.1)


class Normalized(Norm):
    def keep(self, _):
        self.head.weight.data = nn.functional.normalize(self.head.weight.data)


class Counting(Norm):
    def keep(self, _):
        self.steps += 1


class CountingInPlace(Norm):
    def keep(self, _):
        self.count += 1


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


@pytest.mark.parametrize(
    ("network", "average", "problem"),
    [
        (Norm, 0.5, None),
        (CountingInPlace, 0.0, None),
        (Assigned, 0.0, "a training step assigns mean"),
        (Normalized, 0.0, r"a training step assigns head\.weight"),
        (Counting, 0.0, "a training step changes the number steps"),
        (CountingInPlace, 0.5, "a training step changes count, which is not averaged"),
    ],
)
def test_a_network_whose_steps_change_what_is_not_kept_is_refused(
    tiny_spec, monkeypatch, network, average, problem
):
    monkeypatch.setattr(type(tiny_spec), "implementation", f"{__name__}:{network.__name__}")
    training = tiny_spec.training.model_copy(update={"average": average})
    spec = tiny_spec.model_copy(update={"training": training})
    if problem is None:
        check_network(spec)
        return
    with pytest.raises(NetworkError, match=f"{network.__name__}: {problem}"):
        check_network(spec)
