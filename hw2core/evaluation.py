"""What a network gets right and wrong on a set of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NUM_MISTAKES = 25


def evaluate_scores(scores: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return accuracy, loss, confusion and the worst mistakes as plain values.

    Args:
        scores: class scores (N, D), in the order of the images.
        labels: true classes (N,).

    Returns:
        ``accuracy`` in percent; ``loss``, the mean cross-entropy; ``confusion``, how many images
        of each true class (row) were taken for each class (column); ``mistakes``, the wrong
        predictions with the highest probability, each with ``index``, ``label``, ``predicted``
        and ``probability``.
    """
    scores, labels = scores.float().cpu(), labels.cpu()
    num_classes = scores.shape[1]
    probability, predicted = scores.softmax(dim=1).max(dim=1)  # (N,), (N,)
    confusion = torch.bincount(num_classes * labels + predicted, minlength=num_classes**2)
    wrong = (predicted != labels).nonzero()[:, 0]
    # Stable: of equal probabilities the first image comes first.
    order = probability[wrong].sort(descending=True, stable=True).indices
    return {
        "accuracy": 100.0 * (len(labels) - len(wrong)) / len(labels),
        "loss": F.cross_entropy(scores, labels).item(),
        "confusion": confusion.view(num_classes, num_classes).tolist(),
        "mistakes": [
            {
                "index": i,
                "label": int(labels[i]),
                "predicted": int(predicted[i]),
                "probability": round(float(probability[i]), 4),
            }
            for i in wrong[order][:NUM_MISTAKES].tolist()
        ],
    }
