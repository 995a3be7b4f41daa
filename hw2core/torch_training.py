"""The study's trainer for networks of ``torch.nn``: precision, schedule, clipping."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw2core.cuda_graph import GraphedStep
from hw2core.devices import pick_precision
from hw2core.diagnostics import count_flops, count_parameters
from hw2core.layer_probe import LayerProbe, probe_layers
from hw2core.recipe import build_loss, build_optimizer, build_schedule, count_averaged_steps
from hw2core.study_training import Costs, Snapshot, StudyTrainer
from hw2core.training import TorchTrainer
from hw2core.weight_average import WeightAverage

if TYPE_CHECKING:
    from hw2core.spec import RunSpec


class DeviceTrainer(StudyTrainer, TorchTrainer):
    """Trains a network on its device.

    Args:
        model: a network on ``device``.
        loss_fn: the training loss; evaluation uses the plain cross-entropy.
        optimizer: updates the model.
        device: where the model and the batches are.
        schedule: learning rate of each step, counted from 0.
        in_size: shape (C, H, W) of an image.
        precision: "bf16" runs the network under autocast, "fp32" as it is.
        clip_norm: largest norm of the whole gradient; None for no limit.
        batches: batches an epoch; None for all.
        average_steps: steps over which the weights are averaged for evaluation; 0 for no average.
        graph: what makes a graph of the training step; None for no graph.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        schedule: Callable[[int], float],
        in_size: tuple[int, int, int] = (3, 32, 32),
        precision: str = "fp32",
        clip_norm: float | None = None,
        batches: int | None = None,
        average_steps: float = 0.0,
        graph: type[GraphedStep] | None = None,
    ) -> None:
        super().__init__(model, loss_fn, optimizer, device)
        self.schedule = schedule
        self.in_size = in_size
        self.precision = precision
        self.clip_norm = clip_norm
        self.batches = batches
        self.num_steps = 0
        self.average = WeightAverage(model, average_steps) if average_steps else None
        self._graph = None if graph is None else graph(super().take_step)
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")

    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on (N, C, H, W) images and (N,) labels; the rate is set already."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast:
            scores = self.model(x)  # (N, classes)
        loss = self.loss_fn(scores.float(), y)
        loss.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return loss.detach(), scores.detach()

    def take_step(self, x: Tensor, y: Tensor) -> None:
        """Learn from a batch at the rate of the schedule, through the graph where there is one."""
        rate = self.schedule(self.num_steps)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        (self._graph or super().take_step)(x, y)
        self.num_steps += 1

    @property
    def graphed(self) -> bool:
        """Whether a training step is one CUDA graph."""
        return self._graph is not None and self._graph.captured

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the average where there is one."""
        model: nn.Module = self.model if self.average is None else self.average.model
        return model

    def set_training_mode(self, training: bool) -> None:
        """Switch layers that behave differently in training; an average is never trained."""
        super().set_training_mode(training)
        if self.average is not None:
            self.average.model.eval()

    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate (N, C, H, W) images with (N,) labels."""
        with self._autocast:
            scores = self.evaluated(x)  # (N, classes)
        return F.cross_entropy(scores.float(), y), scores

    def get_state(self) -> dict[str, Tensor]:
        """Return the state dict of what is evaluated."""
        return dict(self.evaluated.state_dict())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict into what is evaluated."""
        self.evaluated.load_state_dict(state)

    def take_snapshot(self) -> Snapshot:
        """Return the state of model, average, optimizer and schedule."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.get_state().items()}
        optimizer = self.optimizer.state_dict()
        for index, memory in optimizer["state"].items():
            held = {name: value for name, value in memory.items() if isinstance(value, Tensor)}
            tensors |= {f"optimizer.{index}.{name}": value for name, value in held.items()}
        return Snapshot(tensors, {"num_steps": self.num_steps})

    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Load what ``take_snapshot`` returned."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
        for key, tensor in snapshot.tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = tensor
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average.model.load_state_dict(parts["average"])
        optimizer = self.optimizer.state_dict()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for key, tensor in parts["optimizer"].items():
            index, name = key.split(".")
            parameter = parameters[int(index)]
            if tensor.shape == parameter.shape:
                # In the memory layout of its parameter, as the optimizer made it.
                tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            optimizer["state"].setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict(optimizer)
        self.num_steps = snapshot.values["num_steps"]

    def probe_layers(self, x: Tensor, y: Tensor) -> LayerProbe:
        """Return what each layer does with a batch."""
        return probe_layers(self.model, x, y)

    def count_costs(self) -> Costs:
        """Return parameters and FLOPs."""
        return Costs(count_parameters(self.model), count_flops(self.model, self.in_size))


def build_trainer(spec: RunSpec, device: torch.device, num_steps: int) -> DeviceTrainer:
    """Return the trainer of a run; its network is initialised from torch's global generator.

    Args:
        spec: a run whose model is a ``torch.nn.Module``.
        device: where to train.
        num_steps: optimizer steps of the whole training, for the schedule.
    """
    module, name = spec.implementation.split(":")
    arguments = spec.architecture.build_arguments()
    model: nn.Module = getattr(importlib.import_module(module), name)(**arguments)
    model.to(device).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(spec.training, model)
    return DeviceTrainer(
        model,
        build_loss(spec.training),
        optimizer,
        device,
        schedule=build_schedule(spec.training, num_steps),
        in_size=arguments["in_size"],
        precision=pick_precision(spec.training.precision, device),
        clip_norm=spec.training.clip_norm,
        batches=spec.training.batches,
        average_steps=count_averaged_steps(spec.training, num_steps),
        graph=GraphedStep if device.type == "cuda" else None,
    )
