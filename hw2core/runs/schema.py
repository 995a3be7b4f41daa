"""Defines the types of a run's files: its result, and its evaluation on the test images.

``schemas/`` has both as JSON Schema. Accuracies are in percent, losses in nats, times in seconds.
A number that is not finite, which JSON cannot represent, is null.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from hw2core.config.errors import refuse
from hw2core.history import FitResult, ValidatedFit
from hw2core.runs import values as v
from hw2core.runs.values import Frozen

RESULT_FORMAT: Final = 3
EVALUATION_FORMAT: Final = 1


class Epochs(Frozen):
    """Curves, one value per epoch."""

    train_loss: v.Numbers = Field(min_length=1)
    """Mean training loss of the epoch, while the weights change."""
    train_accuracy: v.Percents
    """Accuracy on the training images, while the weights change."""
    validation_loss: v.Numbers
    """Mean cross-entropy on the validation images after the epoch."""
    validation_accuracy: v.Percents
    """Accuracy on the validation images after the epoch."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Epochs:
        for key, values in self:
            if len(values) != len(self):
                raise refuse(key, f"must have one value per epoch, {len(self)}")
        return self

    @classmethod
    def of(cls, history: FitResult) -> Epochs:
        """Return the curves of a fit whose test set is the validation split."""
        return cls.model_validate(dict(zip(cls.model_fields, history[1:], strict=True)))

    def as_fit_result(self) -> ValidatedFit:
        """Return the curves as a fit, the inverse of ``of``; a loss that was not finite is None."""
        return ValidatedFit(len(self.train_loss), *(values for _, values in self))

    def __len__(self) -> int:
        return len(self.train_loss)


