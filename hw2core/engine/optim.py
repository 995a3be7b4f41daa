"""From a training spec to optimizer, learning-rate schedule, loss and EMA of the weights."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

if TYPE_CHECKING:
    from hw2core.config.schema import TrainingSpec

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])
# Methods that torch wraps so that torch.compile leaves them alone.
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def build_optimizer(training: TrainingSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay acts on weights, not on biases and normalisation.

    On a GPU it is one that a CUDA graph can hold: fused, and with its learning rate on the device.
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


def leave_out_compiler(kind: Kind) -> Kind:
    """Return a subclass of an optimizer class that does the same without ``torch._dynamo``.

    Torch wraps methods of its optimizers in hints for ``torch.compile`` that import
    ``torch._dynamo`` on their first call, compiled or not: more than half the time of
    ``import torch`` again, in every job. Nothing is compiled here, so the methods are unwrapped.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    # Torch's wrapper of step also turns gradients off.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)  # type: ignore[return-value]


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


def build_loss(training: TrainingSpec) -> nn.Module:
    """Return the training loss; evaluation always uses the plain cross-entropy."""
    return nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)


def build_ema(training: TrainingSpec, model: nn.Module, num_steps: int) -> WeightEMA | None:
    """Return the EMA of ``model``, over the share ``training.average`` of the steps; 0: None."""
    horizon = max(training.average * num_steps, 1.0)
    return WeightEMA(model, horizon) if training.average else None


class WeightEMA:
    """The exponential moving average (EMA) of a network's parameters and running statistics.

    ::

        average = decay * average + (1 - decay) * weights        after each step

    with ``decay = 1 - 1 / horizon``: about the last ``horizon`` steps count. Torch's
    ``AveragedModel`` does the same, but asks the device for a number in each step, which a CUDA
    graph cannot hold.

    Args:
        model: the network in training, on its device; its present state is the first average.
        horizon: in steps, at least 1.
    """

    def __init__(self, model: nn.Module, horizon: float) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._averaged, self._current = _list_averaged(self.model), _list_averaged(model)
        self._move = get_ema_multi_avg_fn(1 - 1 / horizon)  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Move the average towards the weights, after a step."""
        self._move(self._averaged, self._current, 0)


def _list_averaged(model: nn.Module) -> list[Tensor]:
    """Return the tensors that can be averaged, as the memory that a step changes in place."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
