"""The layers of the study, written out by hand: every forward with its backward, no autograd.

Each class states its equation, derives its vector-Jacobian product (see
:mod:`hw2core.layer_base`) and implements both, in this order: x goes in, z comes out,
dout = ∂L/∂z comes back, dx = ∂L/∂x is returned.

Any float dtype, CPU and CUDA. The forwards use differentiable torch operations only, so that
:mod:`hw2core.grad_check` can run the same forward under autograd and compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# These belong to this module's interface too: the course imports everything from hw2core.layers.
from hw2core.activations import LeakyReLU as LeakyReLU
from hw2core.activations import ReLU as ReLU
from hw2core.activations import Sigmoid as Sigmoid
from hw2core.activations import TanH as TanH
from hw2core.layer_base import Layer as Layer
from hw2core.layer_base import ParameterFreeLayer
from hw2core.layer_base import Sequential as Sequential


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
        self.in_features = in_features
        self.out_features = out_features
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
        # The matrix product adds to dw by itself: no temporary the size of W, no second pass.
        self.dw.addmm_(dout_rows.T, rows)
        self.db.add_(dout_rows.sum(dim=0))

    def __repr__(self) -> str:
        return f"Linear({self.in_features=}, {self.out_features=})"


class CrossEntropyLoss(ParameterFreeLayer):
    """L = -(1/N) Σ_n log p_n,y(n), p = softmax(x): class scores x (N, D), labels y (N,), L scalar.

    log p_nd = x_nd - log Σ_k exp(x_nk) does not change when a constant is subtracted from row n.
    torch.log_softmax subtracts the row maximum first, so that no exp overflows and the large common
    part of big scores costs no digits.

        ∂(-log p_ny) / ∂x_nd = p_nd - [d = y(n)]      so      dx = dout (p - onehot(y)) / N

    More dimensions, x (N, D, *) with y (N, *) as for pixels, count as a longer batch.
    """

    def forward(self, x: Tensor, y: Tensor, **kw: Any) -> Tensor:
        """Map scores x (N, D) and labels y (N,), integers in [0, D), to the mean loss.

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


class Dropout(ParameterFreeLayer):
    """z = m x / (1 - p) in training, z = x in evaluation; x and z are (N, *).

    p is the probability to DROP: m_i is 0 with probability p and 1 otherwise, so E[m_i] = 1 - p and
    E[z] = x: evaluation needs no correction (inverted dropout). The mask does not depend on x, so
    dx = m dout / (1 - p). With p = 1 everything is dropped and z = 0.
    The mask comes from torch's global generator alone.

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


class MLP(Layer):
    """Multilayer perceptron: FC -> activation (-> Dropout if ``dropout`` > 0) per width, then FC.

    x is (N, in_features), z holds class scores (N, num_classes). ``sequence`` holds the layers.

    Args:
        in_features, num_classes: numbers of input features and of class scores.
        hidden_features: widths of the hidden layers; empty for a linear classifier.
        activation: "relu" or "sigmoid".
        dropout: probability to drop an activation of a hidden layer, in [0, 1].
        **kw: keywords of every :class:`Linear` (wstd, dtype, device).

    Raises:
        ValueError: the activation is unknown, or an argument of a layer is out of its range.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden_features: Sequence[int] = (),
        activation: str = "relu",
        dropout: float = 0,
        **kw: Any,
    ) -> None:
        super().__init__()
        activations: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid}
        if activation not in activations:
            raise ValueError(f"activation={activation!r}: must be one of {sorted(activations)}")
        layers: list[Layer] = []
        for width in hidden_features:
            layers += [Linear(in_features, width, **kw), activations[activation]()]
            if dropout != 0:
                layers.append(Dropout(dropout))
            in_features = width
        self.sequence = Sequential(*layers, Linear(in_features, num_classes, **kw))

    def params(self) -> list[tuple[Tensor, Tensor]]:
        """Return the parameters of all layers, in order."""
        return self.sequence.params()

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Map x (N, in_features) to class scores (N, num_classes)."""
        return self.sequence(x, **kw)

    def backward(self, dout: Tensor) -> Tensor:
        """Map dout (N, num_classes) to dx (N, in_features); add to every ``dw`` and ``db``."""
        return self.sequence.backward(dout)

    def accumulate_gradients(self, dout: Tensor) -> None:
        """Add to every ``dw`` and ``db`` without computing dx."""
        self.sequence.accumulate_gradients(dout)

    def train(self, training_mode: bool = True) -> None:
        """Set the mode of every layer."""
        super().train(training_mode)
        self.sequence.train(training_mode)

    def __repr__(self) -> str:
        return f"MLP, {self.sequence}"
