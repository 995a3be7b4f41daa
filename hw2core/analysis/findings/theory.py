"""Answers that need no training: Jacobian, gradient checks, residual blocks, receptive fields."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from hw2core import layers
from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding
from hw2core.analysis.tables import Study, select
from hw2core.analysis.text import format_number
from hw2core.cnn.residual import ResidualBlock, ResidualBottleneckBlock
from hw2core.data.arrays import IMAGE_SHAPE
from hw2core.engine.flops import count_parameters
from hw2core.grad_check import compare_layer_to_torch

BATCH, IN_FEATURES, OUT_FEATURES = 128, 1024, 2048  # of the linear layer of part 1
BLOCK_CHANNELS, BOTTLENECK_CHANNELS = 256, 64  # of the blocks of part 3
KERNEL, POOL = 3, 2  # sizes of convolutions, unless a key says otherwise, and of pools
KERNEL_KEY = "architecture.kernel_size"
GIB, GB = 2**30, 1e9


class Jacobian(NamedTuple):
    """Sizes of the Jacobian of a linear layer's output with respect to its input, in float32."""

    shape: tuple[int, ...]
    entries: int
    size: int  # bytes
    nonzero: int  # bytes of the diagonal blocks, one per image; all other blocks are zero
    product: int  # bytes of the input's gradient, which the backward pass computes instead


