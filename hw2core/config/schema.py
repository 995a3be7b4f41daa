"""Defines the sections of config.yaml with their keys, allowed values and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hw2core.config.errors import refuse
from hw2core.config.fields import (
    MAX_RATE,
    Count,
    Epochs,
    Flag,
    Fraction,
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
    """How a run is trained. An optional key changes nothing unless it is given."""

    # Never change a default: a run's identity leaves out keys with their default value.
    epochs: Epochs
    """Number of epochs."""
    batch_size: Count
    """Images per batch."""
    batches: Count | None = None
    """Batches per epoch, at most; null: the whole training set."""
    optimizer: Literal["sgd", "adamw", "vanilla", "momentum", "rmsprop"]
    """sgd and adamw train cnn, resnet and ycn; vanilla, momentum and rmsprop train mlp."""
    lr: Number = Field(gt=0, le=MAX_RATE)
    """Learning rate; its peak if the schedule has one."""
    momentum: Fraction = 0.0
    """Momentum of sgd and momentum."""
    decay: Fraction = 0.99
    """Decay of the squared gradients of rmsprop."""
    nesterov: Flag = False
    """Nesterov momentum; needs sgd with a momentum above 0."""
    weight_decay: Number = Field(ge=0, le=1000)
    """Weight decay; not applied to biases and normalisation."""
    schedule: Literal["constant", "one_cycle", "cosine", "step"]
    """Schedule of the learning rate."""
    warmup: Fraction = 0.25
    """Share of the steps up to the peak of one_cycle."""
    # These two are newer than published results: at their defaults a result does not have them.
    milestones: Annotated[tuple[Share, ...], Field(min_length=1, max_length=100)] = Field(
        (0.5, 0.75), exclude_if=lambda value: value == (0.5, 0.75)
    )
    """Shares of the steps after which step lowers the rate."""
    gamma: Share = Field(0.1, exclude_if=lambda value: value == 0.1)
    """Factor of the rate at each of the milestones of step."""
    label_smoothing: Fraction = 0.0
    """Label smoothing of the training loss."""
    average: Fraction = 0.0
    """EMA of the weights over about this share of the steps; 0: none."""
    flip: Flag = False
    """Random horizontal flips."""
    translate: Shift = 0
    """Largest random translation in both directions, in pixels."""
    cutout: Side = 0
    """Side of the square that is cut out at random, in pixels."""
    early_stopping: Count | None = None
    """Epochs without a lower validation loss before training stops; null: never."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic; auto: bf16 on a GPU that has it, otherwise fp32."""
    deterministic: Flag = False
    """Reproducible bits on a GPU, slower; on a CPU they always are."""

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
    """What one labelled run changes in its experiment."""

    model: str | None = None
    """The network."""
    architecture: Values = {}
    """Keys of the network."""
    training: Values = {}
    """Changes to the defaults of training."""
    data: Values = {}
    """Changes to the images."""


class ExperimentEntry(RunEntry):
    """A question and the runs that answer it: one for each grid point and label."""

    question: Text
    """The question."""
    varies: Text
    """What varies between the runs."""
    fixed: Text
    """What all runs have in common."""
    seeds: Seeds | None = None
    """Seeds of this experiment, in place of the study's."""
    grid: Annotated[list[dict[str, GridValues]], BeforeValidator(_list_grids)] = []
    """Lists of values for keys of the architecture, all combined; several grids: their union."""
    runs: Annotated[dict[str, RunEntry], BeforeValidator(_name_keys)] = {}
    """Labelled runs; the label becomes part of the name."""


class StudyOptions(Frozen):
    """Which part of the study is planned."""

    only: Annotated[list[Text], Field(min_length=1)] | None = None
    """Experiments to plan; null: all."""


class StudyEntry(Frozen):
    """config.yaml as a whole."""

    data: Values
    """The images of all runs."""
    training: Values
    """Defaults of every run."""
    seeds: Seeds
    """Seeds that each run is trained with."""
    experiments: Annotated[
        dict[str, ExperimentEntry], Field(min_length=1), BeforeValidator(_name_keys)
    ]
    """The experiments by name; names of runs and targets begin with it."""
    study: StudyOptions = StudyOptions()
    """Which of the experiments are planned."""
