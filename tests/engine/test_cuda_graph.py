from __future__ import annotations

import pytest
import torch

from hw2core.engine.cuda_graph import WARM_UP_STEPS, GraphedStep
from hw2core.engine.run import build_trainer
from hw2core.engine.torch_trainer import DeviceTrainer
from hw2core.history import EpochResult

CPU = torch.device("cpu")


class Replayed(GraphedStep):
    """Replaces a graph where there is no GPU: the same fixed memory, and the step run again."""

    def __init__(self, step):
        super().__init__(step)
        self.replays = 0

    def _run_aside(self, x, y):
        self._step(x, y)

    def _capture(self, x, y):
        def replay():
            self.replays += 1
            self._step(x, y)

        return replay


class NotCapturable(Replayed):
    def _capture(self, x, y):
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA error")


def make_batches(sizes):
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(n, 3, 32, 32, generator=generator), torch.arange(n) % 10) for n in sizes]


def train(specify, graph, sizes=(8,) * 6) -> tuple[DeviceTrainer, EpochResult]:
    spec = specify(optimizer="sgd", momentum=0.9, schedule="one_cycle", lr=0.05)
    torch.manual_seed(0)
    model = build_trainer(spec, CPU, len(sizes)).model
    trainer = DeviceTrainer(model, spec.training, len(sizes), CPU, graph=graph)
    return trainer, trainer.train_epoch(make_batches(sizes))


def test_steps_through_fixed_memory_are_the_same_steps(specify):
    plain, expected = train(specify, None)
    graphed, result = train(specify, Replayed)
    assert result == expected
    for ours, theirs in zip(graphed.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert graphed.graphed
    assert not plain.graphed
    assert graphed._graph.replays == 6 - WARM_UP_STEPS


def test_a_batch_of_another_shape_runs_as_it_is(specify):
    sizes = (8, 8, 8, 8, 5, 8)
    assert train(specify, Replayed, sizes)[1] == train(specify, None, sizes)[1]


def test_where_nothing_can_be_captured_every_step_still_runs(specify):
    with pytest.warns(UserWarning, match="no CUDA graph.*stream is capturing$"):
        trainer, result = train(specify, NotCapturable)
    assert result == train(specify, None)[1]
    assert not trainer.graphed
