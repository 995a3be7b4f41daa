"""Defines layers from scratch: every forward with its backward, without autograd.

Forward maps x to z, and backward maps dout = ∂L/∂z to dx = ∂L/∂x, the vector-Jacobian product that
each class derives (see :mod:`hw2core.layers.base`), in any float dtype, on CPU and CUDA. Forwards
use only differentiable torch operations, so that :mod:`hw2core.grad_check` can run them under
autograd.
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
