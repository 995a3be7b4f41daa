"""Implements optimizers from scratch: the update equations, in place and without torch.optim.

All of them minimise L(p) + reg/2 ‖p‖², whose gradient is g = dp + reg p, with dp = ∂L/∂p.
``step`` changes the parameters and the optimizer's own state, never dp.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
from torch import Tensor

ParamGrad = tuple[Tensor, Tensor]


class Optimizer(abc.ABC):
    """Base of the optimizers.

    Args:
        params: list or tuple of pairs (p, dp), as a Layer's ``params()`` returns them, or of torch
            Tensors, which mean (p.data, p.grad). Both may be mixed.
        learn_rate: lr, in [0, inf).
        reg: strength of the L2 regularisation, in [0, inf).

    Attributes:
        running_means: the state of the optimizer, one tensor per parameter; empty without state.

    Raises:
        TypeError: ``params`` is neither list nor tuple, or an entry is neither pair nor Tensor.
        ValueError: a pair's tensors differ in shape, or a hyper-parameter is out of its range.
    """

    def __init__(
        self, params: Sequence[Tensor | ParamGrad], learn_rate: float = 1e-3, reg: float = 0
    ) -> None:
        if not isinstance(params, list | tuple):
            raise TypeError(f"params is a {type(params).__name__}: must be a list or tuple")
        for i, entry in enumerate(params):
            if isinstance(entry, Tensor):
                continue
            if not (
                isinstance(entry, tuple) and [isinstance(t, Tensor) for t in entry] == [True] * 2
            ):
                raise TypeError(
                    f"params[{i}]={entry!r}: must be a Tensor or a pair (p, dp) of them"
                )
            p, dp = entry
            if p.shape != dp.shape:
                raise ValueError(
                    f"params[{i}]: dp has shape {tuple(dp.shape)}, must be p's, {tuple(p.shape)}"
                )
        self._params = tuple(params)
        self.learn_rate = _check_range("learn_rate", learn_rate, math.inf)
        self.reg = _check_range("reg", reg, math.inf)
        self.running_means: list[Tensor] = []

    @property
    def params(self) -> list[tuple[Tensor, Tensor | None]]:
        """The pairs (p, dp), in order; dp is None where a Tensor has no gradient yet."""
        return [(x.data, x.grad) if isinstance(x, Tensor) else x for x in self._params]

    def zero_grad(self) -> None:
        """Set every gradient to zero, in place; a gradient that is None stays None."""
        for _, dp in self.params:
            if dp is not None:
                dp.zero_()

    @abc.abstractmethod
    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""


class VanillaSGD(Optimizer):
    """Stochastic gradient descent: p ← p - lr g. Arguments and errors as in :class:`Optimizer`."""

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        for p, dp in self.params:
            if dp is None:
                continue
            # p - lr (dp + reg p), with p's two terms in one factor: no temporary for g.
            p.mul_(1 - self.learn_rate * self.reg).add_(dp, alpha=-self.learn_rate)


class MomentumSGD(Optimizer):
    """Gradient descent with momentum: v ← μ v - lr g, p ← p + v, from v = 0.

    The stored state is m = -(1 - μ)/lr v, the running mean of the gradients. In terms of m, the
    update is m ← μ m + (1 - μ) g, p ← p - lr/(1 - μ) m. Updating m takes one pass over memory
    (lerp_), updating v two. Changing learn_rate between steps rescales v, as in torch.optim.SGD.

    Arguments and errors as in :class:`Optimizer`; ``momentum`` is μ, in [0, 1).
    """

    def __init__(
        self,
        params: Sequence[Tensor | ParamGrad],
        learn_rate: float = 1e-3,
        reg: float = 0,
        momentum: float = 0.9,
    ) -> None:
        super().__init__(params, learn_rate, reg)
        self.momentum = _check_range("momentum", momentum, 1)
        self.running_means = [torch.zeros_like(p) for p, _ in self.params]  # m

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        weight = 1 - self.momentum
        for (p, dp), m in zip(self.params, self.running_means, strict=True):
            if dp is None:
                continue
            m.lerp_(dp, weight)
            if self.reg != 0:
                m.add_(p, alpha=weight * self.reg)
            p.add_(m, alpha=-self.learn_rate / weight)


class RMSProp(Optimizer):
    """Gradient descent scaled by a running mean square: r ← γ r + (1 - γ) g², from r = 0, then
    p ← p - lr g / √(r + ε).

    ε is inside the root, as in the course; torch.optim.RMSprop adds it to the root.

    Arguments and errors as in :class:`Optimizer`; ``decay`` is γ, in [0, 1), and ``eps`` is ε, in
    (0, inf): float16 parameters need at least 6e-8, the smallest number of that type.
    """

    def __init__(
        self,
        params: Sequence[Tensor | ParamGrad],
        learn_rate: float = 1e-3,
        reg: float = 0,
        decay: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, learn_rate, reg)
        self.decay = _check_range("decay", decay, 1)
        if not 0 < eps < math.inf:
            raise ValueError(f"eps={eps}: must be in (0, inf)")
        self.eps = eps
        self.running_means = [torch.zeros_like(p) for p, _ in self.params]  # r

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        for (p, dp), r in zip(self.params, self.running_means, strict=True):
            if dp is None:
                continue
            g = dp if self.reg == 0 else torch.add(dp, p, alpha=self.reg)
            r.mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
            p.addcdiv_(g, r.add(self.eps).sqrt_(), value=-self.learn_rate)


def _check_range(name: str, value: float, end: float) -> float:
    """Return ``value``; raise ValueError if it is NaN or not in [0, end)."""
    if not 0 <= value < end:
        raise ValueError(f"{name}={value}: must be in [0, {end})")
    return value
