"""Computes what the questions ask without a training run: Jacobian, blocks, receptive fields."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from hw2core import layers
from hw2core.analysis.ranking import select
from hw2core.analysis.tables import Study
from hw2core.analysis.text import describe_size, format_number
from hw2core.cnn.residual import ResidualBlock, ResidualBottleneckBlock
from hw2core.data.arrays import IMAGE_SHAPE
from hw2core.engine.flops import count_parameters
from hw2core.grad_check import compare_layer_to_torch
from hw2core.runs.paths import RATES

# Part 1, question 1: a linear layer and a batch.
BATCH, IN_FEATURES, OUT_FEATURES = 128, 1024, 2048
# Part 3, question 1: a block of 256 channels, and a bottleneck of 64.
BLOCK_CHANNELS, BOTTLENECK_CHANNELS = 256, 64
SEARCH = Path(__file__).parents[2] / RATES
KERNEL, POOL = 3, 2  # sizes of every convolution and pool of the study


class Jacobian(NamedTuple):
    """Sizes of the Jacobian of a linear layer's output by its input, in float32."""

    shape: tuple[int, ...]
    entries: int
    size: int  # bytes
    nonzero: int  # bytes of the diagonal blocks, one per image: all others are zero
    product: int  # bytes of the gradient by the input, which the backward pass computes instead


def measure_jacobian(
    batch: int = BATCH, in_features: int = IN_FEATURES, out_features: int = OUT_FEATURES
) -> Jacobian:
    """Return the sizes of ∂Z/∂X for X (batch, in) and Z (batch, out)."""
    shape = (batch, out_features, batch, in_features)
    entries = math.prod(shape)
    width = torch.finfo(torch.float32).bits // 8
    return Jacobian(
        shape, entries, entries * width, entries // batch * width, batch * in_features * width
    )


def measure_backward_memory() -> int:
    """Return the bytes of all gradients that the backward pass of the question's layer returns."""
    layer = nn.Linear(IN_FEATURES, OUT_FEATURES)
    x = torch.zeros(BATCH, IN_FEATURES, requires_grad=True)
    z = layer(x)
    return sum(g.nbytes for g in torch.autograd.grad(z, [x, *layer.parameters()], z.detach()))


class GradientCheck(NamedTuple):
    """A layer and the norms ‖by hand − autograd‖ of its gradients: input, and worst parameter."""

    name: str
    by_input: float
    by_parameters: float | None


def check_gradients(seed: int = 0) -> list[GradientCheck]:
    """Compare each from-scratch layer with autograd in float64, where rounding is about 1e-16."""
    batch, features, classes = 32, 96, 10
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.randn(batch, features, dtype=torch.float64)
        y = torch.randint(classes, (batch,))
        mlp = layers.MLP(features, classes, [64, 64], dropout=0.5, wstd=0.1, dtype=torch.float64)
        checked: dict[str, tuple[layers.Layer, torch.Tensor | None]] = {
            "ReLU": (layers.ReLU(), None),
            "LeakyReLU": (layers.LeakyReLU(alpha=0.1), None),
            "Sigmoid": (layers.Sigmoid(), None),
            "TanH": (layers.TanH(), None),
            "Linear": (layers.Linear(features, classes, dtype=torch.float64), None),
            "CrossEntropyLoss": (layers.CrossEntropyLoss(), y),
            "Dropout": (layers.Dropout(p=0.5), None),
            "MLP (three linear layers, ReLU, dropout)": (mlp, None),
        }
        rows = []
        for name, (layer, labels) in checked.items():
            by_input, *by_parameters = compare_layer_to_torch(layer, x, labels)
            rows.append(GradientCheck(name, by_input, max(by_parameters, default=None)))
    return rows


class BlockCost(NamedTuple):
    """What a residual block costs and sees."""

    weights: int  # of the convolutions, without biases: as many multiply-adds per pixel
    parameters: int
    field: int  # side of the square of input pixels that one output pixel depends on
    rank: int  # the fewest channels on the main path


def measure_block(block: ResidualBlock) -> BlockCost:
    """Count on the block itself, whose convolutions have stride 1 and keep the image's size."""
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    return BlockCost(
        weights=sum(convolution.weight.numel() for convolution in convolutions),
        parameters=count_parameters(block),
        field=1 + sum(convolution.kernel_size[0] - 1 for convolution in convolutions),
        rank=min(convolution.out_channels for convolution in convolutions),
    )


def compare_blocks(
    channels: int = BLOCK_CHANNELS, inner: int = BOTTLENECK_CHANNELS
) -> tuple[BlockCost, BlockCost]:
    """Return the costs of a regular block and of a bottleneck on the same channels."""
    regular = ResidualBlock(channels, [channels] * 2, [KERNEL] * 2)
    bottleneck = ResidualBottleneckBlock(channels, [inner], [KERNEL])
    return measure_block(regular), measure_block(bottleneck)


def list_block_ratios() -> pd.DataFrame:
    """Return weights of both blocks by channels, at the bottleneck's ratio of the question."""
    rows = []
    for channels in (32, 64, 128, BLOCK_CHANNELS):
        inner = channels * BOTTLENECK_CHANNELS // BLOCK_CHANNELS
        regular, bottleneck = compare_blocks(channels, inner)
        rows.append(
            {
                "Channels": channels,
                "in the bottleneck": inner,
                "Weights, regular block": f"{regular.weights:,}",
                "Weights, bottleneck": f"{bottleneck.weights:,}",
                "Ratio": format_number(regular.weights / bottleneck.weights),
            }
        )
    return pd.DataFrame(rows)


def measure_field(num_conv: int, pool_every: int) -> int:
    """Return the side of the square of pixels that one entry of the last feature map depends on.

    The padding is part of it, so that it can exceed the image.
    """
    field, step = 1, 1  # in pixels of the image
    for number in range(1, num_conv + 1):
        field += (KERNEL - 1) * step
        if number % pool_every == 0:
            field += (POOL - 1) * step
            step *= POOL
    return field


def count_head(widths: str, num_conv: int, pool_every: int, hidden: int) -> int:
    """Return the parameters of the first linear layer, whose input is the last feature map."""
    side = IMAGE_SHAPE[0] >> (num_conv // pool_every)  # each pool halves it
    return (int(widths.rpartition("-")[2]) * side**2 + 1) * hidden


def read_rates() -> str:
    """Return what ``search/README.md`` says of the learning rates of part 3, as Markdown."""
    section = SEARCH.read_text(encoding="utf-8").partition("## `part3_rates.yaml`")[2]
    return section.partition("\n")[2].strip()


def list_networks(study: Study, experiment: str) -> pd.DataFrame:
    """Return the receptive field and the parameters of each network with a hidden layer."""
    runs = select(study.runs, experiment=experiment).drop_duplicates("run")
    rows = []
    for run in runs.to_dict("records"):
        hidden = run.get("architecture.hidden_dims")
        if not isinstance(hidden, list) or not hidden:
            continue
        pool_every = int(run["architecture.pool_every"])
        head = count_head(run["widths"], run["num_conv"], pool_every, hidden[0])
        field = measure_field(run["num_conv"], pool_every)
        rows.append(
            {
                "Network": describe_size(run["depth"], run["widths"]),
                "Convolutions per pool": pool_every,
                "Receptive field": f"{field} × {field}",
                "Parameters": f"{run['parameters']:,}",
                "First linear layer": f"{100 * head / run['parameters']:.0f} %",
            }
        )
    return pd.DataFrame(rows)
