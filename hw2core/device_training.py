"""The study's trainer: the whole epoch on the device, one wait for it at the end."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw2core.fit_results import BatchResult, EpochResult
from hw2core.training import Batch, TorchTrainer, count_correct


class DeviceTrainer(TorchTrainer):
    """A ``TorchTrainer`` that sums loss and hits on the device and reads them once an epoch.

    ``TorchTrainer`` asks the device for two numbers after every batch and waits for them; on a GPU
    that is most of the time of a small network.

    Args:
        model: a network on ``device``.
        loss_fn: the training loss; evaluation uses the plain cross-entropy.
        optimizer: updates the model.
        device: where the model and the batches are.
        schedule: stepped after every batch.
        precision: "bf16" runs the network under autocast, "fp32" as it is.
        clip_norm: largest norm of the whole gradient; None for no limit.
        batches: batches an epoch; None for all.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        precision: str = "fp32",
        clip_norm: float | None = None,
        batches: int | None = None,
    ) -> None:
        super().__init__(model, loss_fn, optimizer, device)
        self.schedule = schedule
        self.precision = precision
        self.clip_norm = clip_norm
        self.batches = batches
        self.images_per_second = 0.0  # of the last training epoch

    def train_epoch(self, dl_train: Iterable[Batch], **kw: Any) -> EpochResult:
        """Train on every batch once; ``losses`` holds one number, the mean over the images."""
        start = time.perf_counter()
        self.set_training_mode(True)
        totals = _Totals(torch.device(self.device or "cpu"))
        for batch in itertools.islice(dl_train, self.batches):
            totals.add(*self._train_step(*batch))
        result = totals.read()
        self.images_per_second = totals.num_images / (time.perf_counter() - start)
        return result

    @torch.inference_mode()
    def test_epoch(self, dl_test: Iterable[Batch], **kw: Any) -> EpochResult:
        """Evaluate every batch once; ``losses`` holds one number, the mean over the images."""
        self.set_training_mode(False)
        totals = _Totals(torch.device(self.device or "cpu"))
        for x, y in dl_test:
            with self._autocast():
                scores = self.model(x)  # (N, classes)
            totals.add(F.cross_entropy(scores.float(), y), scores, y)
        return totals.read()

    def train_batch(self, batch: Batch) -> BatchResult:
        """Run one training step and wait for its numbers, as the course's loop does."""
        loss, scores, labels = self._train_step(*self._to_device(batch))
        return BatchResult(loss.item(), count_correct(scores, labels))

    def _train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run one step on (N, C, H, W) images and (N,) labels; return loss, scores and labels."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            scores = self.model(x)  # (N, classes)
        loss = self.loss_fn(scores.float(), y)
        loss.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach(), scores.detach(), y

    def _autocast(self) -> AbstractContextManager[object]:
        device = torch.device(self.device or "cpu")
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")


class _Totals:
    """Sums over an epoch that stay on the device until they are read."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float32, device=device)
        self.num_correct = torch.zeros((), dtype=torch.int64, device=device)
        self.num_images = 0

    def add(self, mean_loss: Tensor, scores: Tensor, labels: Tensor) -> None:
        self.loss += mean_loss * len(labels)
        self.num_correct += (scores.argmax(dim=1) == labels).sum()
        self.num_images += len(labels)

    def read(self) -> EpochResult:
        seen = max(self.num_images, 1)
        return EpochResult([self.loss.item() / seen], 100.0 * self.num_correct.item() / seen)
