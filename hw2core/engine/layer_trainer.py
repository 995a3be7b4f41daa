"""Trains the from-scratch MLP, with layers and optimizers that use no autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hw2core.engine.trainer import Costs, RunTrainer
from hw2core.layers.loss import CrossEntropyLoss
from hw2core.layers.mlp import MLP
from hw2core.optimizers import MomentumSGD, Optimizer, RMSProp, VanillaSGD
from hw2core.training import LayerTrainer

if TYPE_CHECKING:
    from hw2core.config.schema import RecipeSpec
    from hw2core.config.spec import RunSpec


class ScratchTrainer(RunTrainer):
    """Trains an MLP of ``hw2core.layers`` with the steps of the course's ``LayerTrainer``."""

    def __init__(
        self, model: MLP, optimizer: Optimizer, device: torch.device, *, batches: int | None = None
    ) -> None:
        super().__init__(model, CrossEntropyLoss(), optimizer, device, batches=batches)
        self._steps = LayerTrainer(model, self.loss_fn, optimizer, device)

    @classmethod
    def of(cls, spec: RunSpec, device: torch.device, num_steps: int) -> ScratchTrainer:
        """Return the trainer of a run; its MLP is initialised from torch's global generator.

        ``num_steps`` is not used: the learning rate is constant.
        """
        arguments = spec.architecture.build_arguments(spec.data.num_classes)
        model = MLP(**arguments, device=device)
        optimizer = choose_optimizer(spec.training, model)
        return cls(model, optimizer, device, batches=spec.training.batches)

    def take_step(self, x: Tensor, y: Tensor) -> None:
        """Train on a batch and add it to ``sums``."""
        self.sums.add(*self.train_step(x, y), y)

    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Run forward, the layers' backward and one optimizer step."""
        return self._steps.train_step(x, y)

    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate a batch."""
        return self._steps.test_step(x, y)

    def get_weights(self) -> dict[str, Tensor]:
        """Return the parameters by their position in ``model.params()``."""
        return self._steps.get_weights()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy the parameters into the model."""
        for name, parameter in self.get_weights().items():
            copy_exactly(weights[name], parameter)

    def get_state(self) -> dict[str, Any]:
        """Return the parameters and the optimizer's running means."""
        return {"weights": self.get_weights(), "means": self.optimizer.running_means}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load what ``get_state`` returned."""
        self.load_weights(state["weights"])
        for mean, saved in zip(self.optimizer.running_means, state["means"], strict=True):
            copy_exactly(saved, mean)

    def count_costs(self, in_size: tuple[int, ...]) -> Costs:
        """Return parameters and FLOPs: two per weight of a Linear."""
        parameters = [p for p, _ in self.model.params()]
        flops = sum(2 * p.numel() for p in parameters if p.ndim == 2)
        return Costs(sum(p.numel() for p in parameters), flops)


def copy_exactly(source: Tensor, target: Tensor) -> None:
    """Copy values between tensors of the same shape; unlike ``copy_``, do not broadcast.

    Raises:
        ValueError: the shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError(f"of shape {tuple(source.shape)}, not {tuple(target.shape)}")
    target.copy_(source)


def choose_optimizer(training: RecipeSpec, model: MLP) -> Optimizer:
    """Return the optimizer that ``training`` names; ``weight_decay`` is its ``reg``."""
    params, lr, reg = model.params(), training.lr, training.weight_decay
    if training.optimizer == "momentum":
        return MomentumSGD(params, learn_rate=lr, reg=reg, momentum=training.momentum)
    if training.optimizer == "rmsprop":
        return RMSProp(params, learn_rate=lr, reg=reg, decay=training.decay)
    return VanillaSGD(params, learn_rate=lr, reg=reg)
