"""From a training spec to optimizer, learning-rate schedule and loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from hw2core.uncompiled import leave_out_compiler

if TYPE_CHECKING:
    from hw2core.spec import TrainingSpec


def build_optimizer(training: TrainingSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay acts on weights, not on biases and normalisation.

    On a GPU it is one that a CUDA graph can hold: fused, and with its rate on the device.
    """
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    device = weights[0].device
    on_gpu = device.type == "cuda"
    lr = torch.tensor(training.lr, device=device) if on_gpu else training.lr
    if training.optimizer == "adamw":
        adamw = leave_out_compiler(torch.optim.AdamW)
        return adamw(groups, lr=lr, fused=on_gpu or None, capturable=on_gpu)
    return leave_out_compiler(torch.optim.SGD)(
        groups,
        lr=lr,
        momentum=training.momentum,
        nesterov=training.nesterov,
        fused=on_gpu or None,
    )


def build_schedule(training: TrainingSpec, num_steps: int) -> Callable[[int], float]:
    """Return the learning rate of each of ``num_steps`` optimizer steps, counted from 0."""
    if training.schedule == "constant":
        return lambda step: training.lr
    warmup_steps = int(training.warmup * num_steps)
    return lambda step: training.lr * scale_one_cycle(step, num_steps, warmup_steps)


def scale_one_cycle(step: int, num_steps: int, warmup_steps: int) -> float:
    """Return the share of the peak learning rate at ``step``: linear up, then half a cosine down.

    The peak is reached at step ``warmup_steps`` and zero after the last step, num_steps - 1.

    Source: Smith and Topin, "Super-Convergence", 2018, with cosine annealing.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def count_averaged_steps(training: TrainingSpec, num_steps: int) -> float:
    """Return over how many steps the weights are averaged: 0 for no average, else at least 1."""
    return max(training.average * num_steps, 1.0) if training.average else 0.0


def build_loss(training: TrainingSpec) -> nn.Module:
    """Return the training loss; evaluation always uses the plain cross-entropy."""
    return nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
