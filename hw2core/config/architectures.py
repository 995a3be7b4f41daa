"""Defines the keys that the networks of ``networks`` have in common."""

from __future__ import annotations

import abc
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic.json_schema import SkipJsonSchema

from hw2core.config.errors import refuse
from hw2core.config.fields import MAX_CONVS, Convolutions, Count, Limit, Widths
from hw2core.config.schema import Frozen
from hw2core.data.arrays import IMAGE_SHAPE

IMAGE_SIZE = IMAGE_SHAPE[0]
IN_SIZE = (3, IMAGE_SIZE, IMAGE_SIZE)  # (C, H, W) of all data sets
TEN = 10  # classes of CIFAR-10 and others
# Each 2x2 pool halves the image, so that at most log2(32) = 5 pools leave a pixel.
MAX_POOLS = IMAGE_SIZE.bit_length() - 1


def _make_tuples(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return keywords as PyTorch's classes take them, with sizes as pairs, which JSON has not."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in keywords.items()}


def _is_empty(keywords: dict[str, Any]) -> bool:
    return not keywords


# Keywords of PyTorch's classes, which check them: for ``run_experiment``, not for config.yaml.
Keywords = SkipJsonSchema[Annotated[dict[str, Any], AfterValidator(_make_tuples)]]


class Architecture(Frozen):
    """Base of the ``architecture`` section; each model has a subclass with its keys."""

    @property
    def name_suffix(self) -> str:
        """The end of a run's name; empty for a model without one."""
        return ""

    @abc.abstractmethod
    def build_arguments(self, num_classes: int = TEN) -> dict[str, Any]:
        """Return the arguments of the model class, under the course's names."""


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

    def refuse_in_small_blocks(self, keys: Iterable[str], info: ValidationInfo) -> None:
        """Refuse values that need two convolutions without a pool between them.

        They would be recorded and shown, and the network would not have them. Results of before,
        which are read in a context, are trained networks all the same.
        """
        if info.context or min(self.pool_every, len(self.channels)) > 1:
            return
        sizes = f"layers_per_block: {self.layers_per_block}, pool_every: {self.pool_every}"
        for key in keys:
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                problem = f"{json.dumps(value)}: has no effect in blocks of one convolution"
                rule = f"must be {json.dumps(default)}, or give fewer pools"
                raise refuse(key, f"{problem} ({sizes}); {rule}")

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
