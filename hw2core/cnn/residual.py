"""Defines residual blocks and a classifier of them (He et al. 2015, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hw2core.cnn.conv import (
    ACTIVATIONS,
    ConvClassifier,
    check_choice,
    check_probability,
    read_positive_ints,
)

_FIXED = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1)}


class ResidualBlock(nn.Module):
    """A stack of convolutions with a shortcut around it.

    ::

        y = relu(main(x) + shortcut(x))
        main = [CONV (-> Dropout2d) (-> BatchNorm2d) -> ACT]*(n-1) -> CONV

    Convolutions have a bias and keep height and width. The shortcut is the identity, or a 1x1
    convolution without bias where the number of channels changes. As in the course, dropout comes
    before batch norm, and the ReLU after the sum does not depend on ``activation_type``. The main
    path is created first.

    Args:
        in_channels: channels of the input.
        channels: output channels of each of the n convolutions.
        kernel_sizes: kernel size of each convolution; odd, so that padding can keep the size.
        batchnorm: normalise after every convolution but the last.
        dropout: probability to drop a channel after every convolution but the last.
        activation_type: as in ``ConvClassifier``.
        activation_params: keywords of the activation.
        **kw: ignored, as in the course.

    Raises:
        ValueError: a value is out of range, or ``channels`` and ``kernel_sizes`` differ in length.

    Shapes: input (N, in_channels, H, W), output (N, channels[-1], H, W).
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        batchnorm: bool = False,
        dropout: float = 0.0,
        activation_type: str = "relu",
        activation_params: Mapping[str, Any] = {},
        **kw: object,
    ) -> None:
        super().__init__()
        if len(channels) == 0:
            raise ValueError(f"channels must hold at least one width, got {list(channels)}")
        if len(channels) != len(kernel_sizes):
            raise ValueError(
                "channels and kernel_sizes must have the same length, "
                f"got {list(channels)} and {list(kernel_sizes)}"
            )
        (in_channels,) = read_positive_ints("in_channels", [in_channels])
        channels = read_positive_ints("channels", channels)
        kernel_sizes = read_positive_ints("kernel_sizes", kernel_sizes)
        if any(size % 2 == 0 for size in kernel_sizes):
            raise ValueError(f"kernel_sizes must be odd, got {list(kernel_sizes)}")
        check_probability("dropout", dropout)
        check_choice("activation_type", activation_type, ACTIVATIONS)

        main: list[nn.Module] = []
        previous = in_channels
        for width, size in zip(channels, kernel_sizes, strict=True):
            if main:
                if dropout > 0:
                    main.append(nn.Dropout2d(dropout))
                if batchnorm:
                    main.append(nn.BatchNorm2d(previous))
                main.append(ACTIVATIONS[activation_type](**activation_params))
            main.append(nn.Conv2d(previous, width, size, padding=size // 2))
            previous = width
        self.main_path = nn.Sequential(*main)
        self.shortcut_path: nn.Module = (
            nn.Identity()
            if in_channels == previous
            else nn.Conv2d(in_channels, previous, kernel_size=1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block's output (N, channels[-1], H, W) of ``x`` (N, in_channels, H, W)."""
        return torch.relu(self.main_path(x) + self.shortcut_path(x))


class ResidualBottleneckBlock(ResidualBlock):
    """A residual block whose inner convolutions work on fewer channels.

    A 1x1 convolution projects to ``inner_channels[0]``, the inner convolutions follow, and a 1x1
    convolution projects back, so the shortcut is always the identity.

    Args:
        in_out_channels: channels of the input and of the output.
        inner_channels: output channels of each inner convolution.
        inner_kernel_sizes: kernel size of each inner convolution; odd.
        **kw: keywords of ``ResidualBlock``.

    Raises:
        ValueError: as ``ResidualBlock``.

    Shapes: input and output (N, in_out_channels, H, W).
    """

    def __init__(
        self,
        in_out_channels: int,
        inner_channels: Sequence[int],
        inner_kernel_sizes: Sequence[int],
        **kw: Any,
    ) -> None:
        if len(inner_channels) == 0:
            raise ValueError(
                f"inner_channels must hold at least one width, got {list(inner_channels)}"
            )
        if len(inner_channels) != len(inner_kernel_sizes):
            raise ValueError(
                "inner_channels and inner_kernel_sizes must have the same length, "
                f"got {list(inner_channels)} and {list(inner_kernel_sizes)}"
            )
        super().__init__(
            in_out_channels,
            [inner_channels[0], *inner_channels, in_out_channels],
            [1, *inner_kernel_sizes, 1],
            **kw,
        )


class ResNetClassifier(ConvClassifier):
    """``ConvClassifier`` with each group of P convolutions as one residual block.

    ::

        [RESBLOCK(P convs) -> POOL]*(N/P) (-> RESBLOCK(N mod P convs)) -> (FC -> ACT)*M -> FC

    Args:
        in_size, out_classes, channels, hidden_dims: as in ``ConvClassifier``.
        pool_every: P, the number of convolutions in each block and before each pool.
        batchnorm, dropout: as in ``ResidualBlock``.
        **kw: further keywords of ``ConvClassifier``; ``conv_params`` may only repeat what is
            fixed here (``kernel_size=3, stride=1, padding=1``), as numbers or as pairs.

    Raises:
        ValueError: as ``ConvClassifier`` and ``ResidualBlock``.

    Shapes: input (N, C, H, W), output (N, D).
    """

    def __init__(
        self,
        in_size: Sequence[int],
        out_classes: int,
        channels: Sequence[int],
        pool_every: int,
        hidden_dims: Sequence[int],
        batchnorm: bool = False,
        dropout: float = 0.0,
        **kw: Any,
    ) -> None:
        conv_params = kw.get("conv_params", {})
        if any(_make_pair(value) != _FIXED.get(key) for key, value in conv_params.items()):
            raise ValueError(
                "conv_params of a ResNetClassifier may only repeat "
                "{'kernel_size': 3, 'stride': 1, 'padding': 1}, "
                f"got {conv_params}"
            )
        kw |= {"batchnorm": batchnorm, "dropout": dropout}
        super().__init__(in_size, out_classes, channels, pool_every, hidden_dims, **kw)

    def _make_feature_extractor(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        in_channels = self.in_size[0]
        for start in range(0, len(self.channels), self.pool_every):
            widths = self.channels[start : start + self.pool_every]
            layers.append(
                ResidualBlock(
                    in_channels,
                    widths,
                    [3] * len(widths),
                    batchnorm=self.batchnorm,
                    dropout=self.dropout,
                    activation_type=self.activation_type,
                    activation_params=self.activation_params,
                )
            )
            if len(widths) == self.pool_every:
                layers.append(self._make_pool())
            in_channels = widths[-1]
        return nn.Sequential(*layers)


def _make_pair(value: object) -> tuple[object, ...]:
    """Return what PyTorch makes of a size: itself for height and width, unless it is two."""
    return tuple(value) if isinstance(value, list | tuple) else (value, value)
