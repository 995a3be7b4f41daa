"""Computes the shortest time in which a device can train a network, from measured rates.

Arithmetic: the FLOPs of the forward pass times 3 (forward, gradient of the inputs, gradient of the
weights), at the best rate of a square matrix product in the same precision. Traffic: the bytes that
layers must move when they run one after the other, at the best rate of a large copy:

- in the forward pass, a layer reads its input and writes its output; in the backward pass, it reads
  its input and the gradient of its output and writes the gradient of its input: 3 inputs and 2
  outputs per image;
- a step reads each parameter twice and writes its gradient, and the optimizer reads parameter,
  gradient and momentum and writes parameter and momentum: 8 numbers of 4 bytes per parameter.

The roof is the larger of the two times. "By layer" is the sum over layers of the larger time, which
is the limit for kernels that run one after the other.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from measure import wait_for
from torch import Tensor, nn

from hw2core.engine.flops import count_flops, count_parameters

PASSES = 3
NUMBERS_PER_PARAMETER = 8
# Minimum number and duration of the calls that measure a rate.
LEAST_CALLS = 20
LEAST_SECONDS = 1.0


class Rates(NamedTuple):
    """FLOPs and bytes per second of a device."""

    flops: float
    bytes: float


class Roof(NamedTuple):
    """The shortest possible seconds per image."""

    arithmetic: float
    traffic: float
    by_layer: float

    @property
    def seconds(self) -> float:
        """Return the larger of arithmetic and traffic."""
        return max(self.arithmetic, self.traffic)


def measure_rates(device: torch.device, precision: str, *, quick: bool = False) -> Rates:
    """Measure the best rates of a matrix product and of a copy on this device."""
    on_gpu = device.type == "cuda"
    side = 256 if quick else 8192 if on_gpu else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(side, side, device=device).to(dtype)
    b, product = torch.randn_like(a), torch.empty_like(a)
    size = 2**22 if quick else 2**30 if on_gpu else 2**28  # bytes; beyond any cache
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    flops = 2 * side**3 / _time_best(lambda: torch.mm(a, b, out=product), device)
    return Rates(flops, 2 * size / _time_best(lambda: target.copy_(source), device))


def find_roof(
    network: nn.Module, in_size: tuple[int, int, int], batch_size: int, rates: Rates, precision: str
) -> Roof:
    """Return the roof of training ``network`` (on the CPU) in batches of ``batch_size``."""
    width = 2 if precision == "bf16" else 4  # bytes of an activation
    layers: list[tuple[float, float]] = []  # arithmetic and traffic, in seconds

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        moved = width * (3 * inputs[0].numel() + 2 * output.numel())
        has_flops = isinstance(layer, nn.Conv2d | nn.Linear)
        hooked[layer] = (tuple(inputs[0].shape[1:]) if has_flops else (), moved)

    hooked: dict[nn.Module, tuple[tuple[int, ...], int]] = {}
    leaves = [layer for layer in network.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in leaves]
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, *in_size))  # (1, C, H, W)
    for hook in hooks:
        hook.remove()
    for layer, (size, moved) in hooked.items():
        flops = count_flops(layer, size) if size else 0
        layers.append((PASSES * flops / rates.flops, moved / rates.bytes))
    parameters = NUMBERS_PER_PARAMETER * 4 * count_parameters(network) / batch_size / rates.bytes
    return Roof(
        arithmetic=PASSES * count_flops(network, in_size) / rates.flops,
        traffic=sum(traffic for _, traffic in layers) + parameters,
        by_layer=sum(map(max, layers)) + parameters,
    )


def _time_best(call: object, device: torch.device) -> float:
    """Return the shortest time of a call in seconds, as noise only makes calls slower."""
    assert callable(call)
    times: list[float] = []
    while len(times) < LEAST_CALLS or sum(times) < LEAST_SECONDS:
        start = time.perf_counter()
        call()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return min(times)
