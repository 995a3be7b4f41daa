"""The study's epochs: numbers stay on the device, which is waited for once an epoch."""

from __future__ import annotations

import abc
import itertools
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hw2core.fit_loop import Batch, Trainer
from hw2core.fit_results import EpochResult


class Costs(NamedTuple):
    """What a network costs: trained numbers, and FLOPs of one forward (an addition is one)."""

    parameters: int
    flops_per_image: int


class Snapshot(NamedTuple):
    """A state as a file can hold it without code: tensors, and plain values that JSON knows."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


class StudyTrainer(Trainer):
    """A trainer whose epochs sum loss and hits on the device and read them once.

    The course's loop asks the device for two numbers after every batch and waits for them; on a
    GPU that is most of the time of a small network. Mixed in before a trainer that has the steps.

    Attributes:
        batches: batches a training epoch; None for all.
        precision: "fp32" or "bf16", for the record.
        images_per_second: of the last training epoch.
    """

    batches: int | None = None
    precision = "fp32"
    images_per_second = 0.0

    def train_epoch(self, dl_train: Iterable[Batch], **kw: Any) -> EpochResult:
        """Train on every batch once; ``losses`` holds one number, the mean over the images."""
        start = time.perf_counter()
        self.set_training_mode(True)
        totals = _Totals(self.device)
        for x, y in itertools.islice(dl_train, self.batches):
            totals.add(*self.train_step(x, y), y)
        result = totals.read()
        self.images_per_second = totals.num_images / (time.perf_counter() - start)
        return result

    @torch.no_grad()
    def test_epoch(self, dl_test: Iterable[Batch], **kw: Any) -> EpochResult:
        """Evaluate every batch once; ``losses`` holds one number, the mean over the images."""
        self.set_training_mode(False)
        totals = _Totals(self.device)
        for x, y in dl_test:
            totals.add(*self.test_step(x, y), y)
        return totals.read()

    @abc.abstractmethod
    def take_snapshot(self) -> Snapshot:
        """Return the state of model, optimizer and schedule, not copied."""

    @abc.abstractmethod
    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Go back to a state: the next step gives bit for bit what it gave then."""

    @abc.abstractmethod
    def count_costs(self) -> Costs:
        """Return what the network costs."""


class _Totals:
    """Sums over an epoch that stay on the device until they are read."""

    def __init__(self, device: torch.device | str | None) -> None:
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
