from __future__ import annotations

import pytest
import torch

from hw2core.cuda_graph import WARM_UP_STEPS, GraphedStep
from hw2core.runner import build_trainer
from hw2core.spec import RunSpec
from hw2core.torch_training import DeviceTrainer


class Replayed(GraphedStep):
    """Stands for a graph where there is no GPU: the same fixed memory, and the step run again."""

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


def train(tiny_values, graph, sizes=(8,) * 6) -> tuple[DeviceTrainer, object]:
    training = {"optimizer": "sgd", "momentum": 0.9, "schedule": "one_cycle", "lr": 0.05}
    spec = RunSpec.model_validate(
        {**tiny_values, "training": {**tiny_values["training"], **training}}
    )
    torch.manual_seed(0)
    trainer = build_trainer(spec, torch.device("cpu"), len(sizes))
    if graph is not None:
        trainer = DeviceTrainer(
            trainer.model,
            trainer.loss_fn,
            trainer.optimizer,
            torch.device("cpu"),
            schedule=trainer.schedule,
            graph=graph,
        )
    return trainer, trainer.train_epoch(make_batches(sizes))


def test_steps_through_fixed_memory_are_the_same_steps(tiny_values):
    plain, expected = train(tiny_values, None)
    graphed, result = train(tiny_values, Replayed)
    assert result == expected
    for ours, theirs in zip(graphed.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert graphed.graphed
    assert not plain.graphed
    assert graphed._graph.replays == 6 - WARM_UP_STEPS


def test_a_batch_of_another_shape_runs_as_it_is(tiny_values):
    sizes = (8, 8, 8, 8, 5, 8)
    assert train(tiny_values, Replayed, sizes)[1] == train(tiny_values, None, sizes)[1]


def test_where_nothing_can_be_captured_every_step_still_runs(tiny_values):
    with pytest.warns(UserWarning, match="no CUDA graph.*stream is capturing$"):
        trainer, result = train(tiny_values, NotCapturable)
    assert result == train(tiny_values, None)[1]
    assert not trainer.graphed
