"""Helpers of the tests of networks."""

from __future__ import annotations

from torch import nn

from hw2core.cnn.residual import ResidualBlock
from hw2core.cnn.yourcodenet import PreActivationBlock

WORDS = {
    **{"MaxPool2d": "pool", "AvgPool2d": "pool", "AdaptiveAvgPool2d": "average"},
    **{"BatchNorm2d": "norm", "ReLU": "act", "LeakyReLU": "act"},
    **{"Dropout": "drop", "Dropout2d": "drop"},
}


def describe(layers):
    """One entry per layer: channels of a convolution, "L10" of a Linear, a list of a block."""
    found = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            found.append(layer.out_channels)
        elif isinstance(layer, nn.Linear):
            found.append(f"L{layer.out_features}")
        elif isinstance(layer, ResidualBlock | PreActivationBlock):
            found.append([m.out_channels for m in layer.main_path if isinstance(m, nn.Conv2d)])
        else:
            found.append(WORDS[type(layer).__name__])
    return found


def list_modules(model, *kinds):
    """The modules of some kinds, in order."""
    return [module for module in model.modules() if isinstance(module, kinds)]
