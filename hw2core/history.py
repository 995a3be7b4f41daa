"""Holds the results of batches, epochs and whole fits."""

from __future__ import annotations

import math
from typing import NamedTuple


class BatchResult(NamedTuple):
    """Mean loss over the images of a batch, and how many of them were classified correctly."""

    loss: float
    num_correct: int


class EpochResult(NamedTuple):
    """One pass over a data set: mean losses (per batch, or one), and the accuracy in percent."""

    losses: list[float]
    accuracy: float


class FitResult(NamedTuple):
    """The curves of a fit: accuracies in percent, one per epoch; losses per batch or per epoch.

    ``test`` is the set that ``fit`` evaluated after each epoch. In the study, that is the
    validation split; the test images are evaluated once, after training.
    """

    num_epochs: int
    train_loss: list[float]
    train_acc: list[float]
    test_loss: list[float]
    test_acc: list[float]


class ValidatedFit(FitResult):
    """A fit whose "test" set is the validation split, as all results of the study have it."""

    __slots__ = ()


class History:
    """The epochs of a fit so far."""

    def __init__(self) -> None:
        self.train: list[EpochResult] = []
        self.test: list[EpochResult] = []

    def add(self, train: EpochResult, test: EpochResult) -> None:
        """Add an epoch."""
        self.train.append(train)
        self.test.append(test)

    def find_best_epoch(self) -> int:
        """Return the first epoch with the highest test accuracy, counted from 0."""
        accuracies = [result.accuracy for result in self.test]
        return accuracies.index(max(accuracies))

    def is_over(self, num_epochs: int, early_stopping: int | None) -> bool:
        """Return whether training has ended: see :meth:`Trainer.fit`."""
        if len(self.train) >= num_epochs:
            return True
        if not self.train:
            return False
        # All comparisons with NaN are false: treat it as the highest loss.
        losses = [mean_loss(result.losses) for result in self.test]
        losses = [math.inf if math.isnan(loss) else loss for loss in losses]
        epochs_without_lower_loss = len(losses) - 1 - losses.index(min(losses))
        stopped = early_stopping is not None and epochs_without_lower_loss >= early_stopping
        return stopped or not math.isfinite(mean_loss(self.train[-1].losses))

    def summarize(self) -> FitResult:
        """Return the curves."""
        return FitResult(
            num_epochs=len(self.train),
            train_loss=[loss for result in self.train for loss in result.losses],
            train_acc=[result.accuracy for result in self.train],
            test_loss=[loss for result in self.test for loss in result.losses],
            test_acc=[result.accuracy for result in self.test],
        )


def mean_loss(losses: list[float]) -> float:
    """Return the mean over batches; NaN for none."""
    return math.fsum(losses) / len(losses) if losses else math.nan
