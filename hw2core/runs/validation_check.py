"""Before an evaluation: weights have to give what they gave in the process that trained them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hw2core.config.spec import RunSpec
from hw2core.data.split import split_train_validation
from hw2core.engine.run import NetworkError
from hw2core.evaluation import evaluate_weights
from hw2core.runs.make import explain_memory, use_device
from hw2core.runs.schema import Result

if TYPE_CHECKING:
    from torch import Tensor

    from hw2core.data.prepared import PreparedData

POINTS, IMAGES = 2, 2  # that other kernels may change, as those of another device


def check_validation(
    result: Result, weights: Mapping[str, Tensor], data: PreparedData, device: str | None = None
) -> None:
    """Check that the weights of ``result`` have the validation accuracy that training recorded.

    Those of a network whose logits are not finite are not checked: its accuracy is by chance.

    Raises:
        NetworkError: it is another one, because the network depends on more than its weights.
        UserError: the device cannot be used, or has too little memory.
    """
    best = result.best_epoch - 1
    if result.epochs.validation_loss[best] is None:
        return
    spec = RunSpec.from_config(result.config)
    _, held_out = split_train_validation(
        data.train_labels,
        num_train=spec.data.train,
        num_validation=spec.data.validation,
        seed=spec.data.split_seed,
    )
    images, labels = data.train_images[held_out], data.train_labels[held_out]
    with use_device(device), explain_memory():
        found = evaluate_weights(
            spec,
            weights,
            replace(data, test_images=images, test_labels=labels),
            num_images=len(labels),
            precision=result.environment.precision,
            device=device,
        )["accuracy"]
    recorded = result.epochs.validation_accuracy[best]
    if abs(found - recorded) > max(POINTS, 100 * IMAGES / len(labels)):
        raise NetworkError(
            f"{spec.implementation}: with the same weights, the validation accuracy was "
            f"{recorded:.2f} % in training and is {found:.2f} % in this process; register as a "
            "buffer what the network's module, its class or a cache draws, computes or orders"
        )
