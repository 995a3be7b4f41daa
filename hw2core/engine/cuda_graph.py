"""Runs a training step as one CUDA graph, which launches all of its kernels with one call.

Otherwise a small network on a GPU waits for Python most of the time: a step launches a hundred
kernels of a few microseconds each.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Before the capture, libraries choose algorithms and optimizers allocate memory.
WARM_UP_STEPS = 3


class GraphedStep:
    """Calls ``step(x, y)`` a few times, then captures it and replays the capture.

    Every call is one step. A batch of another shape than the captured one is run without the graph,
    and so is every batch if the capture fails, with a warning that says why.

    Args:
        step: works on tensors with fixed memory (parameters, optimizer state, sums), reads no
            number from the device, and returns nothing.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], None]) -> None:
        self._step = step
        self._calls = 0
        self._inputs: tuple[Tensor, Tensor] | None = None
        self._replay: Callable[[], None] | None = None

    @property
    def captured(self) -> bool:
        """Whether the step has been captured."""
        return self._replay is not None

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Run the step on images x (N, C, H, W) and labels y (N,)."""
        self._calls += 1
        if self._calls == WARM_UP_STEPS + 1:
            self._inputs = x.clone(), y.clone()
            try:
                self._replay = self._capture(*self._inputs)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                warnings.warn(f"no CUDA graph, every step runs by itself: {reason}", stacklevel=2)
        if self._replay is None or self._inputs is None or x.shape != self._inputs[0].shape:
            self._run_aside(x, y)
        else:
            for held, given in zip(self._inputs, (x, y), strict=True):
                held.copy_(given)
            self._replay()

    def _capture(self, x: Tensor, y: Tensor) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with try_algorithms(), torch.cuda.graph(graph):
            self._step(x, y)
        return graph.replay

    def _run_aside(self, x: Tensor, y: Tensor) -> None:
        """Run the step on a stream of its own, as a later capture requires."""
        current = torch.cuda.current_stream()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(current)
        with try_algorithms(), torch.cuda.stream(aside):
            self._step(x, y)
        current.wait_stream(aside)


@contextmanager
def try_algorithms() -> Iterator[None]:
    """Let cuDNN time its algorithms, except in deterministic mode; pays in training only."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
