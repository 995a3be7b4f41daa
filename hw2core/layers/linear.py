"""Defines the fully connected layer."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import Tensor

from hw2core.layers.base import Layer


class Linear(Layer):
    """z = x Wᵀ + b with x (N, in), W (out, in), b (out,) and z (N, out).

    With z_no = Σ_i x_ni W_oi + b_o the chain rule gives

        dx_ni = Σ_o dout_no W_oi        dx = dout W        (N, out) (out, in) -> (N, in)
        dW_oi = Σ_n dout_no x_ni        dW = doutᵀ x       (out, N) (N, in)  -> (out, in)
        db_o  = Σ_n dout_no             the sum over the batch

    More leading dimensions, x (N, *, in) and z (N, *, out), count as one long batch.

    Attributes:
        w, b: parameters; W ~ N(0, wstd²), drawn from torch's global generator, and b = 0.
        dw, db: their gradients, to which every backward adds, in place.

    Raises:
        ValueError: a size is below 1, or ``wstd`` is negative or not finite.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        wstd: float = 0.1,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if size < 1:
                raise ValueError(f"{name}={size}: must be at least 1")
        if not 0 <= wstd < math.inf:
            raise ValueError(f"wstd={wstd}: must be in [0, inf)")
        self.in_features = operator.index(in_features)
        self.out_features = operator.index(out_features)
        self.w = torch.empty(out_features, in_features, dtype=dtype, device=device).normal_(0, wstd)
        self.b = torch.zeros(out_features, dtype=dtype, device=device)
        self.dw = torch.zeros_like(self.w)
        self.db = torch.zeros_like(self.b)

    def params(self) -> list[tuple[Tensor, Tensor]]:
        """Return [(w, dw), (b, db)]."""
        return [(self.w, self.dw), (self.b, self.db)]

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Map x (N, *, in) to z (N, *, out)."""
        self.grad_cache["x"] = x
        rows = x.reshape(-1, x.shape[-1])  # (N, in)
        z = torch.addmm(self.b, rows, self.w.T)
        return z.reshape(*x.shape[:-1], self.out_features)  # (N, *, out)

    def backward(self, dout: Tensor) -> Tensor:
        """Map dout (N, *, out) to dx (N, *, in); add to ``dw`` and ``db``."""
        self.accumulate_gradients(dout)
        return dout @ self.w

    def accumulate_gradients(self, dout: Tensor) -> None:
        """Add to ``dw`` and ``db`` without computing dx, a third of this layer's arithmetic."""
        rows = self.grad_cache["x"].reshape(-1, self.in_features)  # (N, in)
        dout_rows = dout.reshape(-1, self.out_features)  # (N, out)
        # addmm_ adds to dw in one pass, without a temporary of the size of W.
        self.dw.addmm_(dout_rows.T, rows)
        self.db.add_(dout_rows.sum(dim=0))

    def __repr__(self) -> str:
        return f"Linear({self.in_features=}, {self.out_features=})"
