"""Defines activation layers: each z_i depends on x_i alone, so that the Jacobian is diagonal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hw2core.layers.base import ParameterFreeLayer


class LeakyReLU(ParameterFreeLayer):
    """z = x where x > 0, z = αx elsewhere; x and z are (N, *).

    dx = dout where x > 0, dx = α dout elsewhere (at x = 0, by convention, the slope is α).

    Raises:
        ValueError: ``alpha`` is not in [0, 1).
    """

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__()
        if not 0 <= alpha < 1:
            raise ValueError(f"alpha={alpha}: must be in [0, 1)")
        self.alpha = alpha

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Map x (N, *) to z (N, *)."""
        self.grad_cache["x"] = x
        return torch.where(x > 0, x, self.alpha * x)

    def backward(self, dout: Tensor) -> Tensor:
        """Map dout (N, *) to dx (N, *)."""
        return torch.where(self.grad_cache["x"] > 0, dout, self.alpha * dout)

    def __repr__(self) -> str:
        return f"LeakyReLU({self.alpha=})"


class ReLU(ParameterFreeLayer):
    """z = max(x, 0); x and z are (N, *).

    dx = dout sign(z), since sign(z) is 1 where x > 0 and 0 elsewhere (torch.where takes 10 times as
    long).
    """

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Map x (N, *) to z (N, *)."""
        z = torch.relu(x)
        self.grad_cache["z"] = z
        return z

    def backward(self, dout: Tensor) -> Tensor:
        """Map dout (N, *) to dx (N, *)."""
        return dout * self.grad_cache["z"].sign()


class Sigmoid(ParameterFreeLayer):
    """z = σ(x) = 1 / (1 + exp(-x)); x and z are (N, *).

    σ'(x) = exp(-x) / (1 + exp(-x))² = σ(x) (1 - σ(x)), entry by entry: dx = dout z (1 - z).
    It uses torch.sigmoid, because exp(-x) overflows float32 below x = -88.7 and 0 · ∞ is NaN.
    """

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Map x (N, *) to z (N, *)."""
        z = torch.sigmoid(x)
        self.grad_cache["z"] = z
        return z

    def backward(self, dout: Tensor) -> Tensor:
        """Map dout (N, *) to dx (N, *)."""
        z = self.grad_cache["z"]
        return dout * z * (1 - z)


class TanH(ParameterFreeLayer):
    """z = tanh(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x)); x and z are (N, *).

    By the quotient rule tanh'(x) = 1 - tanh(x)², entry by entry: dx = dout (1 - z²).
    It uses torch.tanh, because the quotient is ∞ / ∞ = NaN in float32 beyond |x| = 88.7.
    """

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Map x (N, *) to z (N, *)."""
        z = torch.tanh(x)
        self.grad_cache["z"] = z
        return z

    def backward(self, dout: Tensor) -> Tensor:
        """Map dout (N, *) to dx (N, *)."""
        return dout * (1 - self.grad_cache["z"] ** 2)
