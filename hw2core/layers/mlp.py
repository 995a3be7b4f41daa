"""Defines the multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from hw2core.layers.activations import ReLU, Sigmoid
from hw2core.layers.base import Layer, Sequential
from hw2core.layers.dropout import Dropout
from hw2core.layers.linear import Linear


class MLP(Layer):
    """Multilayer perceptron: FC -> activation (-> Dropout if ``dropout`` > 0) per width, then FC.

    x is (N, in_features), z holds logits (N, num_classes). ``sequence`` holds the layers.

    Args:
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
        """Map x (N, in_features) to logits (N, num_classes)."""
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
