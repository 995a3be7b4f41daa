"""Defines the base of the trainers of a run, which read from the device once per epoch."""

from __future__ import annotations

import abc
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from hw2core.engine.sums import EpochSums
from hw2core.history import EpochResult
from hw2core.training import Batch, Trainer

if TYPE_CHECKING:
    from hw2core.engine.probe import LayerProbe


class Costs(NamedTuple):
    """Parameters, and FLOPs of the forward pass (a multiply-add is two)."""

    parameters: int
    flops_per_image: int


class RunTrainer(Trainer):
    """Trains a run of the study; model and batches are on ``device`` already.

    Attributes:
        batches: batches per epoch; None for all.
        sums: sums of the current epoch, to which every batch is added.
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
        self.sums = EpochSums(device)

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
        return self._run_epoch(dl_test, lambda x, y: self.sums.add(*self.test_step(x, y), y))[0]

    @abc.abstractmethod
    def take_step(self, x: Tensor, y: Tensor) -> None:
        """Train on a batch and add it to ``sums``."""

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
        """Load what ``get_state`` returned; the next step is then bit for bit the same."""

    @abc.abstractmethod
    def count_costs(self, in_size: tuple[int, ...]) -> Costs:
        """Return the costs of the network for images of size ``in_size``, (C, H, W)."""

    def _run_epoch(
        self, dl: Iterable[Batch], step: Callable[[Tensor, Tensor], None]
    ) -> tuple[EpochResult, int]:
        """Call ``step`` with each batch; return loss and accuracy, and the number of images."""
        self.sums.zero()
        num_images = 0
        for x, y in dl:
            step(x, y)
            num_images += len(y)
        return self.sums.read(num_images), num_images
