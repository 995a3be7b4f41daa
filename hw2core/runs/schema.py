"""Defines the files of a run, with types: its result, and its evaluation on the test images.

``schemas/`` has both as JSON Schema. Accuracies are in percent, losses in nats, times in seconds.
A number that is not finite, which JSON cannot hold, is null.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hw2core.history import FitResult

RESULT_FORMAT: Final = 3
EVALUATION_FORMAT: Final = 1


def _drop_not_finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Count = Annotated[int, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(ge=0)]
Number = Annotated[float | None, BeforeValidator(_drop_not_finite)]
Numbers = list[Number]


class Frozen(BaseModel):
    """Base of all parts: unknown keys are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Epochs(Frozen):
    """Curves, one value per epoch."""

    train_loss: Annotated[Numbers, Field(min_length=1)]
    """Mean training loss of the epoch, while the weights change."""
    train_accuracy: list[Percent]
    """Accuracy on the training images, while the weights change."""
    validation_loss: Numbers
    """Mean cross-entropy on the validation images after the epoch."""
    validation_accuracy: list[Percent]
    """Accuracy on the validation images after the epoch."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Epochs:
        if len({len(values) for _, values in self}) > 1:
            raise ValueError("all four curves must have one value per epoch")
        return self

    @classmethod
    def of(cls, history: FitResult) -> Epochs:
        """Return the curves of a fit whose test set is the validation split."""
        return cls.model_validate(dict(zip(cls.model_fields, history[1:], strict=True)))

    def as_fit_result(self) -> FitResult:
        """Return the inverse of ``of``; a loss that was not finite is None."""
        return FitResult(len(self.train_loss), *(values for _, values in self))

    def __len__(self) -> int:
        return len(self.train_loss)


class Layers(Frozen):
    """Statistics of each layer on a few validation images: a list per probed epoch."""

    names: list[str]
    """In the order of the forward pass: conv1, ..., fc1, ...; 1x1 convolutions are proj1, ..."""
    epochs: list[Count]
    """The probed epochs; 0 is before training."""
    gradient_norm: list[Numbers]
    """Root mean square of the loss gradient with respect to the layer's weight."""
    activation_std: list[Numbers]
    """Standard deviation of the output, after the activation where one follows."""
    dead_fraction: list[Numbers]
    """Share of channels or units whose ReLU gives 0 on every image; null without a ReLU."""


class Timing(Frozen):
    """How long the run took; ``seconds_training`` leaves out evaluation."""

    seconds: Seconds
    seconds_loading: Seconds
    seconds_training: Seconds
    seconds_per_epoch: list[Seconds]
    images_per_second: Seconds
    """Training images per second, median over the epochs."""


class Environment(Frozen):
    """The machine, the software and the settings that made the result."""

    device: str
    """As torch names it: cpu, cuda, mps."""
    processor: str
    """Model name of the CPU or GPU."""
    precision: Literal["fp32", "bf16"]
    threads: Annotated[int, Field(ge=1)]
    """CPU threads."""
    cuda_graph: bool
    """Whether training steps ran as one CUDA graph."""
    versions: dict[str, str]
    """Versions of python, torch and numpy."""
    git_commit: str | None
    """Commit of the code, with "-dirty" where tracked files differed from it."""


class Revalidation(Frozen):
    """A comparison that let a result of older code count as one of newer code."""

    commit: str
    """Commit of the older code."""
    date: str
    """Day of the comparison, YYYY-MM-DD."""
    compared: str
    """What was trained with both and found equal."""


class Result(Frozen):
    """What training a run with one seed gave: ``results/<run>/seed<k>.json``."""

    format: Literal[3] = RESULT_FORMAT
    config: dict[str, Any]
    """The whole run spec with its seed; enough to rebuild the network."""
    status: Literal["trained", "at_chance", "diverged"]
    """at_chance: no accuracy above 1.5 times chance level; diverged: a training loss not finite."""
    best_epoch: Annotated[int, Field(ge=1)]
    """The epoch of the highest validation accuracy; the weights are those after it."""
    epochs: Epochs
    parameters: Count
    """Trainable parameters."""
    flops_per_image: Count
    """Floating-point operations of the forward pass of one image; a multiply-add is two."""
    layers: Layers | None
    timing: Timing
    environment: Environment
    spec_hash: str
    """Hash of what decides the run, names left out: network, recipe, images and seed."""
    code: dict[str, str]
    """Hash of each module that decides trained numbers."""
    code_hash: str
    """One hash over ``code``."""
    data_sha256: str
    """Hash of the prepared images."""
    weights_sha256: str | None = None
    """Hash of the file of weights next to the result."""
    revalidated: list[Revalidation] = []
    same_as: str | None = None
    """The run that was trained in place of this one: same network, recipe, images and seed."""

    test: Evaluation | None = Field(None, exclude=True)
    """The evaluation, read from its own file."""

    @model_validator(mode="before")
    @classmethod
    def _drop_study_size(cls, values: Any) -> Any:
        # The first results of this format had it; the report now compares sizes itself.
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if key != "study_size"}
        return values

    @model_validator(mode="after")
    def _check_epoch(self) -> Result:
        if self.best_epoch > len(self.epochs):
            raise ValueError(
                f"best_epoch is {self.best_epoch}, but {len(self.epochs)} epochs were trained"
            )
        return self

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.config["name"])

    @property
    def experiment(self) -> str:
        """The experiment that asked for the run."""
        return str(self.config["experiment"])

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.config["seed"])

    @property
    def validation_accuracy(self) -> float:
        """Validation accuracy at the best epoch."""
        return self.epochs.validation_accuracy[self.best_epoch - 1]

    @property
    def validation_loss(self) -> float | None:
        """Validation loss at the best epoch."""
        return self.epochs.validation_loss[self.best_epoch - 1]


class Mistake(Frozen):
    """A test image that the network got wrong."""

    index: Count
    """Position in the test set."""
    label: Count
    predicted: Count
    probability: Annotated[float, Field(ge=0, le=1)]
    """What the network gave the predicted class."""


class Evaluation(Frozen):
    """What a run's weights do on the test images: ``results/<run>/seed<k>.test.json``.

    An evaluation that came with an older result lacks what was not measured then.
    """

    format: Literal[1] = EVALUATION_FORMAT
    run: str
    seed: Count
    num_images: Annotated[int, Field(ge=1)]
    accuracy: Percent
    loss: Number
    """Mean cross-entropy."""
    class_accuracy: list[Percent | None]
    """Accuracy on the images of each class; null for a class without images."""
    confusion: list[list[Count]]
    """Images of each true class (row) that were predicted as each class (column)."""
    calibration_error: Percent | None
    """Expected calibration error: mean gap between confidence and accuracy over 15 bins."""
    mistakes: list[Mistake]
    """Wrong predictions of the highest probability, most confident first."""
    code: str | None
    """Hash of the code that evaluates; null where the result came without."""
    data_sha256: str
    weights_sha256: str | None
    """Hash of the evaluated weights."""

    def is_of(self, result: Result) -> bool:
        """Return whether the weights are those of ``result``; without hashes, names decide."""
        if result.weights_sha256 is None and self.weights_sha256 is None:
            return (self.run, self.seed) == (result.name, result.seed)
        return self.weights_sha256 == result.weights_sha256


def measure_class_accuracy(confusion: list[list[int]]) -> list[float | None]:
    """Return the accuracy on each class, in percent; None for a class without images."""
    return [
        100.0 * row[label] / sum(row) if sum(row) else None for label, row in enumerate(confusion)
    ]


Result.model_rebuild()
