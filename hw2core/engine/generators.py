"""Seeds the random generators that a network may draw from, and keeps their states."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed the global generators of torch on all devices, of NumPy and of Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def describe_host_generators() -> tuple[Any, ...]:
    """Return a value that changes when a number is drawn from NumPy or Python."""
    numpy: Any = np.random.get_state()
    kind, keys, *rest = numpy
    return random.getstate(), kind, keys.tobytes(), *rest


def get_generators(device: torch.device) -> dict[str, Any]:
    """Return the states of the global generators, as tensors and plain values."""
    numpy: Any = np.random.get_state()
    kind, keys, *rest = numpy
    states = {
        "cpu": torch.get_rng_state(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "python": random.getstate(),
    }
    if device.type in ("cuda", "xpu"):
        states[device.type] = torch.get_device_module(device).get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_generators(states: Mapping[str, Any], device: torch.device) -> None:
    """Set the global generators to states that ``get_generators`` returned."""
    torch.set_rng_state(states["cpu"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(states["python"])
    if device.type in ("cuda", "xpu"):
        torch.get_device_module(device).set_rng_state(states[device.type], device)
    if device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def keep_generators(device: torch.device) -> Iterator[None]:
    """Restore the states of the global generators at the end of the block."""
    states = get_generators(device)
    try:
        yield
    finally:
        set_generators(states, device)
