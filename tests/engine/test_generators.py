from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from hw2core.engine.generators import (
    get_generators,
    keep_generators,
    seed_generators,
    set_generators,
)

CPU = torch.device("cpu")


def draw() -> list[float]:
    # A normal deviate of NumPy or Python leaves a second one behind, which is part of the state.
    numbers = [torch.rand(()).item(), np.random.randn(), random.gauss(0, 1)]
    return [*numbers, np.random.rand(), random.random()]


@pytest.mark.parametrize("seed", [0, 2**32 + 1, 2**63])
def test_a_seed_decides_what_is_drawn_from_all_generators(seed):
    seed_generators(seed)
    first = draw()
    second = draw()
    assert not set(first) & set(second)
    seed_generators(seed)
    assert draw() == first


def test_states_survive_a_file_that_holds_no_code(tmp_path):
    seed_generators(3)
    draw()
    torch.save(get_generators(CPU), tmp_path / "states.pt")
    expected = [draw(), draw()]
    set_generators(torch.load(tmp_path / "states.pt", weights_only=True), CPU)
    assert [draw(), draw()] == expected


def test_generators_are_kept_whatever_happens():
    seed_generators(3)
    expected = draw()
    seed_generators(3)

    def fail():
        draw()
        raise KeyError

    with pytest.raises(KeyError), keep_generators(CPU):
        fail()
    assert draw() == expected


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_the_generator_of_a_gpu_is_kept(monkeypatch, kind):
    state = torch.tensor([3], dtype=torch.uint8)
    restored = {}
    module = torch.get_device_module(kind)
    monkeypatch.setattr(module, "get_rng_state", lambda device: state)
    monkeypatch.setattr(
        module, "set_rng_state", lambda state, device: restored.update({device: state})
    )
    device = torch.device(kind, 0)
    set_generators(get_generators(device), device)
    assert restored == {device: state}
