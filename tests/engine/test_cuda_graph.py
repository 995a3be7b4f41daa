from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from hw2core.engine.cuda_graph import WARM_UP_STEPS, GraphedStep, GraphError
from hw2core.engine.device import ran_out_of_memory
from hw2core.engine.run import build_trainer
from hw2core.engine.torch_trainer import DeviceTrainer
from hw2core.history import EpochResult

CPU = torch.device("cpu")


class Replayed(GraphedStep):
    """Replaces a graph where there is no GPU: the same fixed memory, and the step run again."""

    replays = 0
    failure: Exception | None = None

    def _run_aside(self, x, y):
        self._step(x, y)

    def _capture(self, x, y):
        def replay():
            self.replays += 1
            self._step(x, y)

        try:
            if self.failure is not None:
                raise self.failure
        finally:
            if self.failure is not None:  # the end of the capture raises in place of the first
                raise RuntimeError("operation failed due to a previous error during capture")
        return replay


class NotCapturable(Replayed):
    failure = RuntimeError("operation not permitted when stream is capturing\nCUDA error")


class TooLarge(Replayed):
    failure = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class StreamStub:
    """Replaces a CUDA stream, and the context in which it is the current one."""

    def __init__(self):
        self.waited = []
        self.entered = False

    def wait_stream(self, other):
        self.waited.append(other)

    def __enter__(self):
        self.entered = True

    def __exit__(self, *error):
        self.entered = False


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: random.gauss(0, 1)])
def test_a_step_that_draws_from_numpy_or_python_is_not_captured(draw):
    step = Replayed(lambda x, y: (torch.rand(1), draw()))
    batch = torch.zeros(1, 3, 2, 2), torch.zeros(1)
    for _ in range(WARM_UP_STEPS):
        step(*batch)
    with pytest.raises(GraphError, match="no CUDA graph: the network draws from NumPy or Python"):
        step(*batch)


def make_batches(sizes):
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(n, 3, 32, 32, generator=generator), torch.arange(n) % 10) for n in sizes]


def train(specify, graph, sizes=(8,) * 6) -> tuple[DeviceTrainer, EpochResult]:
    spec = specify(optimizer="sgd", momentum=0.9, schedule="one_cycle", lr=0.05)
    torch.manual_seed(0)
    model = build_trainer(spec, CPU, len(sizes)).model
    trainer = DeviceTrainer(model, spec.training, len(sizes), CPU, graph=graph)
    return trainer, trainer.train_epoch(make_batches(sizes))


@pytest.mark.parametrize(("sizes", "replays"), [((8,) * 6, 3), ((8, 8, 8, 8, 5, 8), 2)])
def test_steps_through_fixed_memory_are_the_same_steps(specify, sizes, replays):
    """A batch of another shape runs as it is."""
    plain, expected = train(specify, None, sizes)
    graphed, result = train(specify, Replayed, sizes)
    assert result == expected
    for ours, theirs in zip(graphed.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert (plain.graphed, graphed.graphed) == (False, True)
    assert graphed._graph.replays == replays


@pytest.mark.gpu
def test_a_gpu_captures_no_step_that_draws_from_numpy():
    step = GraphedStep(lambda x, y: x.add_(np.random.rand()))
    batch = torch.zeros(1, 3, 2, 2, device="cuda"), torch.zeros(1, device="cuda")
    for _ in range(WARM_UP_STEPS):
        step(*batch)
    with pytest.raises(GraphError, match="no CUDA graph: the network draws from NumPy or Python"):
        step(*batch)


READS_FROM_THE_GPU = """
import torch
from hw2core.engine.cuda_graph import WARM_UP_STEPS, GraphedStep, GraphError
from hw2core.runs.make import use_device
step = GraphedStep(lambda x, y: x.add_(torch.rand(()) * y.sum().item()))
batch = torch.zeros(1, 3, 2, 2, device="cuda"), torch.zeros(1, device="cuda")
try:
    with use_device("cuda"):
        for _ in range(WARM_UP_STEPS + 1):
            step(*batch)
except GraphError as error:
    print(error)
"""


@pytest.mark.gpu
def test_what_a_gpu_cannot_capture_ends_the_training_with_one_line():
    printed = subprocess.check_output([sys.executable, "-c", READS_FROM_THE_GPU], text=True)
    assert printed.startswith("no CUDA graph: ")
    assert printed.endswith("; a new process with HW2_CUDA_GRAPH=0 trains without\n")
    assert printed.count("\n") == 1


def test_a_step_that_cannot_be_captured_ends_the_training_with_the_first_reason(specify):
    message = r"no CUDA graph: operation not permitted when .* capturing; a new process with HW2"
    with pytest.raises(GraphError, match=message):
        train(specify, NotCapturable)


def test_too_little_memory_is_no_reason_to_train_without_a_graph(specify):
    with pytest.raises(RuntimeError) as caught:
        train(specify, TooLarge)
    assert not isinstance(caught.value, GraphError)
    assert ran_out_of_memory(caught.value)


def test_all_steps_before_the_capture_run_on_one_other_stream(monkeypatch):
    current, made, steps = StreamStub(), [], []
    monkeypatch.setattr("torch.cuda.current_stream", lambda: current)
    monkeypatch.setattr("torch.cuda.Stream", lambda: made.append(StreamStub()) or made[-1])
    monkeypatch.setattr("torch.cuda.stream", lambda stream: stream)
    step = GraphedStep(lambda x, y: steps.append(made[0].entered))
    for x, y in make_batches([4] * WARM_UP_STEPS):
        step(x, y)
    (aside,) = made
    assert steps == [True] * WARM_UP_STEPS
    assert aside.waited == [current] * WARM_UP_STEPS
    assert current.waited == [aside] * WARM_UP_STEPS


@pytest.mark.parametrize(
    ("value", "graphed"), [(None, True), ("", True), ("0", False), ("1", True)]
)
def test_a_variable_turns_graphs_off(specify, monkeypatch, value, graphed):
    monkeypatch.delenv("HW2_CUDA_GRAPH", raising=False)
    if value is not None:
        monkeypatch.setenv("HW2_CUDA_GRAPH", value)
    made = []
    monkeypatch.setattr(
        DeviceTrainer, "__init__", lambda self, *args, graph: made.append(graph is not None)
    )
    monkeypatch.setattr("torch.nn.Module.to", lambda self, *args, **options: self)
    build_trainer(specify(), torch.device("cuda"), 1)
    assert made == [graphed]
