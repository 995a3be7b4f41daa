"""Trains one run, from spec, seed and prepared images to curves, weights and measurements."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hw2core.data.augment import Augmentation
from hw2core.data.loader import Loader
from hw2core.data.split import split_train_validation
from hw2core.engine.device import pick_device, prepare_device
from hw2core.engine.recorder import Recorder, Timing
from hw2core.engine.trainer import Costs, RunTrainer
from hw2core.history import FitResult

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec
    from hw2core.data.prepared import PreparedData

EVALUATION_BATCH = 500
PROBED_IMAGES = 64  # validation images on which the layers are probed


@dataclass(frozen=True)
class TrainedRun:
    """The outcome of training a run.

    Attributes:
        history: curves; its "test" set is the validation split.
        best_epoch: the epoch with the highest validation accuracy, counted from 1.
        weights: the model's state after that epoch.
        layers: statistics of each layer over the epochs; None if the backend measures none.
        device: as torch names it.
        precision: "fp32" or "bf16".
        threads: CPU threads.
    """

    history: FitResult
    best_epoch: int
    weights: dict[str, Tensor]
    costs: Costs
    layers: dict[str, list[Any]] | None
    timing: Timing
    device: str
    precision: str
    cuda_graph: bool
    threads: int


def train_run(
    spec: RunSpec,
    seed: int,
    data: PreparedData,
    recorder: Recorder | None = None,
    *,
    device: str | None = None,
    evaluation_batch: int = EVALUATION_BATCH,
    checkpoints: str | None = None,
) -> TrainedRun:
    """Train ``spec`` with ``seed`` and choose the best epoch on the validation split.

    Args:
        spec: the run; its sizes must fit ``data``.
        seed: seed of initialisation, order and augmentation. The split does not depend on it.
        data: the images; the test images are not used.
        recorder: records the run, and resumes it if its store has a state.
        device: name of a device; None for the best available.
        evaluation_batch: images per validation batch; changes speed and memory only.
        checkpoints: file name without extension for ``Trainer.fit``.

    Raises:
        DeviceError: the device is not available.
        GraphError: the training step cannot be captured as a CUDA graph.
        ValueError: the images are too few for the split.
    """
    target = pick_device(device)
    prepare_device(target, deterministic=spec.training.deterministic)
    start = time.perf_counter()
    train, validation = _load_images(spec, seed, data, target, evaluation_batch)
    seconds_loading = time.perf_counter() - start
    epochs = spec.training.epochs
    steps_per_epoch = min(len(train), spec.training.batches or len(train))

    torch.manual_seed(seed)
    trainer = build_trainer(spec, target, epochs * steps_per_epoch)
    x, y = next(iter(validation))
    recorder = Recorder() if recorder is None else recorder
    recorder.start(trainer, epochs, (x[:PROBED_IMAGES], y[:PROBED_IMAGES]))
    history = trainer.fit(
        train,
        validation,
        epochs,
        checkpoints=checkpoints,
        early_stopping=spec.training.early_stopping,
        print_every=0,
        history=recorder,
    )
    images_per_epoch = min(train.num_images, steps_per_epoch * train.batch_size)
    return TrainedRun(
        history=history,
        best_epoch=recorder.best_epoch,
        weights=recorder.best_weights,
        costs=trainer.count_costs(tuple(x.shape[1:])),
        layers=recorder.layers or None,
        timing=recorder.measure_time(images_per_epoch, seconds_loading),
        device=str(target),
        precision=trainer.precision,
        cuda_graph=trainer.graphed,
        threads=torch.get_num_threads(),
    )


def build_trainer(spec: RunSpec, device: torch.device, num_steps: int) -> RunTrainer:
    """Return the trainer of ``spec``, with its network, from the backend of its model.

    Backends are imported by name, so that a run's code hash covers only its own backend.
    """
    module, name = spec.trainer.split(":")
    trainer: RunTrainer = getattr(importlib.import_module(module), name).of(spec, device, num_steps)
    return trainer


def _load_images(
    spec: RunSpec, seed: int, data: PreparedData, device: torch.device, evaluation_batch: int
) -> tuple[Loader, Loader]:
    chosen, held_out = split_train_validation(
        data.train_labels,
        num_train=spec.data.train,
        num_validation=spec.data.validation,
        seed=spec.data.split_seed,
    )
    source = data.train_images, data.train_labels
    common: dict[str, Any] = {"mean": data.mean, "std": data.std, "device": device}
    training = spec.training
    augment = Augmentation(training.flip, training.translate, training.cutout)
    train = Loader(
        *source,
        indices=chosen,
        batch_size=training.batch_size,
        seed=seed,
        augment=augment,
        **common,
    )
    return train, Loader(*source, indices=held_out, batch_size=evaluation_batch, **common)
