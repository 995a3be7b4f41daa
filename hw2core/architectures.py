"""What a person may say of a network, and which class builds it: the registry of models.

A new model is one file that holds the class and one entry in ``MODELS``.
"""

from __future__ import annotations

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
    def _place_pools(self) -> Architecture:
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


class ConvArchitecture(Architecture):
    """Keywords of ``model: cnn``."""

    activation_type: Literal["relu", "lrelu"] = "relu"
    pooling_type: Literal["max", "avg"] = "max"


class ResNetArchitecture(ConvArchitecture):
    """Keywords of ``model: resnet``: one residual block for every ``pool_every`` convolutions."""

    batchnorm: Flag = False
    dropout: Fraction = 0.0


class YourCodeNetArchitecture(Architecture):
    """Keywords of ``model: ycn``, the custom network of experiment 2."""

    dropout: Fraction = 0.0


class ModelEntry(NamedTuple):
    """A model that runs can name.

    Attributes:
        implementation: where the class is, as ``module:Class``. A path and not the class, so that
            reading a configuration imports no torch, and so that the code hash of a run holds its
            own model's module and no other's.
        keywords: the schema of its configuration.
    """

    implementation: str
    keywords: type[Architecture]


MODELS: dict[str, ModelEntry] = {
    "cnn": ModelEntry("hw2core.cnn.conv:ConvClassifier", ConvArchitecture),
    "resnet": ModelEntry("hw2core.cnn.residual:ResNetClassifier", ResNetArchitecture),
    "ycn": ModelEntry("hw2core.cnn.yourcodenet:YourCodeNet", YourCodeNetArchitecture),
}