class Layers(Frozen):
    """Statistics of each layer on a few validation images: a list per probed epoch."""

    names: list[v.Layer] = Field(max_length=v.MAX_LAYERS)
    """In the order of the forward pass: conv1, ..., fc1, ...; 1x1 convolutions are proj1, ..."""
    epochs: list[v.Epoch] = Field(max_length=v.MAX_PROBES)
    """The probed epochs; 0 is before training."""
    gradient_norm: v.Probed
    """Root mean square of the loss gradient with respect to the layer's weight."""
    activation_std: v.Probed
    """Standard deviation of the output, after the activation where one follows."""
    dead_fraction: v.Probed
    """Share of channels or units whose ReLU gives 0 on every image; null without a ReLU."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Layers:
        for key in ("gradient_norm", "activation_std", "dead_fraction"):
            values = getattr(self, key)
            if [len(row) for row in values] != [len(self.names)] * len(self.epochs):
                raise refuse(key, "must have a list per probed epoch, of one value per layer")
        return self


class Timing(Frozen):
    """How long the run took; ``seconds_training`` leaves out evaluation."""

    seconds: v.Seconds
    seconds_loading: v.Seconds
    seconds_training: v.Seconds
    seconds_per_epoch: v.Times
    images_per_second: v.Seconds
    """Training images per second, median over the epochs."""


class Environment(Frozen):
    """The machine, the software and the settings that made the result."""

    device: v.Words
    """As torch names it: cpu, cuda, mps."""
    processor: v.Words
    """Model name of the CPU or GPU."""
    precision: Literal["fp32", "bf16"]
    threads: v.Positive
    """CPU threads."""
    cuda_graph: bool
    """Whether training steps ran as one CUDA graph."""
    versions: dict[v.Words, v.Words] = Field(max_length=20)
    """Versions of python, torch and numpy."""
    git_commit: v.Words | None
    """Commit of the code, with "-dirty" where tracked files differed from it."""


class Revalidation(Frozen):
    """A comparison that let a result of older code count as one of newer code."""

    commit: v.Words
    """Commit of the older code."""
    date: v.Words
    """Day of the comparison, YYYY-MM-DD."""
    compared: v.Words
    """What was trained with both and found equal."""


class Mistake(Frozen):
    """A test image that the network got wrong."""

    index: v.Count
    """Position in the test set."""
    label: v.Class
    predicted: v.Class
    probability: float = Field(ge=0, le=1)
    """What the network gave the predicted class."""


class Evaluation(Frozen):
    """The metrics of a run's weights on the test images: ``results/<run>/seed<k>.test.json``.

    An evaluation that came with an older result lacks metrics that were not measured then.
    """

    format: Literal[1] = EVALUATION_FORMAT
    run: v.Name
    seed: v.Seed
    num_images: v.Positive
    accuracy: v.Percent
    loss: v.Number
    """Mean cross-entropy."""
    class_accuracy: v.ByClass[v.Percent | None]
    """Accuracy on the images of each class; null for a class without images."""
    confusion: v.Confusion
    """Images of each true class (row) that were predicted as each class (column)."""
    calibration_error: v.Percent | None
    """Expected calibration error: mean gap between confidence and accuracy over 15 bins."""
    mistakes: list[Mistake] = Field(max_length=1000)
    """Wrong predictions of the highest probability, most confident first."""
    code: v.Hash | None
    """Hash of the code that evaluates; null where the result came without."""
    data_sha256: v.Hash
    weights_sha256: v.Hash | None
    """Hash of the evaluated weights."""

    @model_validator(mode="after")
    def _check_sums(self) -> Evaluation:
        if self.num_images != sum(map(sum, self.confusion)):
            raise refuse("num_images", f"{self.num_images}: not the images in confusion")
        classes = len(self.confusion)
        if len(self.class_accuracy) != classes:
            raise refuse("class_accuracy", f"must have one per class in confusion, {classes}")
        if any(max(x.label, x.predicted) >= classes for x in self.mistakes):
            raise refuse("mistakes", f"label, predicted: must be less than {classes}")
        if any(mistake.index >= self.num_images for mistake in self.mistakes):
            raise refuse("mistakes", f"index: must be less than num_images, {self.num_images}")
        return self

    def is_of(self, result: Result) -> bool:
        """Return whether the weights are those of ``result``; without hashes, names decide."""
        if result.weights_sha256 is None and self.weights_sha256 is None:
            return (self.run, self.seed) == (result.name, result.seed)
        return self.weights_sha256 == result.weights_sha256


class Result(Frozen):
    """The result of training a run with one seed: ``results/<run>/seed<k>.json``."""

    format: Literal[3] = RESULT_FORMAT
    config: v.Config
    """The whole run spec with its seed; enough to rebuild the network."""
    best_epoch: v.Positive
    """The epoch of the highest validation accuracy; the weights are those after it."""
    epochs: Epochs
    parameters: v.Positive
    """Trainable parameters."""
    flops_per_image: v.Positive
    """Floating-point operations of the forward pass of one image; a multiply-add is two."""
    layers: Layers | None
    timing: Timing
    environment: Environment
    spec_hash: v.Hash
    """Hash of what decides the run, names left out: network, recipe, images and seed."""
    code: dict[v.Words, v.Hash] = Field(max_length=200)
    """Hash of each module that the trained numbers depend on."""
    code_hash: v.Hash
    """One hash over ``code``."""
    data_sha256: v.Hash
    """Hash of the prepared images."""
    weights_sha256: v.Hash | None = None
    """Hash of the file of weights next to the result."""
    revalidated: list[Revalidation] = Field([], max_length=100)
    same_as: v.Name | None = None
    """The run that was trained in place of this one: same network, recipe, images and seed."""

    test: Evaluation | None = Field(None, exclude=True)
    """The evaluation, read from its own file."""

    @model_validator(mode="after")
    def _check_epochs(self) -> Result:
        if self.best_epoch > (trained := len(self.epochs)):
            problem = f"best_epoch is {self.best_epoch}, but {trained} epochs were trained"
            raise refuse("best_epoch", problem)
        if len(self.timing.seconds_per_epoch) != trained:
            raise refuse("timing.seconds_per_epoch", f"must have one value per epoch, {trained}")
        return self

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.config["name"])

    @property
    def experiment(self) -> str:
        """The name of the experiment."""
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


def measure_class_accuracy(confusion: list[list[int]]) -> list[float | None]:
    """Return the accuracy on each class, in percent; None for a class without images."""
    return [
        100.0 * row[label] / sum(row) if sum(row) else None for label, row in enumerate(confusion)
    ]
