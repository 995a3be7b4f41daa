"""Defines convolutional classifiers in PyTorch: plain, residual, and the study's own network.

Names are imported when first used (PEP 562), so that the code hash of a run does not cover the
other architectures.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from hw2core.cnn.conv import ConvClassifier as ConvClassifier
    from hw2core.cnn.residual import ResidualBlock as ResidualBlock
    from hw2core.cnn.residual import ResidualBottleneckBlock as ResidualBottleneckBlock
    from hw2core.cnn.residual import ResNetClassifier as ResNetClassifier
    from hw2core.cnn.yourcodenet import YourCodeNet as YourCodeNet

# Read by runs.imports, which follows the names that a run uses.
_MODULE_OF = {
    "ConvClassifier": "conv",
    "ResNetClassifier": "residual",
    "ResidualBlock": "residual",
    "ResidualBottleneckBlock": "residual",
    "YourCodeNet": "yourcodenet",
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> type[nn.Module]:
    """Import the module that defines ``name`` on first access."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
    found: type[nn.Module] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
