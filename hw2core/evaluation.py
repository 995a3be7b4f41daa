"""Evaluates trained weights on the test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hw2core.data.loader import Loader
from hw2core.engine.device import pick_device, prepare_device
from hw2core.engine.run import EVALUATION_BATCH, build_trainer

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec
    from hw2core.data.prepared import PreparedData

NUM_MISTAKES = 25
NUM_BINS = 15


def evaluate_weights(
    spec: RunSpec,
    weights: Mapping[str, Tensor],
    data: PreparedData,
    *,
    num_images: int,
    precision: str,
    device: str | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> dict[str, Any]:
    """Evaluate a network on the first ``num_images`` test images; see ``measure_logits``.

    Args:
        spec: the run that trained the weights.
        weights: the weights that training kept.
        data: the images.
        num_images: number of test images; all if there are fewer.
        precision: "fp32" or "bf16", as in training.
        device: name of a device; None for the best available.
        batch_size: images per batch; changes speed and memory only.
    """
    target = pick_device(device)
    prepare_device(target, deterministic=spec.training.deterministic)
    training = spec.training.model_copy(update={"precision": precision})
    trainer = build_trainer(spec.model_copy(update={"training": training}), target, num_steps=1)
    trainer.load_weights(weights)
    tested = slice(num_images)
    batches = Loader(
        data.test_images[tested],
        data.test_labels[tested],
        batch_size=batch_size,
        mean=data.mean,
        std=data.std,
        device=target,
    )
    return measure_logits(*trainer.compute_logits(batches))


def measure_logits(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return metrics, named as in :class:`hw2core.runs.schema.Evaluation`.

    Args:
        logits: (N, D), in the order of the images.
        labels: true classes (N,).
    """
    logits, labels = logits.float().cpu(), labels.cpu()
    num_classes = logits.shape[1]
    probability, predicted = logits.softmax(dim=1).max(dim=1)  # (N,), (N,)
    counts = torch.bincount(num_classes * labels + predicted, minlength=num_classes**2)
    confusion = counts.view(num_classes, num_classes)
    return {
        "num_images": len(labels),
        "accuracy": 100.0 * int(confusion.diagonal().sum()) / len(labels),
        "loss": F.cross_entropy(logits, labels).item(),
        "confusion": confusion.tolist(),
        "calibration_error": measure_calibration_error(probability, predicted == labels),
        "mistakes": find_mistakes(probability, predicted, labels),
    }


def measure_calibration_error(probability: Tensor, correct: Tensor) -> float | None:
    """Return the expected calibration error in percent; None if a probability is not finite.

    Predictions are put into 15 bins of equal width by their probability. The error is the mean
    over the predictions of the gap between accuracy and mean probability of their bin.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599.

    Args:
        probability: of the predicted class, (N,).
        correct: whether the prediction is correct, (N,).
    """
    if not probability.isfinite().all():
        return None
    bins = (probability * NUM_BINS).ceil().long().clamp(1, NUM_BINS) - 1  # (N,)
    gaps = torch.zeros(NUM_BINS, dtype=torch.float64)
    gaps.index_add_(0, bins, correct.double() - probability.double())
    return 100.0 * float(gaps.abs().sum()) / len(probability)


def find_mistakes(probability: Tensor, predicted: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Return the wrong predictions with the highest probability; all arguments are (N,).

    Predictions without a finite probability, as of a diverged network, are left out.
    """
    wrong = ((predicted != labels) & probability.isfinite()).nonzero()[:, 0]
    # Stable: images with equal probabilities stay in order.
    order = probability[wrong].sort(descending=True, stable=True).indices
    return [
        {
            "index": i,
            "label": int(labels[i]),
            "predicted": int(predicted[i]),
            "probability": round(float(probability[i]), 4),
        }
        for i in wrong[order][:NUM_MISTAKES].tolist()
    ]