def measure_jacobian(
    batch: int = BATCH, in_features: int = IN_FEATURES, out_features: int = OUT_FEATURES
) -> Jacobian:
    """Return the sizes of ∂Z/∂X for X (batch, in) and Z (batch, out)."""
    shape = (batch, out_features, batch, in_features)
    entries = math.prod(shape)
    return Jacobian(shape, entries, 4 * entries, 4 * entries // batch, 4 * batch * in_features)


@finding("part1_q1")
def say_jacobian(study: Study) -> Sentences:
    """Yield shape and memory of the Jacobian of a linear layer."""
    jacobian = measure_jacobian()
    yield (
        f"The Jacobian has shape {jacobian.shape}; its {jacobian.entries:,} numbers take "
        f"{format_number(jacobian.size / GB)} GB ({format_number(jacobian.size / GIB, 0)} GiB) in "
        f"single precision."
    )
    yield (
        f"Only {format_number(jacobian.nonzero / GIB, 0)} GiB of it is non-zero, and the backward "
        "pass never builds it."
    )


def measure_backward_memory() -> int:
    """Return the bytes of all gradients from the backward pass of the question's layer."""
    layer = nn.Linear(IN_FEATURES, OUT_FEATURES, dtype=torch.float32)
    x = torch.zeros(BATCH, IN_FEATURES, dtype=torch.float32, requires_grad=True)
    with torch.enable_grad():
        z = layer(x)
    return sum(g.nbytes for g in torch.autograd.grad(z, [x, *layer.parameters()], z.detach()))


def check_gradients() -> dict[str, float]:
    """Compare each from-scratch layer with autograd in float64, where rounding is about 1e-16.

    Returns:
        Layer name -> largest norm ‖by hand − autograd‖ over its input and parameter gradients.
    """
    features, classes = 96, 10
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(32, features, dtype=torch.float64)
        y = torch.randint(classes, (len(x),))
        checked = [
            layers.MLP(features, classes, [64, 64], dropout=0.5, wstd=0.1, dtype=torch.float64),
            layers.ReLU(),
            layers.LeakyReLU(alpha=0.1),
            layers.Sigmoid(),
            layers.TanH(),
            layers.Linear(features, classes, dtype=torch.float64),
            layers.Dropout(p=0.5),
        ]
        norms = {type(layer).__name__: compare_layer_to_torch(layer, x) for layer in checked}
        norms["CrossEntropyLoss"] = compare_layer_to_torch(layers.CrossEntropyLoss(), x, y)
    return {name: max(values) for name, values in norms.items()}


class BlockCost(NamedTuple):
    """Cost and receptive field of a residual block."""

    weights: int  # of the convolutions, equal to the multiply-adds per pixel
    parameters: int
    field: int  # side of the square of input pixels that one output pixel depends on
    rank: int  # smallest number of channels on the main path


def measure_block(block: ResidualBlock) -> BlockCost:
    """Return the cost of a block of convolutions with stride 1 that keep the image size."""
    convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    return BlockCost(
        weights=sum(conv.weight.numel() for conv in convs),
        parameters=count_parameters(block),
        field=1 + sum(conv.kernel_size[0] - 1 for conv in convs),
        rank=min(conv.out_channels for conv in convs),
    )


def compare_blocks(
    channels: int = BLOCK_CHANNELS, inner: int = BOTTLENECK_CHANNELS
) -> tuple[BlockCost, BlockCost]:
    """Return the costs of a regular block and a bottleneck with the same number of channels."""
    regular = ResidualBlock(channels, [channels] * 2, [KERNEL] * 2)
    bottleneck = ResidualBottleneckBlock(channels, [inner], [KERNEL])
    return measure_block(regular), measure_block(bottleneck)


@finding("part3_q1")
def say_bottleneck(study: Study) -> Sentences:
    """Yield weights, operations and receptive field of the bottleneck and the regular block."""
    regular, bottleneck = compare_blocks()
    ratio = format_number(regular.weights / bottleneck.weights)
    yield (
        f"The bottleneck has {ratio} times fewer weights, {bottleneck.weights:,} instead of "
        f"{regular.weights:,} (with biases {bottleneck.parameters:,} instead of "
        f"{regular.parameters:,}), and fewer multiply-adds per pixel by the same factor."
    )
    yield (
        f"In space, it combines {bottleneck.field}×{bottleneck.field} pixels instead of "
        f"{regular.field}×{regular.field}; across channels, both combine all {regular.rank}, the "
        f"bottleneck through {BOTTLENECK_CHANNELS}."
    )


def list_block_ratios() -> pd.DataFrame:
    """Return the weights of both blocks by channels, with the question's bottleneck ratio."""
    rows = []
    for channels in (32, 64, 128, BLOCK_CHANNELS):
        inner = channels * BOTTLENECK_CHANNELS // BLOCK_CHANNELS
        regular, bottleneck = compare_blocks(channels, inner)
        weights = f"{regular.weights:,}", f"{bottleneck.weights:,}"
        ratio = format_number(regular.weights / bottleneck.weights)
        rows.append([channels, inner, *weights, ratio])
    names = ["Channels", "Bottleneck channels", "Weights, regular block", "Weights, bottleneck"]
    return pd.DataFrame(rows, columns=[*names, "Ratio"])


def measure_field(num_conv: int, pool_every: int, kernel: int) -> int:
    """Return the side of the square of pixels that one entry of the last feature map depends on.

    It includes padding, so it can exceed the image.
    """
    field, step = 1, 1  # in pixels of the image
    for number in range(1, num_conv + 1):
        field += (kernel - 1) * step
        if number % pool_every == 0:
            field += (POOL - 1) * step
            step *= POOL
    return field


def count_head(widths: str, num_conv: int, pool_every: int, hidden: int) -> int:
    """Return the parameters of the first linear layer, whose input is the last feature map."""
    side = IMAGE_SHAPE[0] >> (num_conv // pool_every)  # each pool halves it
    return (int(widths.rpartition("-")[2]) * side**2 + 1) * hidden


def list_networks(study: Study, experiment: str) -> pd.DataFrame:
    """Return receptive field and parameters of each network with a hidden layer."""
    runs = select(study.runs, experiment=experiment).drop_duplicates("run")
    rows = []
    for run in runs.to_dict("records"):
        hidden = run.get("architecture.hidden_dims")
        if isinstance(hidden, list) and hidden:
            pool_every = int(run["architecture.pool_every"])
            head = count_head(run["widths"], run["num_conv"], pool_every, hidden[0])
            field = measure_field(run["num_conv"], pool_every, int(run.get(KERNEL_KEY, KERNEL)))
            parameters, share = run["parameters"], 100 * head / run["parameters"]
            size = say.size(run["depth"], run["widths"])
            cells = f"{field} × {field}", f"{parameters:,}", f"{share:.0f} %"
            rows.append([size, pool_every, *cells])
    names = ["Network", "Convolutions per pool", "Receptive field", "Parameters"]
    return pd.DataFrame(rows, columns=[*names, "First linear layer"])
