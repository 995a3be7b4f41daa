"""What training reports: one tuple a batch, one an epoch, one a fit (the course's types)."""

from __future__ import annotations

from typing import NamedTuple


class BatchResult(NamedTuple):
    """Result of one batch.

    Attributes:
        loss: mean loss over the images of the batch.
        num_correct: number of images classified correctly.
    """

    loss: float
    num_correct: int


class EpochResult(NamedTuple):
    """Result of one pass over a data set.

    Attributes:
        losses: mean loss of each batch, in order (the study's own trainer gives one: the epoch's).
        accuracy: correctly classified images among those seen, in percent.
    """

    losses: list[float]
    accuracy: float


class FitResult(NamedTuple):
    """Result of a whole fit, one entry an epoch in each accuracy list.

    ``test`` is the set that ``fit`` was given to evaluate after each epoch. In the study that is
    the validation split; the test images are evaluated once, after training.

    Attributes:
        num_epochs: epochs that were trained (less than asked for after early stopping).
        train_loss: training losses, one a batch or one an epoch.
        train_acc: training accuracies in percent.
        test_loss: evaluation losses, one a batch or one an epoch.
        test_acc: evaluation accuracies in percent.
    """

    num_epochs: int
    train_loss: list[float]
    train_acc: list[float]
    test_loss: list[float]
    test_acc: list[float]
