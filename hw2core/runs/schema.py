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
    """Training and validation curves, one value per epoch."""

    train_loss: v.Numbers = Field(min_length=1)
    """Mean training loss of the epoch, computed while the weights are updated."""
    train_accuracy: v.Percents
    """Training accuracy of the epoch, computed while the weights are updated."""
    validation_loss: v.Numbers
    """Mean cross-entropy of the validation images after the epoch."""
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
    """Layer names in the order of the forward pass: conv1, ..., proj1 (a 1x1 convolution), fc1."""
    epochs: list[v.Epoch] = Field(max_length=v.MAX_PROBES)
    """Epochs at which the layers are probed; 0: before training."""
    gradient_norm: v.Probed
    """Root mean square of the gradient of the loss with respect to the weight of the layer."""
    activation_std: v.Probed
    """Standard deviation of the output, after the activation function if there is one."""
    dead_fraction: v.Probed
    """Fraction of channels or units whose ReLU outputs 0 for every image; null without a ReLU."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Layers:
        for key in ("gradient_norm", "activation_std", "dead_fraction"):
            values = getattr(self, key)
            if [len(row) for row in values] != [len(self.names)] * len(self.epochs):
                raise refuse(key, "must have a list per probed epoch, of one value per layer")
        return self


class Timing(Frozen):
    """Durations of the run and its parts, and its speed."""

    seconds: v.Seconds
    seconds_loading: v.Seconds
    seconds_training: v.Seconds
    """Duration of the training steps, without evaluation."""
    seconds_per_epoch: v.Times
    """Duration of each epoch, including evaluation."""
    images_per_second: v.Seconds
    """Training images per second: the median over the epochs."""


class Environment(Frozen):
    """Hardware, software and settings of the run."""

    device: v.Words
    """Device as torch names it, such as cpu, cuda or mps."""
    processor: v.Words
    """Model name of the CPU or GPU."""
    precision: Literal["fp32", "bf16"]
    threads: v.Positive
    """Number of CPU threads."""
    cuda_graph: bool
    """Whether the training steps were captured in a CUDA graph."""
    versions: dict[v.Words, v.Words] = Field(max_length=20)
    """Versions of python, torch and numpy."""
    git_commit: v.Words | None
    """Git commit of the code; it ends in "-dirty" if tracked files differ from the commit."""


class Revalidation(Frozen):
    """A comparison after which a result of older code counts as one of newer code."""

    commit: v.Words
    """Commit of the older code."""
    date: v.Words
    """Date of the comparison, as YYYY-MM-DD."""
    compared: v.Words
    """Runs that were trained with both versions and gave equal results."""


class Mistake(Frozen):
    """A misclassified test image."""

    index: v.Count
    """Position in the test set."""
    label: v.Class
    predicted: v.Class
    probability: float = Field(ge=0, le=1)
    """Probability of the predicted class."""


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
    """Mean cross-entropy of the test images."""
    class_accuracy: v.ByClass[v.Percent | None]
    """Test accuracy of each class; null for a class without images."""
    confusion: v.Confusion
    """Confusion matrix: number of images by true class (row) and predicted class (column)."""
    calibration_error: v.Percent | None
    """Expected calibration error: mean gap between confidence and accuracy, over 15 bins."""
    mistakes: list[Mistake] = Field(max_length=1000)
    """Misclassified images with the most confident predictions, in descending order."""
    code: v.Hash | None
    """Hash of the evaluation code; null if an older result came without."""
    run_code: v.Hash | None = None
    """``code_hash`` of the result that was evaluated; null in older evaluations."""
    data_sha256: v.Hash
    weights_sha256: v.Hash | None
    """sha256 of the weights file that was evaluated."""

    @model_validator(mode="after")
    def _check_sums(self) -> Evaluation:
        if self.num_images != sum(map(sum, self.confusion)):
            raise refuse("num_images", f"{self.num_images}: not the images in confusion")
        classes = len(self.confusion)
        if len(self.class_accuracy) != classes:
            raise refuse("class_accuracy", f"must have one per class in confusion, {classes}")
        v.check_figures(self.confusion, self.class_accuracy, self.accuracy, self.loss)
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
    """Complete specification of the run, with its seed; sufficient to rebuild the network."""
    best_epoch: v.Positive
    """Epoch with the highest validation accuracy; the saved weights are those after it."""
    epochs: Epochs
    parameters: v.Positive
    """Number of parameters, also of frozen ones."""
    flops_per_image: v.Positive
    """Floating-point operations of the forward pass of one image; a multiply-add is two."""
    layers: Layers | None
    """Statistics of the layers; null for a run without probes."""
    timing: Timing
    environment: Environment
    spec_hash: v.Hash
    """Hash of the specification without names: model, architecture, training, data and seed."""
    code: dict[v.Words, v.Hash] = Field(max_length=200)
    """Hash of each module that the training results depend on."""
    code_hash: v.Hash
    """Combined hash of ``code``."""
    data_sha256: v.Hash
    """sha256 of the prepared images."""
    weights_sha256: v.Hash | None = None
    """sha256 of the weights file next to the result."""
    revalidated: list[Revalidation] = Field([], max_length=100)
    """Comparisons that let the result count as one of newer code."""
    same_as: v.Name | None = None
    """Run with the same specification and seed that was trained in place of this one."""
    test: Evaluation | None = Field(None, exclude=True)
    """The evaluation, read from its own file."""

    @model_validator(mode="after")
    def _check_epochs(self) -> Result:
        if self.best_epoch > (trained := len(self.epochs)):
            raise refuse("best_epoch", f"{self.best_epoch}: but {trained} epochs were trained")
        if self.validation_accuracy < (highest := max(self.epochs.validation_accuracy)):
            problem = f"validation_accuracy of epoch {self.best_epoch} is below {highest}"
            raise refuse("best_epoch", problem)
        if self.layers and max(self.layers.epochs, default=0) > trained:
            raise refuse("layers.epochs", f"must be at most {trained}, the trained epochs")
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
