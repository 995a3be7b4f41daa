"""Trains networks of ``torch.nn`` with autocast, a schedule, an EMA and a CUDA graph."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw2core.engine.cuda_graph import GraphedStep
from hw2core.engine.device import pick_precision
from hw2core.engine.flops import count_flops, count_parameters
from hw2core.engine.optim import build_ema, build_optimizer, build_schedule
from hw2core.engine.probe import LayerProbe, probe_layers
from hw2core.engine.trainer import Costs, RunTrainer
from hw2core.gpus import CUDA_GRAPH

if TYPE_CHECKING:
    from hw2core.config.schema import RecipeSpec
    from hw2core.config.spec import RunSpec


class DeviceTrainer(RunTrainer):
    """Trains a network that is on ``device`` already.

    ``num_steps`` is the number of optimizer steps of the whole run, for schedule and EMA. ``graph``
    turns the training step into a CUDA graph; None leaves it as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        training: RecipeSpec,
        num_steps: int,
        device: torch.device,
        *,
        graph: type[GraphedStep] | None = None,
    ) -> None:
        optimizer = build_optimizer(training, model)
        # For training only: test_step uses no label smoothing.
        loss = nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
        super().__init__(model, loss, optimizer, device, batches=training.batches)
        self.schedule = build_schedule(training, num_steps)
        self.steps_taken = 0
        self.ema = build_ema(training, model, num_steps)
        self.precision = pick_precision(training.precision, device)
        self._autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=self.precision == "bf16"
        )
        self._graph = None if graph is None else graph(self._learn)

    @classmethod
    def of(cls, spec: RunSpec, device: torch.device, num_steps: int) -> DeviceTrainer:
        """Return the trainer of a run; its network is initialised from torch's global generator."""
        module, name = spec.implementation.split(":")
        model: nn.Module = getattr(importlib.import_module(module), name)(
            **spec.architecture.build_arguments(spec.data.num_classes)
        )
        model.to(device)
        if device.type != "mps":  # faster, but not on Apple's GPUs, where some results are wrong
            model.to(memory_format=torch.channels_last)
        switched_off = os.environ.get(CUDA_GRAPH, "").startswith("0")
        graph = GraphedStep if device.type == "cuda" and not switched_off else None
        return cls(model, spec.training, num_steps, device, graph=graph)

    def take_step(self, x: Tensor, y: Tensor) -> None:
        """Train on a batch at the learning rate of the schedule, with the graph if there is one."""
        rate = self.schedule(self.steps_taken)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        (self._graph or self._learn)(x, y)
        self.steps_taken += 1

    def _learn(self, x: Tensor, y: Tensor) -> None:
        self.sums.add(*self.train_step(x, y), y)

    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on images (N, C, H, W) and labels (N,), at the current learning rate."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast:
            logits = self.model(x)  # (N, classes)
        loss = self.loss_fn(logits.float(), y)
        loss.backward()
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update()
        return loss.detach(), logits.detach()

    @property
    def graphed(self) -> bool:
        """Whether a training step is one CUDA graph."""
        return self._graph is not None and self._graph.captured

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and saved: the EMA if there is one."""
        model: nn.Module = self.model if self.ema is None else self.ema.model
        return model

    def set_training_mode(self, training: bool) -> None:
        """Set the mode of the network; an EMA stays in evaluation mode."""
        super().set_training_mode(training)
        if self.ema is not None:
            self.ema.model.eval()

    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate images (N, C, H, W) with labels (N,)."""
        with self._autocast:
            logits = self.evaluated(x)  # (N, classes)
        return F.cross_entropy(logits.float(), y), logits

    def get_weights(self) -> dict[str, Tensor]:
        """Return the state dict of the evaluated network."""
        return dict(self.evaluated.state_dict())

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load a state dict into the evaluated network."""
        self.evaluated.load_state_dict(weights)

    def get_state(self) -> dict[str, Any]:
        """Return the state of model, EMA, optimizer and schedule."""
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "steps_taken": self.steps_taken,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load what ``get_state`` returned.

        Raises:
            RuntimeError, ValueError: ``state`` belongs to another network or optimizer.
        """
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.model.load_state_dict(state["ema"])
        # Keep this optimizer's groups: on a GPU their learning rate is a tensor on the device.
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state["optimizer"]})
        for parameter, values in self.optimizer.state.items():
            for value in values.values():  # torch does not compare their shapes
                if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                    raise ValueError(f"state of shape {value.shape} for {parameter.shape} weights")
        self.steps_taken = state["steps_taken"]

    def probe_layers(self, x: Tensor, y: Tensor) -> LayerProbe:
        """Return the statistics of each layer on a batch."""
        return probe_layers(self.model, x, y)

    def count_costs(self, in_size: tuple[int, ...]) -> Costs:
        """Return parameters and FLOPs."""
        return Costs(count_parameters(self.model), count_flops(self.model, in_size))
