"""One ``fit`` for every kind of model: epochs, accuracies, early stopping and checkpoints."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hw2core.atomic import replace_atomically
from hw2core.fit_results import BatchResult, EpochResult, FitResult

Batch = tuple[Tensor, Tensor]
PostEpoch = Callable[[int, EpochResult, EpochResult], None]


@dataclass
class History:
    """The epochs of a fit so far; with model and optimizer, all that its next epoch depends on."""

    train: list[EpochResult] = field(default_factory=list)
    test: list[EpochResult] = field(default_factory=list)

    def find_best_epoch(self) -> int:
        """Return the first epoch of the highest test accuracy, counted from 0."""
        accuracies = [result.accuracy for result in self.test]
        return accuracies.index(max(accuracies))

    def is_over(self, num_epochs: int, early_stopping: int | None) -> bool:
        """Return whether nothing is left to train: see :meth:`Trainer.fit`."""
        if len(self.train) >= num_epochs:
            return True
        if not self.train:
            return False
        # A loss that is no number is lower than nothing.
        losses = [_mean(result.losses) for result in self.test]
        losses = [math.inf if math.isnan(loss) else loss for loss in losses]
        epochs_without_lower_loss = len(losses) - 1 - losses.index(min(losses))
        stopped = early_stopping is not None and epochs_without_lower_loss >= early_stopping
        return stopped or not math.isfinite(_mean(self.train[-1].losses))

    def summarize(self) -> FitResult:
        """Return the curves."""
        return FitResult(
            num_epochs=len(self.train),
            train_loss=[loss for result in self.train for loss in result.losses],
            train_acc=[result.accuracy for result in self.train],
            test_loss=[loss for result in self.test for loss in result.losses],
            test_acc=[result.accuracy for result in self.test],
        )


class Trainer(abc.ABC):
    """Trains a model with a loss function and an optimizer; a subclass says what a step is.

    Args:
        model: what is trained.
        loss_fn: called as ``loss_fn(scores, labels)``; the mean loss of a batch.
        optimizer: has ``zero_grad()`` and ``step()``.
        device: where batches go; None leaves them where they are.
    """

    def __init__(
        self,
        model: Any,
        loss_fn: Any,
        optimizer: Any,
        device: torch.device | str | None = None,
    ) -> None:
        self.model = model
        self.loss_fn = loss_fn
        self.optimizer = optimizer
        self.device = device

    def fit(
        self,
        dl_train: Iterable[Batch],
        dl_test: Iterable[Batch],
        num_epochs: int,
        checkpoints: str | None = None,
        early_stopping: int | None = None,
        print_every: int = 1,
        *,
        post_epoch_fn: PostEpoch | None = None,
        history: History | None = None,
        **kw: Any,
    ) -> FitResult:
        """Train for ``num_epochs`` and evaluate after each.

        Training ends early when the loss is no longer finite: nothing after that would be learnt.

        Args:
            dl_train: batches ``(x, y)`` to train on; its ``set_epoch`` is called where it has one.
            dl_test: batches to evaluate on after each epoch.
            num_epochs: number of passes over ``dl_train``.
            checkpoints: file name without extension; the model is saved there as ``.pt`` whenever
                the test accuracy improves.
            early_stopping: stop after so many epochs in a row without a lower test loss.
            print_every: print a line every so many epochs; 0 prints none.
            post_epoch_fn: called as ``post_epoch_fn(epoch, train_result, test_result)``.
            history: the epochs that were trained already, to go on from; grows with each epoch.
            kw: passed to ``train_epoch`` and ``test_epoch`` (``verbose``, ``max_batches``).
        """
        history = History() if history is None else history
        while not history.is_over(num_epochs, early_stopping):
            epoch = len(history.train)
            if hasattr(dl_train, "set_epoch"):
                dl_train.set_epoch(epoch)
            train = self.train_epoch(dl_train, **kw)
            test = self.test_epoch(dl_test, **kw)
            history.train.append(train)
            history.test.append(test)

            if print_every and (epoch % print_every == 0 or epoch == num_epochs - 1):
                print(
                    f"epoch {epoch + 1}/{num_epochs}: train loss {_mean(train.losses):.3f}, "
                    f"accuracy {train.accuracy:.1f} %; test loss {_mean(test.losses):.3f}, "
                    f"accuracy {test.accuracy:.1f} %",
                    flush=True,
                )
            if checkpoints is not None and history.find_best_epoch() == epoch:
                self.save_checkpoint(Path(f"{checkpoints}.pt"))
            if post_epoch_fn is not None:
                post_epoch_fn(epoch, train, test)
        return history.summarize()

    def train_epoch(self, dl_train: Iterable[Batch], **kw: Any) -> EpochResult:
        """Train on every batch once."""
        self.set_training_mode(True)
        return self._foreach_batch(dl_train, self.train_batch, **kw)

    def test_epoch(self, dl_test: Iterable[Batch], **kw: Any) -> EpochResult:
        """Evaluate every batch once."""
        self.set_training_mode(False)
        return self._foreach_batch(dl_test, self.test_batch, **kw)

    def set_training_mode(self, training: bool) -> None:
        """Switch layers that behave differently in training, such as dropout."""
        self.model.train(training)

    def train_batch(self, batch: Batch) -> BatchResult:
        """Run forward, backward and one optimizer step on ``(x, y)``."""
        return self._read(*self.train_step(*self._to_device(batch)), batch)

    @torch.no_grad()
    def test_batch(self, batch: Batch) -> BatchResult:
        """Run forward on ``(x, y)`` without learning from it."""
        return self._read(*self.test_step(*self._to_device(batch)), batch)

    @abc.abstractmethod
    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Learn from a batch on the device; return its mean loss and the scores (N, classes)."""

    @abc.abstractmethod
    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate a batch on the device; return its mean loss and the scores (N, classes)."""

    @abc.abstractmethod
    def get_state(self) -> dict[str, Tensor]:
        """Return the model's tensors by name, not copied."""

    @abc.abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Set the model's tensors to what ``get_state`` returned."""

    def save_checkpoint(self, path: Path) -> None:
        """Save the model's tensors, readable with ``torch.load(path, weights_only=True)``."""
        with replace_atomically(path) as temporary:
            torch.save({"model_state": self.get_state()}, temporary)

    def _to_device(self, batch: Batch) -> Batch:
        x, y = batch
        return (x, y) if self.device is None else (x.to(self.device), y.to(self.device))

    @staticmethod
    def _read(loss: Tensor, scores: Tensor, batch: Batch) -> BatchResult:
        return BatchResult(loss.item(), count_correct(scores, batch[1].to(scores.device)))

    @staticmethod
    def _foreach_batch(
        dl: Iterable[Batch],
        forward_fn: Callable[[Batch], BatchResult],
        verbose: bool = False,
        max_batches: int | None = None,
    ) -> EpochResult:
        """Apply ``forward_fn`` to (at most ``max_batches``) batches and collect the results."""
        losses: list[float] = []
        num_correct = num_seen = 0
        for batch in itertools.islice(dl, max_batches):
            result = forward_fn(batch)
            losses.append(result.loss)
            num_correct += result.num_correct
            # Counted, not computed from the batch size: the last batch may be short.
            num_seen += len(batch[1])
            if verbose:
                print(f"  batch {len(losses)}: loss {result.loss:.3f}", flush=True)
        return EpochResult(losses, 100.0 * num_correct / max(num_seen, 1))


def count_correct(scores: Tensor, labels: Tensor) -> int:
    """Return how many rows of ``scores`` (N, classes) have their maximum at ``labels`` (N,)."""
    return int((scores.argmax(dim=1) == labels).sum())


def _mean(losses: list[float]) -> float:
    return math.fsum(losses) / len(losses) if losses else math.nan
