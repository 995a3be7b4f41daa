"""The numbers of the questions that need no training: counted on the code itself, not typed."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from hw2core.cnn.residual import ResidualBlock, ResidualBottleneckBlock
from hw2core.engine.flops import count_flops, count_parameters

# Part 1, question 1: a linear layer and a batch.
BATCH, IN_FEATURES, OUT_FEATURES = 128, 1024, 2048
# Part 3, question 1: a block on 256 maps, and a bottleneck that works on 64 of its own.
BLOCK_WIDTH, BOTTLENECK_WIDTH = 256, 64
GIB = 2**30


class Jacobian(NamedTuple):
    """Sizes of the Jacobian of a linear layer's output by its input, in float32."""

    shape: tuple[int, ...]
    entries: int
    size: int  # bytes
    gib: float
    blocks: int  # those that are not zero: one an image
    block_gib: float  # all blocks together
    product_mib: float  # the gradient that replaces it, as large as the input


def measure_jacobian(batch: int, in_features: int, out_features: int) -> Jacobian:
    """Return the sizes of ∂Z/∂X for X (batch, in) and Z (batch, out)."""
    shape = (batch, out_features, batch, in_features)
    entries = math.prod(shape)
    width = torch.finfo(torch.float32).bits // 8
    block_size = batch * out_features * in_features * width
    product = batch * in_features * width
    size = entries * width
    return Jacobian(shape, entries, size, size / GIB, batch, block_size / GIB, product / 2**20)


class BlockCost(NamedTuple):
    """What a residual block costs and sees."""

    weights: int  # of the convolutions, without biases
    parameters: int
    multiply_adds: int  # for one pixel of the output
    field: int  # side of the square of input pixels that one output pixel depends on
    rank: int  # the fewest maps that anything on the main path passes through


def measure_block(block: ResidualBlock, in_channels: int) -> BlockCost:
    """Count on the block itself: parameters, arithmetic, and the reach of a gradient."""
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    size = 8
    flops = count_flops(block, (in_channels, size, size))
    return BlockCost(
        weights=sum(convolution.weight.numel() for convolution in convolutions),
        parameters=count_parameters(block),
        multiply_adds=flops // 2 // size**2,
        field=_measure_field(convolutions),
        rank=min(convolution.out_channels for convolution in convolutions),
    )


def compare_blocks() -> dict[str, BlockCost]:
    """Return the costs of the regular block and of the bottleneck of part 3, question 1."""
    regular = ResidualBlock(BLOCK_WIDTH, [BLOCK_WIDTH] * 2, [3, 3])
    bottleneck = ResidualBottleneckBlock(BLOCK_WIDTH, [BOTTLENECK_WIDTH], [3])
    return {
        "regular": measure_block(regular, BLOCK_WIDTH),
        "bottleneck": measure_block(bottleneck, BLOCK_WIDTH),
    }


def _measure_field(convolutions: list[nn.Conv2d]) -> int:
    """Return how far the gradient of one output pixel reaches, by a backward pass of ones."""
    size = 2 * sum(convolution.kernel_size[0] for convolution in convolutions) + 1
    x = torch.ones(1, 1, size, size, requires_grad=True)
    y = x
    for convolution in convolutions:
        kernel = torch.ones(1, 1, *convolution.kernel_size)
        y = nn.functional.conv2d(y, kernel, padding="same")
    y[0, 0, size // 2, size // 2].backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return int((x.grad[0, 0].abs().sum(dim=0) > 0).sum())
