"""Base of the trainers of a run, which read the device once per epoch."""

from __future__ import annotations

import abc
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from hw2core.history import EpochResult
from hw2core.training import Batch, Trainer

if TYPE_CHECKING:
    from hw2core.engine.probe import LayerProbe


class Costs(NamedTuple):
    """Trainable parameters, and FLOPs of the forward pass (a multiply-add is two)."""

    parameters: int
    flops_per_image: int


class RunTrainer(Trainer):
    """Trains a run of the study; model and batches are on ``device`` already.

    The course's loop waits for two numbers from the device after every batch, which takes most of
    the time of a small network on a GPU. Here each batch adds to sums on the device.

    Attributes:
        batches: batches per epoch; None for all.
        precision: "fp32" or "bf16".
        images_per_second: of the last training epoch.
    """

    precision = "fp32"
    images_per_second = 0.0

    def __init__(
        self,
        model: Any,
        loss_fn: Any,
        optimizer: Any,
        device: torch.device,
        *,
        batches: int | None = None,
    ) -> None:
        super().__init__(model, loss_fn, optimizer, device)
        self.batches = batches
        # Allocated once: a CUDA graph adds to this memory.
        self._loss_sum = torch.zeros((), dtype=torch.float32, device=device)
        self._num_correct = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def graphed(self) -> bool:
        """Whether a training step is one CUDA graph."""
        return False

    def train_epoch(self, dl_train: Iterable[Batch], **kw: Any) -> EpochResult:
        """Train on every batch once; ``losses`` holds one number, the mean over the images."""
        start = time.perf_counter()
        self.set_training_mode(True)
        batches = itertools.islice(dl_train, self.batches)
        result, num_images = self._run_epoch(batches, self.take_step)
        self.images_per_second = num_images / (time.perf_counter() - start)
        return result

    @torch.no_grad()
    def test_epoch(self, dl_test: Iterable[Batch], **kw: Any) -> EpochResult:
        """Evaluate every batch once; ``losses`` holds one number, the mean over the images."""
        self.set_training_mode(False)
        return self._run_epoch(dl_test, lambda x, y: self.add_batch(*self.test_step(x, y), y))[0]

    @abc.abstractmethod
    def take_step(self, x: Tensor, y: Tensor) -> None:
        """Train on a batch and add it to the epoch's sums."""

    def add_batch(self, mean_loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add the loss and correct predictions of a batch, logits (N, D), to the epoch's sums."""
        self._loss_sum += mean_loss * len(labels)
        self._num_correct += (logits.argmax(dim=1) == labels).sum()

    @torch.no_grad()
    def compute_logits(self, dl: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Return the logits (N, D) and the labels (N,) of all images, in order."""
        self.set_training_mode(False)
        logits, labels = zip(*((self.test_step(x, y)[1], y) for x, y in dl), strict=True)
        return torch.cat(logits), torch.cat(labels)

    def probe_layers(self, x: Tensor, y: Tensor) -> LayerProbe | None:
        """Return statistics of each layer on a batch; None if the backend measures none."""
        return None

    @abc.abstractmethod
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set the model's tensors to what ``get_weights`` returned."""

    @abc.abstractmethod
    def get_state(self) -> dict[str, Any]:
        """Return the state of model, optimizer and schedule, as nested dicts, not copied."""

    @abc.abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load what ``get_state`` returned; the next step is bit for bit the same as then."""

    @abc.abstractmethod
    def count_costs(self, in_size: tuple[int, ...]) -> Costs:
        """Return the costs of the network for images of size ``in_size``, (C, H, W)."""

    def _run_epoch(
        self, dl: Iterable[Batch], step: Callable[[Tensor, Tensor], None]
    ) -> tuple[EpochResult, int]:
        """Call ``step`` with each batch; return loss and accuracy, and the number of images."""
        self._loss_sum.zero_()
        self._num_correct.zero_()
        num_images = 0
        for x, y in dl:
            step(x, y)
            num_images += len(y)
        seen = max(num_images, 1)
        # The only wait for the device.
        loss, num_correct = self._loss_sum.item(), self._num_correct.item()
        return EpochResult([loss / seen], 100.0 * num_correct / seen), num_images
