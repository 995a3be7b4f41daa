"""The PyTorch half: convolutional classifiers, from the plain stack to the study's own network.

Names are imported when first used (PEP 562), so that ``import hw2core.cnn.conv`` loads no other
model and a change to one architecture leaves the code hash of the others' runs as it was.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from hw2core.cnn.conv import ConvClassifier
    from hw2core.cnn.residual import ResidualBlock, ResidualBottleneckBlock, ResNetClassifier
    from hw2core.cnn.yourcodenet import YourCodeNet

__all__ = [
    "ConvClassifier",
    "ResNetClassifier",
    "ResidualBlock",
    "ResidualBottleneckBlock",
    "YourCodeNet",
]

_MODULE_OF = {
    "ConvClassifier": "conv",
    "ResNetClassifier": "residual",
    "ResidualBlock": "residual",
    "ResidualBottleneckBlock": "residual",
    "YourCodeNet": "yourcodenet",
}


def __getattr__(name: str) -> type[nn.Module]:
    """Import the module that defines ``name`` on first access."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
    found: type[nn.Module] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
