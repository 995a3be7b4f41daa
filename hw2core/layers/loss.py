"""Defines the cross-entropy loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hw2core.layers.base import ParameterFreeLayer


class CrossEntropyLoss(ParameterFreeLayer):
    """L = -(1/N) Σ_n log p_n,y(n), p = softmax(x): logits x (N, D), labels y (N,), L scalar.

    log p_nd = x_nd - log Σ_k exp(x_nk) does not change when a constant is subtracted from row n.
    torch.log_softmax subtracts the row maximum first, so that no exp overflows and adding a large
    constant to all logits loses no digits.

        ∂(-log p_ny) / ∂x_nd = p_nd - [d = y(n)]      so      dx = dout (p - onehot(y)) / N

    More dimensions, x (N, D, *) with y (N, *) as for pixels, count as a longer batch.
    """

    def forward(self, x: Tensor, y: Tensor, **kw: Any) -> Tensor:
        """Map logits x (N, D) and labels y (N,), integers in [0, D), to the mean loss.

        Raises:
            ValueError: the shapes of x and y do not fit.
        """
        if y.shape != x.shape[:1] + x.shape[2:]:
            raise ValueError(f"y {tuple(y.shape)}: must have x's shape {tuple(x.shape)} without D")
        log_p = torch.log_softmax(x, dim=1)  # (N, D)
        self.grad_cache.update(log_p=log_p, y=y)
        return -log_p.gather(1, y.unsqueeze(1)).mean()

    def backward(self, dout: Tensor | float = 1.0) -> Tensor:
        """Map dout, a scalar, to dx (N, D)."""
        dx = self.grad_cache["log_p"].exp()
        y = self.grad_cache["y"]
        true_class = y.unsqueeze(1)  # (N, 1)
        dx.scatter_add_(1, true_class, -torch.ones_like(true_class, dtype=dx.dtype))
        return dx.mul_(dout / y.numel())
