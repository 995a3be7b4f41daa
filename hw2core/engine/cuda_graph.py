"""A training step as one CUDA graph: its kernels are launched together, by one call.

A small network on a GPU waits for Python most of the time: a step launches a hundred kernels of a
few microseconds each. A graph launches them all at once. It works on fixed memory, so a batch is
copied to where the graph reads it.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Steps before the capture: libraries choose algorithms and optimizers make their memory in these.
WARM_UP_STEPS = 3


class GraphedStep:
    """Runs ``step(x, y)`` a few times as it is, then captures it and replays the capture.

    The first calls are steps of the training like any other: nothing is run twice or undone. A
    batch of another shape than the captured one runs as it is. So does every step where the
    capture fails; a warning says why.

    Args:
        step: works on tensors that stay where they are (parameters, optimizer, sums), waits for
            no number of the device, and returns nothing.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], None]) -> None:
        self._step = step
        self._calls = 0
        self._inputs: tuple[Tensor, Tensor] | None = None
        self._replay: Callable[[], None] | None = None

    @property
    def captured(self) -> bool:
        """Whether there is a graph."""
        return self._replay is not None

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Run the step on images x (N, C, H, W) and labels y (N,)."""
        self._calls += 1
        if self._calls == WARM_UP_STEPS + 1:
            self._inputs = x.clone(), y.clone()
            self._replay = self._try_to_capture(*self._inputs)
        if self._replay is None or self._inputs is None or x.shape != self._inputs[0].shape:
            self._run_aside(x, y)
        else:
            for held, given in zip(self._inputs, (x, y), strict=True):
                held.copy_(given)
            self._replay()

    def _try_to_capture(self, x: Tensor, y: Tensor) -> Callable[[], None] | None:
        try:
            return self._capture(x, y)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            warnings.warn(f"no CUDA graph, every step runs by itself: {reason}", stacklevel=2)
            return None

    def _capture(self, x: Tensor, y: Tensor) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with try_algorithms(), torch.cuda.graph(graph):
            self._step(x, y)
        return graph.replay

    def _run_aside(self, x: Tensor, y: Tensor) -> None:
        """Run the step on a stream of its own, as a capture wants the steps before it."""
        current = torch.cuda.current_stream()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(current)
        with try_algorithms(), torch.cuda.stream(aside):
            self._step(x, y)
        current.wait_stream(aside)


@contextmanager
def try_algorithms() -> Iterator[None]:
    """Let cuDNN choose the fastest algorithm by trying them, unless sums have to repeat exactly.

    For training steps only: it takes longer than the few batches of an evaluation.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
