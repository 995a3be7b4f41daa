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
from hw2core.engine.device import pick_device, prepare_device, ran_out_of_memory
from hw2core.engine.generators import keep_generators, seed_generators
from hw2core.engine.recorder import Recorder, Timing
from hw2core.engine.trainer import Costs, RunTrainer
from hw2core.errors import UserError
from hw2core.history import FitResult
from hw2core.training import Batch

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec
    from hw2core.data.prepared import PreparedData

EVALUATION_BATCH = 500
PROBED_IMAGES = 64  # validation images on which the layers are probed
TOLERANCE = 0.05  # of the largest logit: kernels may differ, other networks are far off


class NetworkError(UserError):
    """A network computes something else when it is built again with the same weights."""


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
        NetworkError: the weights are not all that the network's logits depend on.
        ValueError: the images are too few for the split.
    """
    target = pick_device(device)
    prepare_device(target, deterministic=spec.training.deterministic)
    start = time.perf_counter()
    train, validation = _load_images(spec, seed, data, target, evaluation_batch)
    seconds_loading = time.perf_counter() - start
    epochs, early_stopping = spec.training.epochs, spec.training.early_stopping
    steps_per_epoch = min(len(train), spec.training.batches or len(train))

    seed_generators(seed)
    trainer = build_trainer(spec, target, epochs * steps_per_epoch)
    x, y = next(iter(validation))
    probed = x[:PROBED_IMAGES], y[:PROBED_IMAGES]
    _check_rebuilt(spec, trainer, target, probed)
    recorder = Recorder() if recorder is None else recorder
    recorder.start(trainer, epochs, probed, early_stopping)
    history = trainer.fit(
        train,
        validation,
        epochs,
        checkpoints=checkpoints,
        early_stopping=early_stopping,
        print_every=0,
        history=recorder,
    )
    _check_rebuilt(spec, trainer, target, probed)
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


def _check_rebuilt(spec: RunSpec, trainer: RunTrainer, device: torch.device, batch: Batch) -> None:
    """Check that a network built again with the same weights, as for evaluation, is the same."""
    with keep_generators(device):
        logits, _ = trainer.compute_logits([batch])
        rebuilt = build_trainer(spec, device, num_steps=1)
        try:
            rebuilt.load_weights(trainer.get_weights())
        except (RuntimeError, ValueError) as error:
            if ran_out_of_memory(error):
                raise
            raise NetworkError(
                f"{spec.implementation}: a network that is built again has other names or shapes "
                "of weights; draw neither at random, and count no networks"
            ) from error
        again, _ = rebuilt.compute_logits([batch])
    largest = logits.abs().nan_to_num().max().item()
    if not torch.allclose(again, logits, rtol=0, atol=TOLERANCE * largest, equal_nan=True):
        raise NetworkError(
            f"{spec.implementation}: with the same weights, a network that is built again gives "
            "other logits; register what it depends on as a buffer, and draw nothing at random in "
            "evaluation mode"
        )


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
