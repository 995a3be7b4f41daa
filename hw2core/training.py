"""Trainers: epochs, accuracies, early stopping and saved weights (the course's API).

They synchronise with the device after every batch; those in :mod:`hw2core.engine`, once per epoch.
"""

from __future__ import annotations

import abc
import itertools
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hw2core.history import BatchResult as BatchResult
from hw2core.history import EpochResult as EpochResult
from hw2core.history import FitResult as FitResult
from hw2core.history import History, mean_loss
from hw2core.io import replace_atomically

Batch = tuple[Tensor, Tensor]


class Trainer(abc.ABC):
    """Trains a model with a loss function and an optimizer; subclasses define a step.

    Args:
        model: the model to train.
        loss_fn: called as ``loss_fn(logits, labels)``; the mean loss of a batch.
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
        post_epoch_fn: Callable[[int, EpochResult, EpochResult], None] | None = None,
        history: History | None = None,
        **kw: Any,
    ) -> FitResult:
        """Train for ``num_epochs``, or until the loss is not finite; evaluate after each epoch.

        Args:
            dl_train: batches ``(x, y)`` to train on; its ``set_epoch`` is called if it has one.
                ``y`` are class numbers (N,), or (N, H, W) for logits (N, classes, H, W).
            dl_test: batches to evaluate on after each epoch.
            num_epochs: number of passes over ``dl_train``.
            checkpoints: file name without extension; the weights are saved there as ``.pt``
                whenever the test accuracy improves.
            early_stopping: stop after this many epochs in a row without a lower test loss.
            print_every: print a line every this many epochs; 0 prints none.
            post_epoch_fn: called as ``post_epoch_fn(epoch, train_result, test_result)``.
            history: earlier epochs to resume from; each new epoch is added to it.
            kw: passed to ``train_epoch`` and ``test_epoch`` (``verbose``, ``max_batches``).

        Raises:
            TypeError: ``num_epochs`` is not a whole number.
            ValueError: labels have another shape, as one-hot labels have; or an epoch has no
                batches, as if a generator was given.
        """
        num_epochs = operator.index(num_epochs)
        history = History() if history is None else history
        while not history.is_over(num_epochs, early_stopping):
            epoch = len(history.train)
            if hasattr(dl_train, "set_epoch"):
                dl_train.set_epoch(epoch)
            train = self.train_epoch(dl_train, **kw)
            test = self.test_epoch(dl_test, **kw)
            history.add(train, test)

            if print_every and (epoch % print_every == 0 or epoch == num_epochs - 1):
                print(
                    f"epoch {epoch + 1}/{num_epochs}: train loss {mean_loss(train.losses):.3f}, "
                    f"accuracy {train.accuracy:.1f} %; test loss {mean_loss(test.losses):.3f}, "
                    f"accuracy {test.accuracy:.1f} %",
                    flush=True,
                )
            if checkpoints is not None and history.find_best_epoch() == epoch:
                with replace_atomically(Path(f"{checkpoints}.pt")) as temporary:
                    torch.save({"model_state": self.get_weights()}, temporary)
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
        x, y = self._to_device(batch)
        return _read(*self.train_step(x, y), y)

    @torch.no_grad()
    def test_batch(self, batch: Batch) -> BatchResult:
        """Run forward on ``(x, y)`` without training on it."""
        x, y = self._to_device(batch)
        return _read(*self.test_step(x, y), y)

    @abc.abstractmethod
    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Train on a batch on the device; return its mean loss and the logits (N, classes)."""

    @abc.abstractmethod
    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate a batch on the device; return its mean loss and the logits (N, classes)."""

    @abc.abstractmethod
    def get_weights(self) -> dict[str, Tensor]:
        """Return the model's tensors by name, not copied."""

    def _to_device(self, batch: Batch) -> Batch:
        x, y = batch
        return (x, y) if self.device is None else (x.to(self.device), y.to(self.device))

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
            # The last batch may be short.
            num_seen += batch[1].numel()
            if verbose:
                print(f"  batch {len(losses)}: loss {result.loss:.3f}", flush=True)
        if not losses:
            raise ValueError("no batches; give a list or a DataLoader, which every epoch can read")
        return EpochResult(losses, 100.0 * num_correct / max(num_seen, 1))


class TorchTrainer(Trainer):
    """Trains a ``torch.nn.Module`` by autograd."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(model, loss_fn, optimizer, device)
        if device is not None:
            model.to(device)

    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step by autograd on a batch on the device."""
        self.optimizer.zero_grad()
        logits = self.model(x)  # (N, classes)
        loss = self.loss_fn(logits, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), logits.detach()

    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate a batch on the device."""
        logits = self.model(x)  # (N, classes)
        return self.loss_fn(logits, y), logits

    def get_weights(self) -> dict[str, Tensor]:
        """Return the model's state dict."""
        return dict(self.model.state_dict())


class LayerTrainer(Trainer):
    """Trains a model by its own ``backward``: a layer of ``hw2core.layers``, or one like it.

    The model is called with flattened images (N, C*H*W) and has ``backward(dout)``, ``params()``
    and ``train(training_mode)``; it must be on ``device`` already. ``loss_fn`` is a loss layer, and
    ``optimizer`` one of ``hw2core.optimizers`` on ``model.params()``.
    """

    @torch.no_grad()
    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Run forward, the layers' backward and one optimizer step."""
        self.optimizer.zero_grad()
        logits = self.model(x.flatten(1))  # (N, C, H, W) -> (N, C*H*W) -> (N, classes)
        loss = self.loss_fn(logits, y)
        # The gradient of the images is not needed: a model may be able to do without.
        backward = getattr(self.model, "accumulate_gradients", self.model.backward)
        backward(self.loss_fn.backward())
        self.optimizer.step()
        return loss, logits

    @torch.no_grad()
    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate a batch."""
        logits = self.model(x.flatten(1))  # (N, classes)
        return self.loss_fn(logits, y), logits

    def get_weights(self) -> dict[str, Tensor]:
        """Return the parameters by their position in ``model.params()``."""
        return {f"param{i}": p for i, (p, _) in enumerate(self.model.params())}


def _read(loss: Tensor, logits: Tensor, labels: Tensor) -> BatchResult:
    predicted = logits.argmax(dim=1)  # (N,)
    if labels.shape != predicted.shape:  # (N, 1) would be broadcast to (N, N)
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, must be class numbers of shape "
            f"{tuple(predicted.shape)}"
        )
    return BatchResult(loss.item(), int((predicted == labels.to(logits.device)).sum()))
