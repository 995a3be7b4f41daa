"""Runs a training step as one CUDA graph, which launches all of its kernels with one call.

Without the graph, a small network on a GPU waits for Python most of the time: a step launches a
hundred kernels of a few microseconds each.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor

from hw2core.engine.device import ran_out_of_memory, shorten
from hw2core.engine.generators import describe_host_generators
from hw2core.errors import UserError
from hw2core.gpus import CUDA_GRAPH

# Before the capture, libraries choose algorithms and optimizers allocate memory.
WARM_UP_STEPS = 3


class GraphError(UserError):
    """The training step cannot be captured.

    The current stream, generators and allocator may be left in the middle of the capture, so
    training can start again only in a new process.
    """


class GraphedStep:
    """Calls ``step(x, y)`` a few times, then captures it and replays the capture.

    Every call is one step. A batch of another shape than the captured one runs without the graph.

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
        """Run the step on images x (N, C, H, W) and labels y (N,).

        Raises:
            GraphError: the step cannot be captured.
        """
        self._calls += 1
        if self._calls == 1:
            self._generators = describe_host_generators()
        if self._calls == WARM_UP_STEPS + 1:
            if describe_host_generators() != self._generators:
                raise GraphError(
                    "no CUDA graph: the network draws from NumPy or Python, which a graph would "
                    f"not repeat; {CUDA_GRAPH}=0 trains without"
                )
            self._inputs = x.clone(), y.clone()
            try:
                self._replay = self._capture(*self._inputs)
            except RuntimeError as error:
                if ran_out_of_memory(error):
                    raise
                # The end of the capture fails too, but its message only reports an earlier failure.
                reason = shorten(error.__context__ or error)
                raise GraphError(
                    f"no CUDA graph: {reason}; a new process with {CUDA_GRAPH}=0 trains without"
                ) from error
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
        """Run the step on a side stream, as a later capture requires."""
        current = torch.cuda.current_stream()
        self._aside.wait_stream(current)
        with try_algorithms(), torch.cuda.stream(self._aside):
            self._step(x, y)
        current.wait_stream(self._aside)

    @cached_property
    def _aside(self) -> torch.cuda.Stream:
        return torch.cuda.Stream()  # type: ignore[no-untyped-call]


@contextmanager
def try_algorithms() -> Iterator[None]:
    """Let cuDNN time its algorithms, except in deterministic mode; worth it only in training."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
