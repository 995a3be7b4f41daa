"""Registry of models: the class, the architecture keys and the backend of each.

To add a model, write one module with its class, an ``Architecture``, and an entry in ``MODELS``.
"""

from __future__ import annotations

from typing import NamedTuple

from hw2core.config.architectures import (
    Architecture,
    ConvArchitecture,
    MLPArchitecture,
    ResNetArchitecture,
    YourCodeNetArchitecture,
)


class Backend(NamedTuple):
    """One of the two ways to train: with autograd, or with the from-scratch layers.

    Attributes:
        trainer: the function that builds a run's trainer, as ``module:function``.
        optimizers: the values of ``training.optimizer`` that it supports.
    """

    trainer: str
    optimizers: tuple[str, ...]


class ModelEntry(NamedTuple):
    """A model that runs can name.

    Attributes:
        implementation: the class, as ``module:Class``. A path, so that reading a configuration
            does not import torch and a run's code hash holds no other model's module.
        architecture: the schema of its ``architecture`` section.
        backend: how it is trained.
    """

    implementation: str
    architecture: type[Architecture]
    backend: Backend


AUTOGRAD = Backend("hw2core.engine.torch_trainer:build_trainer", ("sgd", "adamw"))
FROM_SCRATCH = Backend(
    "hw2core.engine.layer_trainer:build_trainer", ("vanilla", "momentum", "rmsprop")
)

MODELS: dict[str, ModelEntry] = {
    "cnn": ModelEntry("hw2core.cnn.conv:ConvClassifier", ConvArchitecture, AUTOGRAD),
    "resnet": ModelEntry("hw2core.cnn.residual:ResNetClassifier", ResNetArchitecture, AUTOGRAD),
    "ycn": ModelEntry("hw2core.cnn.yourcodenet:YourCodeNet", YourCodeNetArchitecture, AUTOGRAD),
    "mlp": ModelEntry("hw2core.layers.mlp:MLP", MLPArchitecture, FROM_SCRATCH),
}
