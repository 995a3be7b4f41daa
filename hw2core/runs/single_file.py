"""Reads and writes format 2: result and evaluation in one file, as in the course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from hw2core.config.errors import Location, join_path
from hw2core.config.spec import upgrade_config
from hw2core.runs.outcome import judge_status
from hw2core.runs.schema import (
    Environment,
    Evaluation,
    Result,
    Timing,
)
from hw2core.runs.values import Confusion, Epoch, Frozen, measure_class_accuracy

FORMAT = 2
# Their keys are in "metadata".
SECTIONS: dict[str, type[Frozen]] = {"timing": Timing, "environment": Environment}
TESTED = {"accuracy": "test_accuracy", "loss": "test_loss", "data_sha256": "data_sha256"}
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
        "status": judge_status(result),
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


class _Curves(BaseModel, extra="allow", strict=True):
    """The curves, under the names of the course."""

    num_epochs: Epoch


class _Measured(BaseModel, extra="allow", strict=True):
    """What was measured on the test images."""

    confusion: Confusion
    mistakes: list[dict[str, Any]]


class _Document(BaseModel, extra="forbid", strict=True):
    """What a document needs to be split; result and evaluation check the rest."""

    config: dict[str, Any]
    results: _Curves
    metadata: _Measured


def split(document: Mapping[str, Any]) -> tuple[Result, Evaluation]:
    """Return the result and the evaluation that a document holds.

    Its "test" curves are those of validation. Values that it does not have stay absent, and its
    accuracy on mirrored images, if any, is dropped.

    Raises:
        ValueError: something is missing or wrong; ``locate`` names it in a ValidationError.
    """
    _Document.model_validate(document)
    config, results, old = document["config"], document["results"], document["metadata"]
    parts = {part: old.keys() & kind.model_fields.keys() for part, kind in SECTIONS.items()}
    names = Result.model_fields.keys() - {"format", "config", "epochs", "test", *parts}
    values = {
        "config": upgrade_config(config),
        "epochs": _select(results, CURVES),
        **{part: {key: old[key] for key in keys} for part, keys in parts.items()},
        **{key: old[key] for key in old.keys() & names},
    }
    result = Result.model_validate(values)
    if results["num_epochs"] != len(result.epochs):
        raise ValueError(f"results.num_epochs: {results['num_epochs']}: not the curves' length")
    confusion = old["confusion"]
    tested = {
        **_select(config, {"run": "name", "seed": "seed"}),
        **_select(old, TESTED),
        "num_images": sum(map(sum, confusion)),
        "class_accuracy": measure_class_accuracy(confusion),
        "confusion": confusion,
        "calibration_error": None,
        # A diverged network gave its predictions no probability.
        "mistakes": [x for x in old["mistakes"] if x.get("probability", 0) is not None],
        "code": None,
        "weights_sha256": old.get("weights_sha256"),
    }
    return result, Evaluation.model_validate(tested)


def locate(location: Location) -> str:
    """Return where a document of format 2 has a location of a result or evaluation."""
    section, *rest = map(str, location)
    if section == "epochs":
        return join_path(["results", *(CURVES.get(key, key) for key in rest)])
    if section in ("config", "results", "metadata"):
        return join_path(location)
    here = [] if section in SECTIONS else [TESTED.get(section, section)]
    return join_path(["metadata", *here, *rest])


def _select(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return ``{new: values[old]}`` for all new and old names whose value exists."""
    return {new: values[old] for new, old in names.items() if old in values}
