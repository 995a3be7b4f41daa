"""Defines the study's own network (experiment 2), a pre-activation residual network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw2core.cnn.conv import ACTIVATIONS, ConvClassifier, check_choice, initialize_like_he

Activation = Callable[[], nn.Module]
HEADS: dict[str, Callable[[], list[nn.Module]]] = {
    "average": lambda: [nn.AdaptiveAvgPool2d(1)],
    "flatten": lambda: [],
}


class SqueezeExcitation(nn.Module):
    """Scales each channel by a factor in (0, 1), computed from the means of all channels.

    ::

        y = x * sigmoid(CONV(relu(CONV(mean(x)))))

    Both convolutions are 1x1, the first to C / 8 channels, at least 4 (Hu et al. 2018,
    arXiv:1709.01507).

    Shapes: input (N, C, H, W), output the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(channels // 8, 4)
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of ``x`` (N, C, H, W)."""
        y: Tensor = x * self.factors(x)  # factors (N, C, 1, 1)
        return y


class PreActivationBlock(nn.Module):
    """A residual block with norm and activation before each 3x3 convolution.

    ::

        a = relu(norm(x))
        y = shortcut + scale(CONV(relu(norm(CONV(a)))))

    The shortcut is x itself, or a 1x1 convolution of a where the number of channels changes
    (He et al. 2016, arXiv:1603.05027). Between identity shortcuts there are only additions, so the
    gradient reaches the first blocks of a network of any depth. On the image
    (``activate_input=False``) a = x, since a ReLU would discard its dark half. Without ``shortcut``
    y is the main path alone; without ``batchnorm`` there are no norms; without
    ``squeeze_excitation`` nothing is scaled. ``activation`` makes what relu stands for. Where
    ``conv_params`` change height or width, the shortcut is averaged to the size of the main path.

    Shapes: input (N, in_channels, H, W), output (N, channels[1], H', W').
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        *,
        activate_input: bool = True,
        batchnorm: bool = True,
        shortcut: bool = True,
        squeeze_excitation: bool = True,
        activation: Activation = nn.ReLU,
        conv_params: Mapping[str, Any] = {},
    ) -> None:
        super().__init__()
        inner, outer = channels
        before = _make_norm(in_channels, batchnorm, activation) if activate_input else []
        self.activation = nn.Sequential(*before)
        self.main_path = nn.Sequential(
            _make_conv(in_channels, inner, batchnorm, conv_params),
            *_make_norm(inner, batchnorm, activation),
            _make_conv(inner, outer, batchnorm, conv_params),
        )
        self.scaling = SqueezeExcitation(outer) if squeeze_excitation else nn.Identity()
        self.shortcut = shortcut
        self.projection = (
            nn.Conv2d(in_channels, outer, kernel_size=1, bias=False)
            if shortcut and in_channels != outer
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block's output (N, channels[1], H', W') of ``x`` (N, in_channels, H, W)."""
        activated = self.activation(x)
        y: Tensor = self.scaling(self.main_path(activated))
        if not self.shortcut:
            return y
        skip = x if self.projection is None else self.projection(activated)
        if skip.shape != y.shape:
            skip = F.adaptive_avg_pool2d(skip, (y.shape[2], y.shape[3]))
        return y + skip


class YourCodeNet(ConvClassifier):
    """A pre-activation residual network with batch norm and global average pooling.

    ::

        [GROUP(P convs) -> POOL]*(N/P) (-> GROUP(N mod P convs))
            -> NORM -> RELU -> global average pool -> (FC -> RELU)*M -> FC

    A group is a chain of ``PreActivationBlock`` with two 3x3 convolutions each. If its number of
    convolutions is odd, NORM -> RELU -> CONV without a shortcut comes first; on the image, only
    CONV. Thus each entry of ``channels`` is one 3x3 convolution.

    Compared with ``ConvClassifier``, batch norm and He initialisation make deep networks trainable,
    identity shortcuts make even deeper ones trainable, and the global average pool replaces a first
    fully connected layer that would hold most of the parameters.

    Convolutions start with He's normal initialisation. The last convolution of each of the B blocks
    is divided by sqrt(B), so that the B branches together add about as much variance to the sum as
    the shortcut carries and a deep network starts near the identity. De and Smith 2020,
    arXiv:2002.10444, show that batch norm has the same effect.

    The network has no bottlenecks, which do not pay off at these widths (32 to 128). A 3x3
    convolution of width k costs 9 k^2 multiply-adds per pixel; inside a bottleneck it also needs
    two 1x1 convolutions to and from 4 k channels, another 8 k^2, and norms and sums over 4 k
    channels.

    Args:
        in_size, out_classes, channels, hidden_dims: as in ``ConvClassifier``.
        pool_every: P, the number of convolutions in each group and before each pool.
        conv_params, activation_type, activation_params, pooling_type, pooling_params: as in
            ``ConvClassifier``; by default, convolutions have a bias only if no norm follows.
        dropout: probability to drop a feature before the fully connected layers.
        shortcuts: whether blocks have shortcuts. The ablation varies this and the next three.
        batchnorm: whether NORM is batch norm, or nothing.
        squeeze_excitation: whether blocks scale the channels of their main path.
        head: ``average`` for the global average pool; ``flatten`` for none.

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
        dropout: float = 0.0,
        shortcuts: bool = True,
        batchnorm: bool = True,
        squeeze_excitation: bool = True,
        head: str = "average",
    ) -> None:
        check_choice("head", head, HEADS)
        # Set before the parent's constructor, which builds the feature extractor from them.
        self.shortcuts = shortcuts
        self.squeeze_excitation = squeeze_excitation
        self.head = head
        sizes = in_size, out_classes, channels, pool_every, hidden_dims
        kinds = conv_params, activation_type, activation_params, pooling_type, pooling_params
        super().__init__(*sizes, *kinds, batchnorm=batchnorm, dropout=dropout)

    def _make_activation(self) -> nn.Module:
        # In place, it would change what the shortcut passes on if no norm comes first.
        kw = {key: value for key, value in self.activation_params.items() if key != "inplace"}
        return ACTIVATIONS[self.activation_type](**kw)

    def _make_feature_extractor(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        norm, activation = self.batchnorm, self._make_activation
        in_channels = self.in_size[0]
        for start in range(0, len(self.channels), self.pool_every):
            widths = self.channels[start : start + self.pool_every]
            odd = len(widths) % 2
            if odd:
                if layers:
                    layers += _make_norm(in_channels, norm, activation)
                layers.append(_make_conv(in_channels, widths[0], norm, self.conv_params))
                in_channels = widths[0]
            for inner, outer in zip(widths[odd::2], widths[odd + 1 :: 2], strict=True):
                layers.append(
                    PreActivationBlock(
                        in_channels,
                        (inner, outer),
                        activate_input=bool(layers),
                        batchnorm=norm,
                        shortcut=self.shortcuts,
                        squeeze_excitation=self.squeeze_excitation,
                        activation=activation,
                        conv_params=self.conv_params,
                    )
                )
                in_channels = outer
            if len(widths) == self.pool_every:
                layers.append(self._make_pool())
        layers += [*_make_norm(in_channels, norm, activation), *HEADS[self.head]()]
        if self.dropout > 0:
            layers.append(nn.Dropout(self.dropout))
        features = nn.Sequential(*layers)
        _initialise(features)
        return features


def _initialise(features: nn.Sequential) -> None:
    blocks = [layer for layer in features if isinstance(layer, PreActivationBlock)]
    initialize_like_he(features)
    for block in blocks:
        *_, last = block.main_path
        if block.shortcut and isinstance(last, nn.Conv2d):
            with torch.no_grad():
                last.weight.div_(math.sqrt(len(blocks)))


def _make_conv(
    in_channels: int, out_channels: int, batchnorm: bool, conv_params: Mapping[str, Any]
) -> nn.Conv2d:
    # No bias with batch norm: a later norm, perhaps after the sum, removes the mean.
    defaults = {"kernel_size": 3, "padding": 1, "bias": not batchnorm}
    return nn.Conv2d(in_channels, out_channels, **{**defaults, **conv_params})


def _make_norm(channels: int, batchnorm: bool, activation: Activation) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(channels)] if batchnorm else []), activation()]
