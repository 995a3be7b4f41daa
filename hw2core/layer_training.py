"""The study's trainer for the from-scratch half: layers and optimizers without autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hw2core.layers import MLP, CrossEntropyLoss
from hw2core.optimizers import MomentumSGD, Optimizer, RMSProp, VanillaSGD
from hw2core.study_training import Costs, Snapshot, StudyTrainer
from hw2core.training import LayerTrainer

if TYPE_CHECKING:
    from hw2core.spec import RunSpec, TrainingSpec


class StudyLayerTrainer(StudyTrainer, LayerTrainer):
    """Trains an MLP of ``hw2core.layers``."""

    def take_snapshot(self) -> Snapshot:
        """Return the parameters and the optimizer's running means."""
        means = {f"mean{i}": mean for i, mean in enumerate(self.optimizer.running_means)}
        return Snapshot({**self.get_state(), **means}, {})

    @torch.no_grad()
    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Load what ``take_snapshot`` returned."""
        self.load_state(snapshot.tensors)
        for i, mean in enumerate(self.optimizer.running_means):
            mean.copy_(snapshot.tensors[f"mean{i}"])

    def count_costs(self) -> Costs:
        """Return parameters and FLOPs: two for each weight of a Linear."""
        parameters = [p for p, _ in self.model.params()]
        flops = sum(2 * p.numel() for p in parameters if p.ndim == 2)
        return Costs(sum(p.numel() for p in parameters), flops)


def build_trainer(spec: RunSpec, device: torch.device, num_steps: int) -> StudyLayerTrainer:
    """Return the trainer of a run; its MLP is initialised from torch's global generator.

    Args:
        spec: a run with ``model: mlp``.
        device: where to train.
        num_steps: not needed: the learning rate is constant.
    """
    model = MLP(**spec.architecture.build_arguments(), device=device)
    optimizer = build_optimizer(spec.training, model)
    trainer = StudyLayerTrainer(model, CrossEntropyLoss(), optimizer, device)
    trainer.batches = spec.training.batches
    return trainer


def build_optimizer(training: TrainingSpec, model: MLP) -> Optimizer:
    """Return the optimizer that ``training`` names; ``weight_decay`` is its ``reg``."""
    params, lr, reg = model.params(), training.lr, training.weight_decay
    if training.optimizer == "momentum":
        return MomentumSGD(params, learn_rate=lr, reg=reg, momentum=training.momentum)
    if training.optimizer == "rmsprop":
        return RMSProp(params, learn_rate=lr, reg=reg, decay=training.decay)
    return VanillaSGD(params, learn_rate=lr, reg=reg)
