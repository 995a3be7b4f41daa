"""Defines the plain convolutional classifier, and checks that all networks share."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "lrelu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}
POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def initialize_like_he(model: nn.Module) -> None:
    """Draw weights with standard deviation sqrt(2 / fan_in), which keeps the scale with ReLUs."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


INITIALIZATIONS: dict[str, Callable[[nn.Module], None]] = {
    "default": lambda model: None,
    "he": initialize_like_he,
}


def check_choice(name: str, value: str, allowed: Mapping[str, object]) -> None:
    """Raise ValueError unless ``value`` is a key of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def read_positive_ints(name: str, values: Iterable[SupportsIndex]) -> list[int]:
    """Return ``values``, integers of Python, NumPy or PyTorch, as a list of ``int``.

    Raises:
        ValueError: an entry is no integer, or below 1.
    """
    entries = list(values)
    try:
        numbers = [operator.index(entry) for entry in entries]
    except TypeError:
        numbers = [0]
    if any(number < 1 for number in numbers):
        raise ValueError(f"{name} must hold integers of at least 1, got {entries}")
    return numbers


def check_probability(name: str, value: float) -> None:
    """Raise ValueError unless 0 <= value <= 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")


class ConvClassifier(nn.Module):
    """Convolutions with pools between them, then fully connected layers.

    With N = len(channels), P = pool_every and M = len(hidden_dims)::

        [(CONV -> ACT)*P -> POOL]*(N/P) -> (FC -> ACT)*M -> FC

    When P does not divide N, the remaining N mod P pairs CONV -> ACT come last, without a pool.
    The output is logits, without a softmax. Parameters are created in forward order, so a seed
    fixes the weights layer by layer.

    Args:
        in_size: size (C, H, W) of one image.
        out_classes: number of classes D.
        channels: output channels of each convolution, in order.
        pool_every: P, the number of convolutions before each pool.
        hidden_dims: widths of the hidden fully connected layers; may be empty.
        conv_params: keywords of ``nn.Conv2d``, on top of ``kernel_size=3, padding=1``.
        activation_type: ``relu``, ``lrelu`` (leaky ReLU), ``gelu``, ``silu`` or ``elu``.
        activation_params: keywords of the activation.
        pooling_type: ``max`` or ``avg``.
        pooling_params: keywords of the pool, on top of ``kernel_size=2``.
        dropout: probability to drop a channel after the activation of each convolution.
        batchnorm: batch norm between each convolution and its activation.
        initialization: ``default`` leaves PyTorch's; ``he`` draws every weight from He's normal
            distribution for ReLU and sets the biases to 0 (He et al. 2015, arXiv:1502.01852).

    Raises:
        ValueError: a value is out of range, or the pools leave an empty feature map.

    Shapes: input (N, C, H, W), output (N, D).
    """

    def __init__(
        self,
        in_size: Sequence[int],
        out_classes: int,
        channels: Sequence[int],
        pool_every: int,
        hidden_dims: Sequence[int],
        conv_params: Mapping[str, Any] = {},
        activation_type: str = "relu",
        activation_params: Mapping[str, Any] = {},
        pooling_type: str = "max",
        pooling_params: Mapping[str, Any] = {},
        *,
        batchnorm: bool = False,
        dropout: float = 0.0,
        initialization: str = "default",
    ) -> None:
        super().__init__()
        if len(in_size) != 3:
            raise ValueError(f"in_size must be (channels, height, width), got {tuple(in_size)}")
        if len(channels) == 0:
            raise ValueError(f"channels must hold at least one width, got {list(channels)}")
        check_probability("dropout", dropout)
        check_choice("activation_type", activation_type, ACTIVATIONS)
        check_choice("pooling_type", pooling_type, POOLINGS)
        check_choice("initialization", initialization, INITIALIZATIONS)

        self.in_size = tuple(read_positive_ints("in_size", in_size))
        (self.out_classes,) = read_positive_ints("out_classes", [out_classes])
        self.channels = read_positive_ints("channels", channels)
        (self.pool_every,) = read_positive_ints("pool_every", [pool_every])
        self.hidden_dims = read_positive_ints("hidden_dims", hidden_dims)
        self.conv_params = {"kernel_size": 3, "padding": 1, **conv_params}
        self.activation_type = activation_type
        self.activation_params = dict(activation_params)
        self.pooling_type = pooling_type
        self.pooling_params = {"kernel_size": 2, **pooling_params}
        self.batchnorm = batchnorm
        self.dropout = dropout

        self.feature_extractor = self._make_feature_extractor()
        self.classifier = self._make_classifier()
        INITIALIZATIONS[initialization](self)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits (N, D) of images ``x`` (N, C, H, W)."""
        features = self.feature_extractor(x).flatten(1)  # (N, C', H', W') -> (N, C'*H'*W')
        logits: Tensor = self.classifier(features)
        return logits

    def _make_feature_extractor(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        in_channels = self.in_size[0]
        for number, out_channels in enumerate(self.channels, start=1):
            layers.append(nn.Conv2d(in_channels, out_channels, **self.conv_params))
            if self.batchnorm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(self._make_activation())
            if self.dropout > 0:
                layers.append(nn.Dropout2d(self.dropout))
            if number % self.pool_every == 0:
                layers.append(self._make_pool())
            in_channels = out_channels
        return nn.Sequential(*layers)

    def _make_classifier(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        in_features = self._n_features()
        for out_features in self.hidden_dims:
            layers += [nn.Linear(in_features, out_features), self._make_activation()]
            in_features = out_features
        layers.append(nn.Linear(in_features, self.out_classes))
        return nn.Sequential(*layers)

    def _make_activation(self) -> nn.Module:
        return ACTIVATIONS[self.activation_type](**self.activation_params)

    def _make_pool(self) -> nn.Module:
        return POOLINGS[self.pooling_type](**self.pooling_params)

    def _n_features(self) -> int:
        """Count the features of one image by a forward pass of zeros."""
        # A copy in evaluation mode: batch norm keeps its statistics, and dropout draws nothing.
        extractor = copy.deepcopy(self.feature_extractor).eval()
        try:
            with torch.no_grad():
                features = extractor(torch.zeros(1, *self.in_size))
        except RuntimeError as error:
            raise ValueError(
                f"the feature map is empty: in_size {self.in_size} is too small for channels "
                f"{self.channels} with pool_every {self.pool_every} ({error})"
            ) from error
        return int(features.numel())
