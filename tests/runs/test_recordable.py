"""Before a training: a result has to be able to hold what the run is made of."""

from __future__ import annotations

import traceback

import pytest
import torch
from torch import nn

from hw2core.engine.run import NetworkError
from hw2core.errors import UserError
from hw2core.runs import recordable
from hw2core.runs.make import check_network, make_result
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
