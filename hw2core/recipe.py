"""From a training spec to optimizer, learning-rate schedule and loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from hw2core.spec import TrainingSpec


def build_optimizer(training: TrainingSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay acts on weights, not on biases and normalisation."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=training.lr)
    return torch.optim.SGD(
        groups, lr=training.lr, momentum=training.momentum, nesterov=training.nesterov
    )


def build_schedule(
    training: TrainingSpec, optimizer: torch.optim.Optimizer, num_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule, to be stepped after each of ``num_steps`` optimizer steps."""
    if training.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    warmup_steps = int(training.warmup * num_steps)

    def scale(step: int) -> float:
        return scale_one_cycle(step, num_steps, warmup_steps)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, scale)


def scale_one_cycle(step: int, num_steps: int, warmup_steps: int) -> float:
    """Return the share of the peak learning rate at ``step``: linear up, then half a cosine down.

    The peak is reached at step ``warmup_steps`` and zero after the last step, num_steps - 1.

    Source: Smith and Topin, "Super-Convergence", 2018, with cosine annealing.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def build_loss(training: TrainingSpec) -> nn.Module:
    """Return the training loss; evaluation always uses the plain cross-entropy."""
    return nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
