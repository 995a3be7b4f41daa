"""Defines the models that a run can name, each with its class, architecture keys and backend.

To add a model, write one module with its class, an ``Architecture``, and an entry in ``MODELS``.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, model_validator

from hw2core.config.architectures import (
    IMAGE_SIZE,
    IN_SIZE,
    TEN,
    Architecture,
    ConvolutionalArchitecture,
)
from hw2core.config.errors import refuse
from hw2core.config.fields import (
    Convolutions,  # noqa: F401 (for networks that are added here, as Limit and Width)
    Count,
    Flag,
    Fraction,
    Limit,  # noqa: F401
    Number,
    Width,  # noqa: F401
    Widths,
)


class MLPArchitecture(Architecture):
    """Keys of ``model: mlp``, the from-scratch network of part 2."""

    hidden_dims: Widths
    """Widths of the hidden linear layers; empty for none."""
    activation: Literal["relu", "sigmoid"] = "relu"
    """Activation function after each hidden layer."""
    dropout: Number = Field(0.0, ge=0, le=1)
    """Probability of a hidden unit to be zeroed."""
    wstd: Number = Field(ge=0, le=1000)
    """Standard deviation of the normal distribution of the initial weights."""

    def build_arguments(self, num_classes: int = TEN) -> dict[str, Any]:
        """Return the arguments of ``hw2core.layers.MLP``."""
        return {
            "in_features": math.prod(IN_SIZE),
            "num_classes": num_classes,
            "hidden_features": list(self.hidden_dims),
            **self.model_dump(exclude={"hidden_dims"}),
        }


class LayerOptions(ConvolutionalArchitecture):
    """Keys that ``model: cnn`` and ``model: resnet`` share."""

    batchnorm: Flag = False
    """Whether to add batch normalisation after each convolution."""
    initialization: Literal["default", "he"] = "default"
    """Weight initialisation: PyTorch's default, or He."""


class ConvArchitecture(LayerOptions):
    """Keys of ``model: cnn``."""

    # Newer than published results: at its default a result does not have it.
    dropout: Fraction = Field(0.0, exclude_if=lambda value: value == 0)
    """Probability of a channel to be zeroed after each convolution."""
    kernel_size: Count = Field(3, le=IMAGE_SIZE, exclude_if=lambda value: value == 3)
    """Size of the convolving kernel; odd, so that the padding keeps height and width."""

    @model_validator(mode="after")
    def _check_kernel(self) -> ConvArchitecture:
        if self.kernel_size % 2 == 0:
            raise refuse("kernel_size", f"{self.kernel_size}: must be odd")
        return self

    def build_arguments(self, num_classes: int = TEN) -> dict[str, Any]:
        """Return the arguments of ``ConvClassifier``."""
        arguments = super().build_arguments(num_classes)
        arguments.pop("kernel_size", None)
        conv_params = {"kernel_size": self.kernel_size, "padding": self.kernel_size // 2}
        return {**arguments, "conv_params": {**conv_params, **self.conv_params}}


class ResNetArchitecture(LayerOptions):
    """Keys of ``model: resnet``: one residual block for every ``pool_every`` convolutions."""

    batchnorm: Flag = False
    """Whether to add batch normalisation after each convolution of a block but the last."""
    dropout: Fraction = 0.0
    """Probability of a channel to be zeroed after each convolution of a block but the last."""

    @model_validator(mode="after")
    def _check_effects(self, info: ValidationInfo) -> ResNetArchitecture:
        # Hidden layers have an activation function, too.
        keys = ("batchnorm", "dropout", *(() if self.hidden_dims else ("activation_type",)))
        if type(self) is ResNetArchitecture:  # a subclass may have other blocks
            self.refuse_in_small_blocks(keys, info)
        return self


class YourCodeNetArchitecture(ConvolutionalArchitecture):
    """Keys of ``model: ycn``, the custom network of experiment 2."""

    dropout: Fraction = 0.0
    """Probability of a feature to be zeroed before the linear layers."""
    shortcuts: Flag = True
    """Whether to add a skip connection around each block."""
    batchnorm: Flag = True
    """Whether to add batch normalisation to the convolutions."""
    squeeze_excitation: Flag = True
    """Whether to scale the channels by squeeze-and-excitation."""
    head: Literal["average", "flatten"] = "average"
    """Input of the linear layers: global average pooling, or all features flattened."""

    @model_validator(mode="after")
    def _check_effects(self, info: ValidationInfo) -> YourCodeNetArchitecture:
        if type(self) is YourCodeNetArchitecture:  # as above
            self.refuse_in_small_blocks(("shortcuts", "squeeze_excitation"), info)
        return self


class Backend(NamedTuple):
    """One of the two ways to train: with autograd, or with the from-scratch layers."""

    trainer: str  # the class of a run's trainer, as ``module:Class``
    optimizers: tuple[str, ...]  # the values of ``training.optimizer`` that it supports


class ModelEntry(NamedTuple):
    """A model that runs can name."""

    # The class, as ``module:Class``, so that reading a configuration does not import torch and a
    # run's code hash covers no other model's module.
    implementation: str
    architecture: type[Architecture]
    backend: Backend


AUTOGRAD = Backend("hw2core.engine.torch_trainer:DeviceTrainer", ("sgd", "adamw"))
FROM_SCRATCH = Backend(
    "hw2core.engine.layer_trainer:ScratchTrainer", ("vanilla", "momentum", "rmsprop")
)

MODELS: dict[str, ModelEntry] = {
    "cnn": ModelEntry("hw2core.cnn.conv:ConvClassifier", ConvArchitecture, AUTOGRAD),
    "resnet": ModelEntry("hw2core.cnn.residual:ResNetClassifier", ResNetArchitecture, AUTOGRAD),
    "ycn": ModelEntry("hw2core.cnn.yourcodenet:YourCodeNet", YourCodeNetArchitecture, AUTOGRAD),
    "mlp": ModelEntry("hw2core.layers.mlp:MLP", MLPArchitecture, FROM_SCRATCH),
}
