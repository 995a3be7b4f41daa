"""Records a run (history, best weights, layer statistics, time) and resumes it."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from hw2core.engine.device import describe_setting
from hw2core.engine.generators import get_generators, set_generators
from hw2core.engine.trainer import RunTrainer
from hw2core.history import EpochResult, History
from hw2core.training import Batch

State = dict[str, Any]


class StateStore(Protocol):
    """Keeps the state of a run between epochs; ``runs.checkpoint`` keeps it on disk."""

    def load(self, setting: Mapping[str, Any], use: Callable[[State], None]) -> bool:
        """Call ``use`` with the last state saved in ``setting``; return whether one was loaded.

        ``use`` raises any exception for a state that it cannot load; then an older one is tried.
        """

    def save(self, state: State) -> None:
        """Save nested dicts of tensors and plain values; training changes them after the call."""


class Timing(NamedTuple):
    """Times in seconds; ``seconds_training`` leaves out evaluation."""

    seconds: float
    seconds_loading: float
    seconds_training: float
    seconds_per_epoch: list[float]
    images_per_second: float  # median over the epochs


class Recorder(History):
    """The history of a run, with its best weights, layer statistics and times.

    Args:
        on_start: called with this recorder before training, when ``setting`` is known.
        on_epoch: called with this recorder after every epoch.
        store: saves the state after every epoch; training resumes from a state in it.

    Attributes:
        setting: what the numbers depend on besides spec, seed, code and images, by name.
    """

    def __init__(
        self,
        *,
        on_start: Callable[[Recorder], None] | None = None,
        on_epoch: Callable[[Recorder], None] | None = None,
        store: StateStore | None = None,
    ) -> None:
        super().__init__()
        self.on_start = on_start
        self.on_epoch = on_epoch
        self.store = store
        self.best_weights: dict[str, Tensor] = {}
        self.layers: dict[str, list[Any]] = {}
        self.seconds: list[float] = []
        self.speeds: list[float] = []  # images per second

    def start(
        self,
        trainer: RunTrainer,
        num_epochs: int,
        probed: Batch,
        early_stopping: int | None = None,
    ) -> None:
        """Begin to record, or resume from the state in the store.

        The layers are probed on the batch ``probed`` before training, after epochs 1, 2, 4, 8, ...
        and after the last epoch, which ``num_epochs`` and ``early_stopping`` decide as in
        :meth:`Trainer.fit`.
        """
        self.trainer, self.num_epochs, self.probed = trainer, num_epochs, probed
        self.early_stopping = early_stopping
        self.device = torch.device(trainer.device or "cpu")
        self.setting = describe_setting(self.device, trainer.precision)
        self._last = time.perf_counter()
        if self.on_start is not None:
            self.on_start(self)
        if self.store is None or not self.store.load(self.setting, self._load_state):
            self._probe_layers(0)

    def add(self, train: EpochResult, test: EpochResult) -> None:
        """Record an epoch; ``test`` holds the validation images."""
        super().add(train, test)
        now, epoch = time.perf_counter(), len(self.train)
        self.seconds.append(now - self._last)
        self.speeds.append(self.trainer.images_per_second)
        self._last = now
        if epoch.bit_count() == 1 or self.is_over(self.num_epochs, self.early_stopping):
            self._probe_layers(epoch)
        if self.best_epoch == epoch:
            weights = self.trainer.get_weights()
            self.best_weights = {name: tensor.clone() for name, tensor in weights.items()}
        if self.store is not None:
            self.store.save(self._get_state())
        if self.on_epoch is not None:
            self.on_epoch(self)

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation accuracy, counted from 1."""
        return self.find_best_epoch() + 1

    @property
    def seconds_left(self) -> float:
        """Estimated time of the planned epochs that are left."""
        return statistics.median(self.seconds) * (self.num_epochs - len(self.train))

    def measure_time(self, images_per_epoch: int, seconds_loading: float) -> Timing:
        """Return the times so far, with ``images_per_epoch`` training images per epoch."""
        return Timing(
            seconds=round(sum(self.seconds) + time.perf_counter() - self._last, 3),
            seconds_loading=round(seconds_loading, 3),
            seconds_training=round(sum(images_per_epoch / speed for speed in self.speeds), 3),
            seconds_per_epoch=[round(seconds, 3) for seconds in self.seconds],
            images_per_second=round(statistics.median(self.speeds), 1),
        )

    def _probe_layers(self, epoch: int) -> None:
        probe = self.trainer.probe_layers(*self.probed)
        if probe is None:
            return
        self.layers["names"] = probe.names
        for key, value in {"epochs": epoch, **probe._asdict()}.items():
            if key != "names":
                self.layers.setdefault(key, []).append(value)

    def _get_state(self) -> State:
        return {
            "setting": self.setting,
            "trainer": self.trainer.get_state(),
            "best_weights": self.best_weights,
            "random": get_generators(self.device),
            "train": [tuple(result) for result in self.train],
            "test": [tuple(result) for result in self.test],
            "layers": self.layers,
            "seconds": self.seconds,
            "speeds": self.speeds,
        }

    def _load_state(self, state: State) -> None:
        """Load a whole state; if that fails, restore trainer and recorder and raise the error."""
        before = copy.deepcopy(self._get_state())
        try:
            self._set_state(state)
        except Exception:
            self._set_state(before)
            raise

    def _set_state(self, state: State) -> None:
        self.trainer.load_state(state["trainer"])
        self.best_weights = state["best_weights"]
        self.train = [EpochResult(*result) for result in state["train"]]
        self.test = [EpochResult(*result) for result in state["test"]]
        self.layers = state["layers"]
        self.seconds, self.speeds = state["seconds"], state["speeds"]
        set_generators(state["random"], self.device)
