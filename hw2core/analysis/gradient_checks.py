"""The gradient-check table: each hand-written layer judged by autograd when the report is built."""

from __future__ import annotations

from typing import NamedTuple

import torch

from hw2core import layers
from hw2core.grad_check import compare_layer_to_torch

BATCH, IN_FEATURES, CLASSES = 32, 96, 10


class GradientCheck(NamedTuple):
    """A layer and the norms ‖by hand - autograd‖ of its gradients: input, and worst parameter."""

    name: str
    by_input: float
    by_parameters: float | None


def check_gradients(seed: int = 0) -> list[GradientCheck]:
    """Return one row per kind of layer, in float64, where rounding is about 1e-16."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.randn(BATCH, IN_FEATURES, dtype=torch.float64)
        y = torch.randint(CLASSES, (BATCH,))
        mlp = layers.MLP(IN_FEATURES, CLASSES, [64, 64], dropout=0.5, wstd=0.1, dtype=torch.float64)
        checked: dict[str, tuple[layers.Layer, torch.Tensor | None]] = {
            "ReLU": (layers.ReLU(), None),
            "LeakyReLU": (layers.LeakyReLU(alpha=0.1), None),
            "Sigmoid": (layers.Sigmoid(), None),
            "TanH": (layers.TanH(), None),
            "Linear": (layers.Linear(IN_FEATURES, CLASSES, dtype=torch.float64), None),
            "CrossEntropyLoss": (layers.CrossEntropyLoss(), y),
            "Dropout": (layers.Dropout(p=0.5), None),
            "MLP (three linear layers, ReLU, dropout)": (mlp, None),
        }
        rows = []
        for name, (layer, labels) in checked.items():
            by_input, *by_parameters = compare_layer_to_torch(layer, x, labels)
            rows.append(GradientCheck(name, by_input, max(by_parameters, default=None)))
    return rows
