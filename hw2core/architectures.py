"""What a person may say of a network, and which class builds it: the registry of models.

A new model is one file that holds the class and one entry in ``MODELS``.
"""

from __future__ import annotations

import abc
import math
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

IMAGE_SIZE = 32
IN_SIZE = (3, IMAGE_SIZE, IMAGE_SIZE)  # (C, H, W) of both data sets
NUM_CLASSES = 10
# Each 2x2 pool halves the image; the last one that leaves a pixel is log2(32) = 5.
MAX_POOLS = IMAGE_SIZE.bit_length() - 1


def _read_number(value: object) -> object:
    """Read what YAML (1e-3) and a command line (seeds=[0]) take for words as numbers."""
    if isinstance(value, str):
        for kind in (int, float):
            with suppress(ValueError):
                return kind(value)
    return value


Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=0), BeforeValidator(_read_number)]
Count = Annotated[int, Field(strict=True, ge=1), BeforeValidator(_read_number)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False), BeforeValidator(_read_number)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]


class Frozen(BaseModel):
    """Base of all configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(Frozen):
    """Keywords of a model; ``name_suffix`` is the end of its runs' names."""

    @property
    def name_suffix(self) -> str:
        """What a run's name says of its architecture, behind experiment and label."""
        return ""

    @abc.abstractmethod
    def build_arguments(self) -> dict[str, Any]:
        """Arguments for the model class, under the course's names."""


class MLPArchitecture(Architecture):
    """Keywords of ``model: mlp``, the from-scratch network of part 2."""

    hidden_dims: tuple[Count, ...]
    activation: Literal["relu", "sigmoid"] = "relu"
    dropout: Annotated[Number, Field(ge=0, le=1)] = 0.0
    wstd: Number = Field(ge=0)

    def build_arguments(self) -> dict[str, Any]:
        """Arguments of ``hw2core.layers.MLP``."""
        return {
            "in_features": math.prod(IN_SIZE),
            "num_classes": NUM_CLASSES,
            "hidden_features": list(self.hidden_dims),
            **self.model_dump(exclude={"hidden_dims"}),
        }


class ConvolutionalArchitecture(Architecture):
    """Keywords of a network of N = L * len(K) convolutions of 3x3 in front of a linear head.

    Pools are given either as ``pool_every`` (P convolutions before each) or as ``pools`` (at most
    so many, evenly spaced: P = ceil(N / pools)), which a grid over depths needs.
    """

    filters_per_layer: tuple[Count, ...] = Field(min_length=1)
    layers_per_block: Count
    pool_every: Count = 0  # 0: not given, worked out from ``pools``
    pools: Count | None = Field(None, exclude=True)
    hidden_dims: tuple[Count, ...]

    @model_validator(mode="after")
    def _place_pools(self) -> ConvolutionalArchitecture:
        # Run again on a finished value, this finds the two in agreement.
        spread = -(-len(self.channels) // self.pools) if self.pools else self.pool_every
        if spread == 0 or self.pool_every not in (0, spread):
            raise PydanticCustomError(
                "pools", "give either pool_every or pools (one of the two)", {"key": "pool_every"}
            )
        # Frozen for everyone else: this is still the making of the value.
        object.__setattr__(self, "pool_every", spread)
        num_convs, key = len(self.channels), "pool_every" if self.pools is None else "pools"
        if num_convs // self.pool_every > MAX_POOLS:
            raise PydanticCustomError(
                "empty_feature_map",
                "{convs} convolutions with a pool every {every} leave an empty feature map: "
                "{size}x{size} images allow {most} pools, so pool_every must be at least {least}",
                {
                    "key": key,
                    "convs": num_convs,
                    "every": self.pool_every,
                    "size": IMAGE_SIZE,
                    "most": MAX_POOLS,
                    "least": num_convs // (MAX_POOLS + 1) + 1,
                },
            )
        return self

    @property
    def channels(self) -> list[int]:
        """Width of each convolution in order: every K repeated L times."""
        return [k for k in self.filters_per_layer for _ in range(self.layers_per_block)]

    @property
    def name_suffix(self) -> str:
        """The end of a run's name, as in ``exp1_3_L2_K64-128-256``."""
        return f"L{self.layers_per_block}_K{'-'.join(map(str, self.filters_per_layer))}"

    def build_arguments(self) -> dict[str, Any]:
        """Arguments for the model class, under the course's names."""
        special = {"filters_per_layer", "layers_per_block", "hidden_dims"}
        return {
            "in_size": IN_SIZE,
            "out_classes": NUM_CLASSES,
            "channels": self.channels,
            "hidden_dims": list(self.hidden_dims),
            **self.model_dump(exclude=special),
        }


class ConvArchitecture(ConvolutionalArchitecture):
    """Keywords of ``model: cnn``."""

    activation_type: Literal["relu", "lrelu"] = "relu"
    pooling_type: Literal["max", "avg"] = "max"
    batchnorm: Flag = False
    initialization: Literal["default", "he"] = "default"


class ResNetArchitecture(ConvArchitecture):
    """Keywords of ``model: resnet``: one residual block for every ``pool_every`` convolutions."""

    dropout: Fraction = 0.0


class YourCodeNetArchitecture(ConvolutionalArchitecture):
    """Keywords of ``model: ycn``, the custom network of experiment 2."""

    dropout: Fraction = 0.0
    shortcuts: Flag = True
    batchnorm: Flag = True
    squeeze_excitation: Flag = True
    head: Literal["average", "flatten"] = "average"


class Half(NamedTuple):
    """One of the two ways to train: by autograd, or by the from-scratch layers.

    Attributes:
        trainer: what builds a run's trainer, as ``module:function``.
        optimizers: the values of ``training.optimizer`` that it knows.
    """

    trainer: str
    optimizers: tuple[str, ...]


class ModelEntry(NamedTuple):
    """A model that runs can name.

    Attributes:
        implementation: where the class is, as ``module:Class``. A path and not the class, so that
            reading a configuration imports no torch, and so that the code hash of a run holds its
            own model's module and no other's.
        keywords: the schema of its configuration.
        half: how it is trained.
    """

    implementation: str
    keywords: type[Architecture]
    half: Half


AUTOGRAD = Half("hw2core.torch_training:build_trainer", ("sgd", "adamw"))
FROM_SCRATCH = Half("hw2core.layer_training:build_trainer", ("vanilla", "momentum", "rmsprop"))

MODELS: dict[str, ModelEntry] = {
    "cnn": ModelEntry("hw2core.cnn.conv:ConvClassifier", ConvArchitecture, AUTOGRAD),
    "resnet": ModelEntry("hw2core.cnn.residual:ResNetClassifier", ResNetArchitecture, AUTOGRAD),
    "ycn": ModelEntry("hw2core.cnn.yourcodenet:YourCodeNet", YourCodeNetArchitecture, AUTOGRAD),
    "mlp": ModelEntry("hw2core.layers:MLP", MLPArchitecture, FROM_SCRATCH),
}
