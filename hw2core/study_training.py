"""The study's epochs: numbers stay on the device, which is waited for once an epoch."""

from __future__ import annotations

import abc
import itertools
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from hw2core.fit_loop import Batch, Trainer
from hw2core.fit_results import EpochResult

if TYPE_CHECKING:
    from hw2core.layer_probe import LayerProbe


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
        totals: sums over the training epoch.
    """

    batches: int | None = None
    precision = "fp32"
    images_per_second = 0.0

    def __init__(
        self, model: Any, loss_fn: Any, optimizer: Any, device: torch.device | str | None = None
    ) -> None:
        super().__init__(model, loss_fn, optimizer, device)
        self.totals = Totals(device)

    @property
    def graphed(self) -> bool:
        """Whether a training step is one CUDA graph."""
        return False

    def train_epoch(self, dl_train: Iterable[Batch], **kw: Any) -> EpochResult:
        """Train on every batch once; ``losses`` holds one number, the mean over the images."""
        start = time.perf_counter()
        self.set_training_mode(True)
        self.totals.reset()
        num_images = 0
        for x, y in itertools.islice(dl_train, self.batches):
            self.take_step(x, y)
            num_images += len(y)
        result = self.totals.read(num_images)
        self.images_per_second = num_images / (time.perf_counter() - start)
        return result

    def take_step(self, x: Tensor, y: Tensor) -> None:
        """Learn from a batch, and add its loss and hits to ``totals``."""
        self.totals.add(*self.train_step(x, y), y)

    @torch.no_grad()
    def test_epoch(self, dl_test: Iterable[Batch], **kw: Any) -> EpochResult:
        """Evaluate every batch once; ``losses`` holds one number, the mean over the images."""
        self.set_training_mode(False)
        totals = Totals(self.device)
        num_images = 0
        for x, y in dl_test:
            totals.add(*self.test_step(x, y), y)
            num_images += len(y)
        return totals.read(num_images)

    @torch.no_grad()
    def compute_scores(
        self, dl: Iterable[Batch], *, mirrored: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the class scores (N, D) and the labels (N,) of all images, in their order.

        With ``mirrored``, every image is shown as its mirror image, left to right.
        """
        self.set_training_mode(False)
        shown = ((x.flip(3) if mirrored else x, y) for x, y in dl)
        scores, labels = zip(*((self.test_step(x, y)[1], y) for x, y in shown), strict=True)
        return torch.cat(scores), torch.cat(labels)

    def probe_layers(self, x: Tensor, y: Tensor) -> LayerProbe | None:
        """Return what each layer does with a batch; None from a trainer that does not look."""
        return None

    @abc.abstractmethod
    def take_snapshot(self) -> Snapshot:
        """Return the state of model, optimizer and schedule, not copied."""

    @abc.abstractmethod
    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Go back to a state: the next step gives bit for bit what it gave then."""

    @abc.abstractmethod
    def count_costs(self) -> Costs:
        """Return what the network costs."""


class Totals:
    """Sums over an epoch that stay on the device, in the same memory, until they are read."""

    def __init__(self, device: torch.device | str | None) -> None:
        self.loss = torch.zeros((), dtype=torch.float32, device=device)
        self.num_correct = torch.zeros((), dtype=torch.int64, device=device)

    def reset(self) -> None:
        """Start again from zero."""
        self.loss.zero_()
        self.num_correct.zero_()

    def add(self, mean_loss: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, class scores (N, D) and labels (N,)."""
        self.loss += mean_loss * len(labels)
        self.num_correct += (scores.argmax(dim=1) == labels).sum()

    def read(self, num_images: int) -> EpochResult:
        """Wait for the device; return mean loss and accuracy over ``num_images``."""
        seen = max(num_images, 1)
        return EpochResult([self.loss.item() / seen], 100.0 * self.num_correct.item() / seen)
