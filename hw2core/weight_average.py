"""A moving average of a network's weights, which is evaluated in the place of the weights."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """The exponential moving average of a network's parameters and running statistics.

    ::

        average = decay * average + (1 - decay) * weights        after each step

    with ``decay = 1 - 1 / horizon``: about the last ``horizon`` steps count. Torch's
    ``AveragedModel`` does the same, but asks the device for a number in each step, which a CUDA
    graph cannot hold.

    Args:
        model: the network that is trained, on its device; its present state is the first average.
        horizon: in steps, at least 1.
    """

    def __init__(self, model: nn.Module, horizon: float) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._averaged, self._current = _list_numbers(self.model), _list_numbers(model)
        self._move = get_ema_multi_avg_fn(1 - 1 / horizon)  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Take in the weights after a step."""
        self._move(self._averaged, self._current, 0)


def _list_numbers(model: nn.Module) -> list[Tensor]:
    """Return what can be averaged, as the memory that a step changes in place."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
