"""Format 2: result and evaluation in one file, as the course has it and the pipeline once had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hw2core.config.spec import upgrade_config
from hw2core.runs.schema import (
    Environment,
    Evaluation,
    Frozen,
    Result,
    Timing,
    measure_class_accuracy,
)

FORMAT = 2
# Their keys are in "metadata".
SECTIONS: dict[str, type[Frozen]] = {"timing": Timing, "environment": Environment}
CURVES = {
    "train_loss": "train_loss",
    "train_accuracy": "train_acc",
    "validation_loss": "test_loss",
    "validation_accuracy": "test_acc",
}


def join(result: Result, evaluation: Evaluation) -> dict[str, Any]:
    """Return the document of one file: ``config``, ``results`` and ``metadata``."""
    new = {"format", "weights_sha256", "revalidated", "same_as"}
    plain = result.model_dump(mode="json", exclude=new)
    config, epochs, timing, environment = map(plain.pop, ("config", "epochs", *SECTIONS))
    metadata = {
        "format": FORMAT,
        **plain,
        "validation_accuracy": result.validation_accuracy,
        "validation_loss": result.validation_loss,
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "confusion": evaluation.confusion,
        "mistakes": [mistake.model_dump() for mistake in evaluation.mistakes],
        **timing,
        **environment,
    }
    results = {"num_epochs": len(result.epochs)} | {CURVES[key]: epochs[key] for key in CURVES}
    return {"config": config, "results": results, "metadata": metadata}


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
        "epochs": {new: results[key] for new, key in CURVES.items()},
        **{part: {key: old[key] for key in kind.model_fields} for part, kind in SECTIONS.items()},
        **{key: old[key] for key in old.keys() & Result.model_fields.keys() - {"format"}},
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
