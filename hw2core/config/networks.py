"""Defines the models that a run can name, each with its class, architecture keys and backend.

To add a model, write one module with its class, an ``Architecture``, and an entry in ``MODELS``.
"""

from __future__ import annotations

import abc
import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from hw2core.config.errors import refuse
from hw2core.config.fields import (
    MAX_CONVS,
    Convolutions,
    Count,
    Flag,
    Fraction,
    Limit,
    Number,
    Width,
)
from hw2core.config.schema import Frozen
from hw2core.data.arrays import IMAGE_SHAPE

IMAGE_SIZE = IMAGE_SHAPE[0]
IN_SIZE = (3, IMAGE_SIZE, IMAGE_SIZE)  # (C, H, W) of all data sets
TEN = 10  # classes of CIFAR-10 and others
# Each 2x2 pool halves the image, so that at most log2(32) = 5 pools leave a pixel.
MAX_POOLS = IMAGE_SIZE.bit_length() - 1
Widths = Annotated[tuple[Width, ...], Field(max_length=100)]


def _make_tuples(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return keywords as PyTorch's classes take them, with sizes as pairs, which JSON has not."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in keywords.items()}


def _is_empty(keywords: dict[str, Any]) -> bool:
    return not keywords


# Keywords of PyTorch's classes, which check them: for ``run_experiment``, not for config.yaml.
Keywords = SkipJsonSchema[Annotated[dict[str, Any], AfterValidator(_make_tuples)]]
KEYWORDS = ("conv_params", "activation_params", "pooling_params")


class Architecture(Frozen):
    """Base of the ``architecture`` section; each model has a subclass with its keys."""

    @property
    def name_suffix(self) -> str:
        """The end of a run's name; empty for a model without one."""
        return ""

    @abc.abstractmethod
    def build_arguments(self, num_classes: int = TEN) -> dict[str, Any]:
        """Return the arguments of the model class, under the course's names."""


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


class ConvolutionalArchitecture(Architecture):
    """Keys of every network with N = L * len(K) convolutions and a linear head."""

    filters_per_layer: Widths = Field(min_length=1)
    """Number of output channels K of the convolutions in each stage."""
    layers_per_block: Convolutions
    """Number of convolutions L in each stage."""
    pool_every: Count = Field(0, json_schema_extra={"default": None})
    """Number of convolutions before each pooling layer; give either this or ``pools``."""
    pools: Limit = Field(None, exclude=True)
    """Maximum number of pooling layers, evenly spaced between the N convolutions.

    It sets pool_every = ceil(N / pools), also in a grid over depths.
    """
    hidden_dims: Widths
    """Widths of the hidden linear layers; empty for none."""
    activation_type: Literal["relu", "lrelu", "gelu", "silu", "elu"] = "relu"
    """Activation function after each convolution and hidden layer."""
    pooling_type: Literal["max", "avg"] = "max"
    """Pooling function: maximum or average."""
    # Newer than published results, which do not have them.
    conv_params: Keywords = Field({}, exclude_if=_is_empty)
    """Keyword arguments of the convolutions, in addition to those of 3x3."""
    activation_params: Keywords = Field({}, exclude_if=_is_empty)
    """Keyword arguments of the activation functions."""
    pooling_params: Keywords = Field({}, exclude_if=_is_empty)
    """Keyword arguments of the pooling layers, in addition to those of 2x2."""

    @model_validator(mode="after")
    def _place_pools(self) -> ConvolutionalArchitecture:
        num_convs = len(self.filters_per_layer) * self.layers_per_block
        if num_convs > MAX_CONVS:
            raise refuse(
                "layers_per_block", f"{num_convs} convolutions: must be at most {MAX_CONVS} in all"
            )
        spread = -(-num_convs // self.pools) if self.pools else self.pool_every
        if spread == 0 or self.pool_every not in (0, spread):
            raise refuse("pool_every", "give either pool_every or pools (one of the two)")
        # With other convolutions and pools the network itself finds out.
        plain = not self.conv_params and not self.pooling_params
        if plain and num_convs // spread > MAX_POOLS:
            raise refuse(
                "pool_every" if self.pools is None else "pools",
                f"{num_convs} convolutions with a pool every {spread} leave an empty feature map: "
                f"{IMAGE_SIZE}x{IMAGE_SIZE} images allow {MAX_POOLS} pools, so pool_every must be "
                f"at least {num_convs // (MAX_POOLS + 1) + 1}",
            )
        # Equal architectures compare equal, whichever of the keys is given; the model is frozen.
        object.__setattr__(self, "pool_every", spread)
        object.__setattr__(self, "pools", None)
        return self

    @property
    def channels(self) -> list[int]:
        """Channels of each convolution in order: every K repeated L times."""
        return [k for k in self.filters_per_layer for _ in range(self.layers_per_block)]

    @property
    def name_suffix(self) -> str:
        """The end of a run's name, as in ``exp1_3_L2_K64-128-256``."""
        return f"L{self.layers_per_block}_K{'-'.join(map(str, self.filters_per_layer))}"

    def build_arguments(self, num_classes: int = TEN) -> dict[str, Any]:
        """Return the arguments of the model class, under the course's names."""
        special = {"filters_per_layer", "layers_per_block", "hidden_dims"}
        return {
            "in_size": IN_SIZE,
            "out_classes": num_classes,
            "channels": self.channels,
            "hidden_dims": list(self.hidden_dims),
            **self.model_dump(exclude=special),
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

    dropout: Fraction = 0.0
    """Probability of a channel to be zeroed after each convolution of a block but the last.

    Like ``activation_type``, it has no effect in a block of one convolution (pool_every: 1).
    """


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
