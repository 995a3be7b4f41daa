"""Defines the base class of the layers, and their composition by the chain rule.

A layer is a function z = f(x; θ). During training some scalar loss L is computed from z; backward
receives dout = ∂L/∂z, which has the shape of z, and returns dx = ∂L/∂x, which has the shape of x:

    dx_j = Σ_i dout_i ∂z_i/∂x_j              (the vector-Jacobian product, VJP)

The Jacobian ∂z/∂x itself is never built: for Linear(1024, 2048) and a batch of 128 images it has
34,359,738,368 entries (128 GiB in float32), all zero outside the 128 blocks on its diagonal.
"""

from __future__ import annotations

import abc
from typing import Any, overload

from torch import Tensor


class Layer(abc.ABC):
    """A differentiable function with parameters.

    Attributes:
        grad_cache: what the last forward keeps for backward.
        training_mode: True while training; layers such as Dropout differ in evaluation.
    """

    def __init__(self) -> None:
        self.grad_cache: dict[str, Tensor] = {}
        self.training_mode = True

    def __call__(self, *args: Any, **kw: Any) -> Tensor:
        """Compute the layer's output: the same as :meth:`forward`."""
        return self.forward(*args, **kw)

    @abc.abstractmethod
    def forward(self, *args: Any, **kw: Any) -> Tensor:
        """Compute the output; keep in ``grad_cache`` what backward needs; ignore unknown ``kw``."""

    @abc.abstractmethod
    def backward(self, dout: Tensor) -> Tensor:
        """Return dx = ∂L/∂x of the last forward's x and ADD ∂L/∂θ to the parameters' gradients."""

    @abc.abstractmethod
    def params(self) -> list[tuple[Tensor, Tensor]]:
        """Return pairs (parameter, the tensor of its shape that accumulates its gradient)."""

    def accumulate_gradients(self, dout: Tensor) -> None:
        """Add to the parameters' gradients as :meth:`backward` does, without returning dx.

        Layers that need not compute dx for this override it: for the first layer of an MLP, dx
        costs as much as the forward, and the gradient of the images is not needed.
        """
        self.backward(dout)

    def train(self, training_mode: bool = True) -> None:
        """Set the mode: training (True) or evaluation (False)."""
        self.training_mode = training_mode

    def __repr__(self) -> str:
        return type(self).__name__


class ParameterFreeLayer(Layer):
    """A layer without parameters."""

    def params(self) -> list[tuple[Tensor, Tensor]]:
        """Return an empty list."""
        return []


class Sequential(Layer):
    """z = f_k(… f_2(f_1(x))): each layer's output is the next one's input.

    By the chain rule the VJPs compose in reverse: the dx of layer i is the dout of layer i - 1.
    Keywords of forward (``y=`` for a loss) reach every layer. Indexing gives a layer; slicing gives
    a Sequential of the same layer objects.

    Raises:
        ValueError: a layer is given twice. It keeps the values of one forward call only, so its
            gradient at the first place would be wrong.
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.layers = layers
        if len(set(map(id, self._list_leaves()))) < len(self._list_leaves()):
            raise ValueError("Sequential: a layer is given twice; make one for each place")

    def _list_leaves(self) -> list[Layer]:
        lists = (x._list_leaves() if isinstance(x, Sequential) else [x] for x in self.layers)
        return [leaf for leaves in lists for leaf in leaves]

    def params(self) -> list[tuple[Tensor, Tensor]]:
        """Return the parameters of all layers, in order."""
        return [pair for layer in self.layers for pair in layer.params()]

    def forward(self, x: Tensor, **kw: Any) -> Tensor:
        """Apply every layer, first to last."""
        for layer in self.layers:
            x = layer(x, **kw)
        return x

    def backward(self, dout: Tensor) -> Tensor:
        """Apply every VJP, last to first."""
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def accumulate_gradients(self, dout: Tensor) -> None:
        """Apply every VJP, last to first, except for the first layer's own dx."""
        for layer in reversed(self.layers[1:]):
            dout = layer.backward(dout)
        for first in self.layers[:1]:
            # A layer of the course's interface need not have it.
            getattr(first, "accumulate_gradients", first.backward)(dout)

    def train(self, training_mode: bool = True) -> None:
        """Set the mode of this layer and of every layer in it."""
        super().train(training_mode)
        for layer in self.layers:
            layer.train(training_mode)

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Layer:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __repr__(self) -> str:
        return "\n".join(
            ["Sequential", *(f"\t[{i}] {layer}" for i, layer in enumerate(self.layers))]
        )
