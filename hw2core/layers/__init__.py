"""Layers written out by hand: every forward with its backward, no autograd.

Each class states its equation, derives its vector-Jacobian product (see
:mod:`hw2core.layers.base`) and implements both, in this order: x goes in, z comes out,
dout = ∂L/∂z comes back, dx = ∂L/∂x is returned.

Any float dtype, CPU and CUDA. The forwards use differentiable torch operations only, so that
:mod:`hw2core.grad_check` can run the same forward under autograd and compare.
"""

from hw2core.layers.activations import LeakyReLU, ReLU, Sigmoid, TanH
from hw2core.layers.base import Layer, Sequential
from hw2core.layers.dropout import Dropout
from hw2core.layers.linear import Linear
from hw2core.layers.loss import CrossEntropyLoss
from hw2core.layers.mlp import MLP

__all__ = [
    "MLP",
    "CrossEntropyLoss",
    "Dropout",
    "Layer",
    "LeakyReLU",
    "Linear",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "TanH",
]
