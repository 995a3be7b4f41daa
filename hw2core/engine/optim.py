"""Builds optimizer, learning-rate schedule and EMA of the weights from a training spec."""

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
    from hw2core.config.schema import RecipeSpec

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])
# Methods that torch wraps so that torch.compile leaves them alone.
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def build_optimizer(training: RecipeSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay acts on weights, not on biases and normalisation.

    On a GPU it can be captured in a CUDA graph: it is fused, with its learning rate on the device.
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
    """Return an equivalent subclass of an optimizer class, without ``torch._dynamo``.

    Torch wraps methods of its optimizers in hints for ``torch.compile``. Their first call imports
    ``torch._dynamo``, which takes more than half the time of ``import torch``, in every job.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    # Torch's wrapper of step also turns gradients off.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)  # type: ignore[return-value]


def build_schedule(training: RecipeSpec, num_steps: int) -> Callable[[int], float]:
    """Return a function from step (0 to ``num_steps`` - 1) to learning rate."""
    if training.schedule == "constant":
        return lambda step: training.lr
    if training.schedule == "step":
        drops = [share * num_steps for share in training.milestones]
        return lambda step: training.lr * training.gamma ** sum(step >= drop for drop in drops)
    if training.schedule == "cosine":
        return lambda step: training.lr * scale_one_cycle(step, num_steps, 0)
    warmup_steps = int(training.warmup * num_steps)
    return lambda step: training.lr * scale_one_cycle(step, num_steps, warmup_steps)


def scale_one_cycle(step: int, num_steps: int, warmup_steps: int) -> float:
    """Return the factor of the peak learning rate: a linear warm-up, then a cosine decay.

    It is 1 at step ``warmup_steps`` and reaches 0 after the last step, num_steps - 1.

    Source: Smith and Topin, "Super-Convergence", 2018, with cosine annealing.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def build_ema(training: RecipeSpec, model: nn.Module, num_steps: int) -> WeightEMA | None:
    """Return the EMA over the share ``training.average`` of the steps; None for a share of 0."""
    horizon = max(training.average * num_steps, 1.0)
    return WeightEMA(model, horizon) if training.average else None


class WeightEMA:
    """The exponential moving average (EMA) of a network's parameters and running statistics.

    ``ema = decay * ema + (1 - decay) * weights`` after each step, with ``decay = 1 - 1 / horizon``:
    about the last ``horizon`` steps (at least 1) count. The EMA starts at the current state of
    ``model``. Torch's ``AveragedModel`` reads a number from the device in each step, which a CUDA
    graph cannot do.
    """

    def __init__(self, model: nn.Module, horizon: float) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._averaged, self._current = _list_averaged(self.model), _list_averaged(model)
        self._move = get_ema_multi_avg_fn(1 - 1 / horizon)  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Move the EMA towards the weights, after a step."""
        self._move(self._averaged, self._current, 0)


def _list_averaged(model: nn.Module) -> list[Tensor]:
    """Return the floating-point tensors, which steps change in place, without copying them."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
