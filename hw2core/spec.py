"""One run, fully specified: model, training and data, typed, frozen and with one canonical form."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hw2core.architectures import (
    FROM_SCRATCH,
    MODELS,
    NUM_CLASSES,
    Architecture,
    Count,
    Flag,
    Fraction,
    Frozen,
    Number,
    Whole,
)

# Below these sizes a result is not the study's and is marked as reduced wherever it is shown.
STUDY_SIZES = (20_000, 6_000, 10_000)  # training, validation, test
CIFAR10_POOL, CIFAR10_TEST = 50_000, 10_000
# What the from-scratch half does without, and the values that say so.
NOT_FROM_SCRATCH: dict[str, tuple[object, ...]] = {
    "schedule": ("constant",),
    "nesterov": (False,),
    "label_smoothing": (0.0,),
    "clip_norm": (None,),
    "average": (0.0,),
    "precision": ("auto", "fp32"),
}


class DataSpec(Frozen):
    """Which images a run trains, validates and is tested on.

    ``pool`` and ``test_pool`` are the sizes of the data set's own two files; ``train`` and
    ``validation`` are drawn from the pool (stratified, by ``split_seed``), ``test`` is the first
    part of the test file. ``root`` is where CIFAR-10 lies on this machine; it is no property of
    the run and leaves no trace in results.
    """

    name: Literal["cifar10", "generated"]
    pool: Count = CIFAR10_POOL
    test_pool: Count = CIFAR10_TEST
    train: Count
    validation: Count
    test: Count = CIFAR10_TEST
    split_seed: Whole = 0
    root: Path | None = Field(None, exclude=True)

    @model_validator(mode="after")
    def _check_sizes(self) -> DataSpec:
        if self.name == "cifar10" and (self.pool, self.test_pool) != (CIFAR10_POOL, CIFAR10_TEST):
            raise _refuse("pool", f"CIFAR-10 has {CIFAR10_POOL} + {CIFAR10_TEST} images")
        if self.pool % NUM_CLASSES:
            raise _refuse("pool", f"must be a multiple of {NUM_CLASSES}: as many of each class")
        if self.train + self.validation > self.pool:
            raise _refuse(
                "train",
                f"train + validation = {self.train} + {self.validation} must be at most "
                f"{self.pool}, the images there are",
            )
        if self.test > self.test_pool:
            raise _refuse("test", f"must be at most {self.test_pool}, the images there are")
        return self

    @property
    def folder(self) -> str:
        """Name of the prepared data set; splits of one data set share it."""
        if self.name == "cifar10":
            return self.name
        return f"{self.name}_{self.pool}_{self.test_pool}"


class TrainingSpec(Frozen):
    """How a run is trained. What has a default here is off unless the configuration asks for it."""

    epochs: Count
    batch_size: Count
    batches: Count | None = None  # batches an epoch; None: the whole training set
    optimizer: Literal["sgd", "adamw", "vanilla", "momentum", "rmsprop"]
    lr: Number = Field(gt=0)  # the peak, when the schedule has one
    momentum: Fraction = 0.0  # sgd and momentum only
    decay: Fraction = 0.99  # rmsprop only
    nesterov: Flag = False
    weight_decay: Number = Field(ge=0)
    schedule: Literal["constant", "one_cycle"]
    warmup: Fraction = 0.25  # share of the steps up to the peak of one_cycle
    label_smoothing: Fraction = 0.0
    clip_norm: Number | None = Field(None, gt=0)
    average: Fraction = 0.0  # weights averaged over this share of the steps; 0: none
    flip: Flag = False
    translate: Whole = 0  # pixels
    cutout: Whole = 0  # side of the square in pixels
    early_stopping: Count | None = None  # epochs without a lower validation loss
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: Flag = False  # on a GPU: the same numbers each time, slower; a CPU always is

    @model_validator(mode="after")
    def _check_nesterov(self) -> TrainingSpec:
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise _refuse("nesterov", "needs optimizer: sgd and a momentum above 0")
        return self


class RunSpec(Frozen):
    """One named run: what ``results/<name>`` holds for each seed."""

    name: str
    experiment: str
    model: str
    architecture: SerializeAsAny[Architecture]
    training: TrainingSpec
    data: DataSpec

    @field_validator("model")
    @classmethod
    def _check_model(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"must be one of {', '.join(MODELS)}")
        return model

    @field_validator("architecture", mode="plain")
    @classmethod
    def _read_architecture(cls, value: Any, info: ValidationInfo) -> Any:
        model = info.data.get("model")  # absent when it was refused: that error is enough
        return value if model is None else MODELS[model].keywords.model_validate(value)

    @model_validator(mode="after")
    def _check_half(self) -> RunSpec:
        half = MODELS[self.model].half
        if self.training.optimizer not in half.optimizers:
            allowed = f"model: {self.model} has the optimizers {', '.join(half.optimizers)}"
            raise _refuse("training.optimizer", f"{self.training.optimizer!r}: {allowed}")
        if half is FROM_SCRATCH:
            for key, only in NOT_FROM_SCRATCH.items():
                if (value := getattr(self.training, key)) not in only:
                    raise _refuse(
                        f"training.{key}", f"{value!r}: model: {self.model} knows only {only[0]!r}"
                    )
        return self

    @property
    def study_size(self) -> bool:
        """Whether the images are what the study asks for: CIFAR-10, and enough of it.

        For the from-scratch half, small sets are what the course asks for.
        """
        sizes = (self.data.train, self.data.validation, self.data.test)
        enough = all(size >= least for size, least in zip(sizes, STUDY_SIZES, strict=True))
        small_by_design = MODELS[self.model].half is FROM_SCRATCH
        return self.data.name == "cifar10" and (enough or small_by_design)

    @property
    def implementation(self) -> str:
        """The class of the model, as ``module:Class``."""
        return MODELS[self.model].implementation

    @property
    def trainer(self) -> str:
        """What builds the trainer, as ``module:function``."""
        return MODELS[self.model].half.trainer

    def describe(self, seed: int) -> dict[str, Any]:
        """Return the whole spec of one seed as plain JSON values, as a result's ``config``."""
        return {**self.model_dump(mode="json"), "seed": seed}

    def to_json(self) -> str:
        """Return the one canonical text of this spec: sorted keys, nothing of this machine."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def hash_config(config: dict[str, Any]) -> str:
    """Hash what decides the outcome of a run, given a ``RunSpec.describe`` or a result's config.

    The names are left out: the same network under another name is the same training.
    """
    decisive = {key: value for key, value in config.items() if key not in ("name", "experiment")}
    text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse(key: str, message: str) -> PydanticCustomError:
    """Make a validation error that says which key it is about."""
    # The message goes in as a value: braces in it are not a template.
    return PydanticCustomError("refused", "{message}", {"key": key, "message": message})
