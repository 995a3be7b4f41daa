"""What is kept from epoch to epoch of a run: history, best weights, layers, clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hw2core.fit_loop import Batch, History
from hw2core.fit_results import EpochResult
from hw2core.study_training import Snapshot, StudyTrainer


class EpochReport(NamedTuple):
    """Where a training stands after an epoch; accuracies in percent."""

    epoch: int  # counted from 1
    num_epochs: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float
    seconds_left: float


class EpochWatch:
    """Keeps history, best weights, layers and clock; tells who wants to know.

    Args:
        trainer: what trains.
        num_epochs: planned epochs.
        probed: the batch on which the layers are looked at: before training, after epochs 1, 2,
            4, 8, ... and after the last that is planned.
        on_epoch: called after every epoch.
        on_snapshot: called after every epoch with all that the next one depends on.
    """

    def __init__(
        self,
        trainer: StudyTrainer,
        num_epochs: int,
        probed: Batch,
        on_epoch: Callable[[EpochReport], None] | None,
        on_snapshot: Callable[[Snapshot], None] | None,
    ) -> None:
        self.trainer = trainer
        self.device = torch.device(trainer.device or "cpu")
        self.num_epochs = num_epochs
        self.probed = probed
        self.on_epoch = on_epoch
        self.on_snapshot = on_snapshot
        self.history = History()
        self.best_weights: dict[str, Tensor] = {}
        self.layers: dict[str, list[Any]] = {}
        self.seconds: list[float] = []
        self.speeds: list[float] = []
        self.last = time.perf_counter()

    @property
    def best_epoch(self) -> int:
        """The epoch that validation chose, counted from 1."""
        return self.history.find_best_epoch() + 1

    def __call__(self, epoch: int, train: EpochResult, validation: EpochResult) -> None:
        """Take note of an epoch, as ``post_epoch_fn`` of ``Trainer.fit``."""
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.speeds.append(self.trainer.images_per_second)
        self.last = now
        if epoch + 1 == self.num_epochs or (epoch + 1).bit_count() == 1:
            self.record_layers(epoch + 1)
        if self.best_epoch == epoch + 1:
            state = self.trainer.get_state()
            self.best_weights = {name: tensor.clone() for name, tensor in state.items()}
        if self.on_snapshot is not None:
            self.on_snapshot(self._take_snapshot())
        if self.on_epoch is not None:
            left = statistics.median(self.seconds) * (self.num_epochs - epoch - 1)
            curves = (train.losses[0], train.accuracy, validation.losses[0], validation.accuracy)
            self.on_epoch(EpochReport(epoch + 1, self.num_epochs, *curves, self.speeds[-1], left))

    def record_layers(self, epoch: int) -> None:
        """Look at the layers after ``epoch`` epochs, where the trainer can."""
        probe = self.trainer.probe_layers(*self.probed)
        if probe is None:
            return
        self.layers["names"] = probe.names
        for key, value in {"epochs": epoch, **probe._asdict()}.items():
            if key != "names":
                self.layers.setdefault(key, []).append(value)

    def _take_snapshot(self) -> Snapshot:
        trainer = self.trainer.take_snapshot()
        parts = {
            "trainer": trainer.tensors,
            "best": self.best_weights,
            "random": _get_random(self.device),
        }
        tensors = {f"{part}:{k}": v for part, held in parts.items() for k, v in held.items()}
        values = {
            "trainer": trainer.values,
            "train": self.history.train,
            "test": self.history.test,
            "layers": self.layers,
            "seconds": self.seconds,
            "speeds": self.speeds,
        }
        return Snapshot(tensors, values)

    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Go back to where a training was cut short."""
        parts: dict[str, dict[str, Tensor]] = {"trainer": {}, "best": {}, "random": {}}
        for key, tensor in snapshot.tensors.items():
            part, name = key.split(":", 1)
            parts[part][name] = tensor
        values = snapshot.values
        self.trainer.load_snapshot(Snapshot(parts["trainer"], values["trainer"]))
        self.best_weights = parts["best"]
        self.history.train = [EpochResult(*result) for result in values["train"]]
        self.history.test = [EpochResult(*result) for result in values["test"]]
        self.layers = values["layers"]
        self.seconds, self.speeds = list(values["seconds"]), list(values["speeds"])
        torch.set_rng_state(parts["random"]["cpu"])
        if "cuda" in parts["random"]:
            torch.cuda.set_rng_state(parts["random"]["cuda"], self.device)


def _get_random(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's global generators, which dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states
