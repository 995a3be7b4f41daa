"""Trains one run: from spec, seed and prepared images to curves, weights and measured facts.

This module and what it imports are the code hash of a run, with the modules of the run's own
model and trainer, which are imported by name. What does not change a number, such as file names,
tables and progress lines, is kept out of it.
"""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hw2core.data.batches import ResidentBatches
from hw2core.data.split import split_train_validation
from hw2core.devices import pick_device, prepare_device
from hw2core.epoch_watch import EpochReport, EpochWatch
from hw2core.evaluation import evaluate_scores
from hw2core.fit_loop import count_correct
from hw2core.fit_results import FitResult
from hw2core.study_training import Snapshot, StudyTrainer

if TYPE_CHECKING:
    from hw2core.data.prepared import PreparedData
    from hw2core.spec import RunSpec

EVALUATION_BATCH = 500
# Validation images on which the layers are looked at.
PROBED_IMAGES = 64
# A run whose accuracies, in training too, stay below this many times chance has learnt nothing.
AT_CHANCE_FACTOR = 1.5


@dataclass(frozen=True)
class TrainedRun:
    """What a training gives.

    Attributes:
        results: curves; the "test" set of ``fit`` is the validation split.
        facts: what was measured: status, accuracies, costs, device.
        weights: the model's state after the epoch that validation chose.
    """

    results: FitResult
    facts: dict[str, Any]
    weights: dict[str, Tensor]


def train_run(
    spec: RunSpec,
    seed: int,
    data: PreparedData,
    *,
    device: str | None = None,
    evaluation_batch: int = EVALUATION_BATCH,
    checkpoints: str | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume_from: Snapshot | None = None,
    on_snapshot: Callable[[Snapshot], None] | None = None,
) -> TrainedRun:
    """Train ``spec`` with ``seed``, choose the epoch on validation, test once.

    Args:
        spec: the run; its sizes must fit ``data``.
        seed: decides initialisation, order and augmentation. The split does not depend on it.
        data: the images.
        device: name of a device; None for the best there is.
        evaluation_batch: images a batch of evaluation; changes speed and memory only.
        checkpoints: file name without extension for ``Trainer.fit``.
        on_epoch: called after every epoch.
        resume_from: what ``on_snapshot`` was given by a training of the same spec, seed and data
            that was cut short; the result is the one it would have had.
        on_snapshot: called after every epoch with all that the next one depends on, not copied.

    Raises:
        ValueError: the device is not available, or the data are too few for the split.
    """
    target = pick_device(device)
    prepare_device(target, deterministic=spec.training.deterministic)
    start = time.perf_counter()
    train, validation, test = _load_batches(spec, seed, data, target, evaluation_batch)
    seconds_loading = time.perf_counter() - start
    num_steps = spec.training.epochs * min(len(train), spec.training.batches or len(train))

    torch.manual_seed(seed)
    trainer = build_trainer(spec, target, num_steps)
    x, y = next(iter(validation))
    probed = x[:PROBED_IMAGES], y[:PROBED_IMAGES]
    watch = EpochWatch(trainer, spec.training.epochs, probed, on_epoch, on_snapshot)
    if resume_from is None:
        watch.record_layers(0)
    else:
        watch.load_snapshot(resume_from)
    results = trainer.fit(
        train,
        validation,
        spec.training.epochs,
        checkpoints=checkpoints,
        early_stopping=spec.training.early_stopping,
        print_every=0,
        post_epoch_fn=watch,
        history=watch.history,
    )
    epoch_images = min(train.num_images, num_steps // spec.training.epochs * train.batch_size)
    facts: dict[str, Any] = {
        "status": decide_status(results),
        **_evaluate_best(trainer, watch, results, test),
        **trainer.count_costs()._asdict(),
        "layers": watch.layers or None,  # the from-scratch half does not look at them
        "seconds_loading": round(seconds_loading, 3),
        "seconds_training": round(sum(epoch_images / speed for speed in watch.speeds), 3),
        "seconds_per_epoch": [round(seconds, 3) for seconds in watch.seconds],
        "images_per_second": round(statistics.median(watch.speeds), 1),
        "seconds": round(sum(watch.seconds) + time.perf_counter() - watch.last, 3),
        "device": str(target),
        "precision": trainer.precision,
        "cuda_graph": trainer.graphed,
        "threads": torch.get_num_threads(),
    }
    return TrainedRun(results, facts, watch.best_weights)


def build_trainer(spec: RunSpec, device: torch.device, num_steps: int) -> StudyTrainer:
    """Return the trainer of ``spec``, with its network, from the half that the model belongs to.

    The halves are imported by name: a run's code hash holds its own half and not the other.
    """
    module, name = spec.trainer.split(":")
    trainer: StudyTrainer = getattr(importlib.import_module(module), name)(spec, device, num_steps)
    return trainer


def decide_status(results: FitResult, num_classes: int = 10) -> str:
    """Return "diverged", "at_chance" or "trained".

    A run that learns nothing is a result of the study, not an error: plain deep networks do that.
    """
    if not all(math.isfinite(loss) for loss in results.train_loss):
        return "diverged"
    threshold = AT_CHANCE_FACTOR * 100.0 / num_classes
    best = max(*results.train_acc, *results.test_acc)
    return "trained" if best >= threshold else "at_chance"


def _load_batches(
    spec: RunSpec, seed: int, data: PreparedData, device: torch.device, evaluation_batch: int
) -> tuple[ResidentBatches, ResidentBatches, ResidentBatches]:
    """Return the training, validation and test batches."""
    chosen, held_out = split_train_validation(
        data.train_labels,
        num_train=spec.data.train,
        num_validation=spec.data.validation,
        seed=spec.data.split_seed,
    )
    common: dict[str, Any] = {"mean": data.mean, "std": data.std, "device": device}
    train = ResidentBatches(
        data.train_images,
        data.train_labels,
        indices=chosen,
        batch_size=spec.training.batch_size,
        shuffle=True,
        seed=seed,
        drop_last=True,
        flip=spec.training.flip,
        translate=spec.training.translate,
        cutout=spec.training.cutout,
        **common,
    )
    common["batch_size"] = evaluation_batch
    validation = ResidentBatches(data.train_images, data.train_labels, indices=held_out, **common)
    tested = slice(spec.data.test)
    test = ResidentBatches(data.test_images[tested], data.test_labels[tested], **common)
    return train, validation, test


def _evaluate_best(
    trainer: StudyTrainer, watch: EpochWatch, results: FitResult, test: ResidentBatches
) -> dict[str, Any]:
    """Load the best epoch's weights and evaluate them on the test images, for the only time."""
    trainer.load_state(watch.best_weights)
    scores, labels = trainer.compute_scores(test)
    tested = evaluate_scores(scores, labels)
    # Test-time augmentation, for a column of its own: it decides nothing and ranks nothing.
    both = scores.float() + trainer.compute_scores(test, mirrored=True)[0].float()
    return {
        "best_epoch": watch.best_epoch,
        "validation_accuracy": results.test_acc[watch.best_epoch - 1],
        "validation_loss": results.test_loss[watch.best_epoch - 1],
        "test_accuracy": tested.pop("accuracy"),
        "test_loss": tested.pop("loss"),
        "test_accuracy_mirrored": 100.0 * count_correct(both, labels) / len(labels),
        **tested,
    }
