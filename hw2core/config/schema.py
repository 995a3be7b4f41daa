"""Defines the sections of config.yaml with their keys, allowed values and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hw2core.config.errors import refuse
from hw2core.config.fields import (
    MAX_RATE,
    READ,
    Count,
    Epochs,
    Flag,
    Fraction,
    Limit,
    Names,
    Number,
    Seeds,
    Share,
    Shift,
    Side,
    Text,
    Values,
)
from hw2core.config.grids import GridValues


class Frozen(BaseModel):
    """Base of all configuration: refuses unknown keys and cannot be changed.

    The docstring under a field is its description in the JSON Schema.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# Keys of the training section -> the other key, and its values, with which they have an effect.
NEEDS = {
    "momentum": ("optimizer", ("sgd", "momentum")),
    "nesterov": ("optimizer", ("sgd",)),
    "decay": ("optimizer", ("rmsprop",)),
    "warmup": ("schedule", ("one_cycle",)),
    "milestones": ("schedule", ("step",)),
    "gamma": ("schedule", ("step",)),
}


class RecipeSpec(Frozen):
    """Training options of a run. An optional key has no effect unless it is given."""

    # Never change a default: a run's identity leaves out keys with their default value.
    epochs: Epochs
    """Number of epochs."""
    batch_size: Count
    """Number of training images in each batch."""
    batches: Limit = None
    """Maximum number of batches per epoch; null: all whole batches of the training set."""
    optimizer: Literal["sgd", "adamw", "vanilla", "momentum", "rmsprop"]
    """Optimizer: sgd or adamw for cnn, resnet and ycn; vanilla, momentum or rmsprop for mlp."""
    lr: Number = Field(gt=0, le=MAX_RATE)
    """Learning rate: the initial value, or the maximum with schedule: one_cycle."""
    momentum: Fraction = 0.0
    """Momentum factor of the optimizers sgd and momentum."""
    decay: Fraction = 0.99
    """Smoothing constant of the squared gradients in rmsprop."""
    nesterov: Flag = False
    """Whether to use Nesterov momentum; requires optimizer: sgd and a momentum above 0."""
    weight_decay: Number = Field(ge=0, le=1000)
    """Weight decay coefficient; model: mlp applies it to biases too, the others to weights only."""
    schedule: Literal["constant", "one_cycle", "cosine", "step"]
    """Learning rate schedule."""
    warmup: Fraction = 0.25
    """Fraction of the steps in which one_cycle increases the learning rate to its maximum."""
    # These two are newer than published results: at their defaults a result does not have them.
    milestones: Annotated[tuple[Share, ...], Field(min_length=1, max_length=100)] = Field(
        (0.5, 0.75), exclude_if=lambda value: value == (0.5, 0.75)
    )
    """Fractions of the steps after which the schedule step decays the learning rate by gamma."""
    gamma: Share = Field(0.1, exclude_if=lambda value: value == 0.1)
    """Multiplicative factor of the learning rate decay at each milestone of the schedule step."""
    label_smoothing: Fraction = 0.0
    """Amount of label smoothing in the training loss."""
    average: Fraction = 0.0
    """Fraction of the steps over which the EMA of the weights averages; 0: no EMA."""
    flip: Flag = False
    """Whether to flip training images horizontally at random."""
    translate: Shift = 0
    """Maximum random translation of training images along each axis, in pixels; 0: none."""
    cutout: Side = 0
    """Side length of the square cut out of training images at random, in pixels; 0: none."""
    early_stopping: Limit = None
    """Number of epochs without a lower validation loss before training stops; null: never."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Floating-point precision; auto: bf16 on a GPU or CPU that multiplies it, otherwise fp32."""
    deterministic: Flag = False
    """Whether to use deterministic algorithms on a GPU, which is slower; a CPU always does."""

    @model_validator(mode="after")
    def _check_effects(self) -> RecipeSpec:
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise refuse("nesterov", "needs optimizer: sgd and a momentum above 0")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise refuse("milestones", f"{list(self.milestones)}: must rise")
        for key, (needed, values) in NEEDS.items():
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default and (other := getattr(self, needed)) not in values:
                value, default = (list(x) if isinstance(x, tuple) else x for x in (value, default))
                problem = f"{value!r}: has no effect with {needed}: {other}; must be {default}"
                raise refuse(key, problem)
        return self


def _list_grids(value: object) -> object:
    """Return a single grid as a list of one; several are a list already."""
    return [value] if isinstance(value, dict) else value


def _name_keys(value: object) -> object:
    """Return all names as text; YAML reads names such as 0.4 as numbers."""
    if not isinstance(value, dict):
        return value
    named = {str(key): entry for key, entry in value.items()}
    if len(named) < len(value):
        # From two merged files that write the name differently.
        (name, *_) = (n for n in named if sum(str(key) == n for key in value) > 1)
        raise ValueError(f"{name} is given as a number and as text; write both in quotes")
    return named


class RunEntry(Frozen):
    """Options of one labelled run, which override those of its experiment."""

    model: str | None = None
    """Model of the run."""
    architecture: Values = {}
    """Arguments of the model."""
    training: Values = {}
    """Training options that differ from the defaults."""
    data: Values = {}
    """Data options that differ from the defaults."""


class ExperimentEntry(RunEntry):
    """A question and the runs that answer it: one for each grid point and label."""

    question: Text
    """Question that the experiment answers."""
    varies: Text
    """Variables that differ between the runs."""
    fixed: Text
    """Settings that all runs share."""
    seeds: Annotated[Seeds | None, READ] = None
    """Seeds of this experiment; default: the seeds of the study."""
    grid: Annotated[list[dict[str, GridValues]], BeforeValidator(_list_grids)] = []
    """Values of each key, combined into one run per grid point; a list of grids: their union."""
    runs: Annotated[dict[str, RunEntry], BeforeValidator(_name_keys)] = {}
    """Runs by label, which becomes part of the run's name."""


class StudyOptions(Frozen):
    """Options that select a part of the study."""

    only: Names = None
    """Names of the experiments to run; null: all."""
    first_seed_only: Names = None
    """Names of runs that are trained with the first seed only, such as the most expensive."""


class StudyEntry(Frozen):
    """The whole config.yaml."""

    data: Values
    """Default data options of all runs."""
    training: Values
    """Default training options of all runs."""
    seeds: Seeds
    """Seeds; each run is trained once per seed."""
    experiments: Annotated[
        dict[str, ExperimentEntry], Field(min_length=1), BeforeValidator(_name_keys)
    ]
    """Experiments by name; the names of their runs and targets begin with it."""
    study: StudyOptions = StudyOptions()
    """Selection of the experiments to run."""
