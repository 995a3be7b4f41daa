"""Defines the dropout layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hw2core.layers.base import ParameterFreeLayer


class Dropout(ParameterFreeLayer):
    """z = m x / (1 - p) in training, z = x in evaluation; x and z are (N, *).

    p is the probability to DROP: m_i is 0 with probability p and 1 otherwise, so E[m_i] = 1 - p and
    E[z] = x: evaluation needs no correction (inverted dropout). The mask does not depend on x, so
    dx = m dout / (1 - p). With p = 1, z = 0. The mask is drawn from torch's global generator.

    Raises:
        ValueError: ``p`` is not in [0, 1].
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p}: must be in [0, 1]")
        self.p = p

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Map x (N, *) to z (N, *)."""
        self.grad_cache.clear()
        if not self.training_mode:
            return x
        keep = torch.empty(x.shape, dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        mask = keep / (1 - self.p) if self.p < 1 else keep
        self.grad_cache["mask"] = mask
        return x * mask

    def backward(self, dout: Tensor) -> Tensor:
        """Map dout (N, *) to dx (N, *), in the mode of the last forward."""
        mask = self.grad_cache.get("mask")
        return dout if mask is None else dout * mask

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"
