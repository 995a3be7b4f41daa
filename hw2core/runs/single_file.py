"""Format 2: result and evaluation in one file, as the course has it and the pipeline once had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hw2core.config.retired import upgrade_config
from hw2core.runs.schema import measure_class_accuracy

if TYPE_CHECKING:
    from hw2core.runs.schema import Evaluation, Result

FORMAT = 2
TIMING = (
    "seconds",
    "seconds_loading",
    "seconds_training",
    "seconds_per_epoch",
    "images_per_second",
)
ENVIRONMENT = (
    "device",
    "processor",
    "precision",
    "threads",
    "cuda_graph",
    "versions",
    "git_commit",
)
SAME = (
    "status",
    "best_epoch",
    "parameters",
    "flops_per_image",
    "layers",
    "study_size",
    "spec_hash",
    "code",
    "code_hash",
    "data_sha256",
)


def join(result: Result, evaluation: Evaluation) -> dict[str, Any]:
    """Return the document of one file: ``config``, ``results`` and ``metadata``."""
    plain = result.model_dump(mode="json")
    metadata = {
        "format": FORMAT,
        **{key: plain[key] for key in SAME},
        "validation_accuracy": result.validation_accuracy,
        "validation_loss": result.validation_loss,
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "confusion": evaluation.confusion,
        "mistakes": [mistake.model_dump() for mistake in evaluation.mistakes],
        **plain["timing"],
        **plain["environment"],
    }
    curves = zip(
        ("train_loss", "train_acc", "test_loss", "test_acc"), plain["epochs"].values(), strict=True
    )
    results = {"num_epochs": len(result.epochs), **dict(curves)}
    return {"config": plain["config"], "results": results, "metadata": metadata}


def split(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return result and evaluation of a document, as plain values of today's formats.

    Its "test" curves are those of validation. What it does not hold is absent, not invented; the
    accuracy on mirrored images that it may hold is dropped.

    Raises:
        KeyError, TypeError: something is missing or of another type.
    """
    config, results, old = document["config"], document["results"], document["metadata"]
    result = {
        "config": upgrade_config(config),
        "epochs": {
            "train_loss": results["train_loss"],
            "train_accuracy": results["train_acc"],
            "validation_loss": results["test_loss"],
            "validation_accuracy": results["test_acc"],
        },
        "timing": {key: old[key] for key in TIMING},
        "environment": {key: old[key] for key in ENVIRONMENT},
        **{key: old[key] for key in SAME},
        "weights_sha256": old.get("weights_sha256"),
    }
    confusion = old["confusion"]
    evaluation = {
        "run": config["name"],
        "seed": config["seed"],
        "num_images": sum(map(sum, confusion)),
        "accuracy": old["test_accuracy"],
        "loss": old["test_loss"],
        "class_accuracy": measure_class_accuracy(confusion),
        "confusion": confusion,
        "calibration_error": None,
        # A diverged network gave its predictions no probability.
        "mistakes": [x for x in old["mistakes"] if x["probability"] is not None],
        "code": None,
        "data_sha256": old["data_sha256"],
        "weights_sha256": old.get("weights_sha256"),
    }
    return result, evaluation
