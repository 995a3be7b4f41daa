"""Reads curves for the course's calls, and checks where these may write their result."""

from __future__ import annotations

import json
import logging
import re
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ValidationError

from hw2core.config.errors import describe_errors
from hw2core.config.spec import RunSpec
from hw2core.errors import UserError
from hw2core.history import FitResult
from hw2core.io import check_regular
from hw2core.runs.files import LARGEST_FILE, ResultError, is_own, read_result
from hw2core.runs.plan import check_replacing
from hw2core.runs.schema import EVALUATION_FORMAT, Result

# The course's names of the keys of ``training``.
TRAINING = {
    "bs_train": "batch_size",
    "batches": "batches",
    "epochs": "epochs",
    "early_stopping": "early_stopping",
    "lr": "lr",
    "reg": "weight_decay",
}


def _join_epochs(curve: object) -> object:
    """Return a curve whose losses are in a list per epoch as one list."""
    if not isinstance(curve, list):
        return curve
    return [v for entry in curve for v in (entry if isinstance(entry, list) else [entry])]


Curve = Annotated[list[float | None], BeforeValidator(_join_epochs)]


class _Curves(BaseModel, strict=True):
    """A ``FitResult`` of the course: losses per batch, accuracies per epoch."""

    num_epochs: int
    train_loss: Curve
    train_acc: Curve
    test_loss: Curve
    test_acc: Curve


class _Document(BaseModel, strict=True):
    """A file of the course."""

    config: dict[str, Any]
    results: _Curves


def read_fit(path: Path | str) -> tuple[dict[str, Any], FitResult]:
    """Return config and curves of a result of this project, or of a file of the course's format.

    Raises:
        ResultError: it is missing, damaged or neither, such as an evaluation.
    """
    try:
        check_regular(path, LARGEST_FILE)
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(f"{path}: no such result") from None
    except (OSError, ValueError, RecursionError) as error:
        problem = getattr(error, "strerror", None) or error
        raise ResultError(f"{path}: not a result of this project, or damaged ({problem})") from None
    if is_own(document):
        if document.get("format") == EVALUATION_FORMAT:
            result_name = f"{Path(path).name.partition('.')[0]}.json"
            raise ResultError(f"{path}: an evaluation, without curves; its result is {result_name}")
        result = read_result(path)
        return add_course_keys(result, Path(path)), result.epochs.as_fit_result()
    try:
        read = _Document.model_validate(document)
    except ValidationError as error:
        line = describe_errors(error)[0].removeprefix(": ")
        raise ResultError(f"{path}: not a result of this project ({line})") from None
    return read.config, FitResult(**dict(read.results))


def add_course_keys(result: Result, path: Path) -> dict[str, Any]:
    """Return the config with the arguments of ``run_experiment`` beside its sections.

    What a result does not record is None.
    """
    architecture, training = (
        section if isinstance(section := result.config.get(key), dict) else {}
        for key in ("architecture", "training")
    )
    return {
        **architecture,
        **{name: training.get(key) for name, key in TRAINING.items()},
        "run_name": re.sub(r"_L\d+_K\d+(-\d+)*$", "", result.name),
        "out_dir": str(path.parent),
        "device": result.environment.device,
        "model_type": result.config.get("model"),
        "bs_test": None,
        "checkpoints": None,
        **result.config,
    }


def check_place(path: Path | str, new: RunSpec) -> None:
    """Refuse to write the result of the run ``new`` over a larger one or another kind of file.

    Raises:
        ResultError, LossError: it names the file.
    """
    if Path(path).exists():
        read_fit(path)
        check_replacing(str(path), new)


def find_place(path: Path | str, new: RunSpec, log: logging.Logger) -> str:
    """Return ``path``, or a free name next to it if a file that must stay arrived there."""
    try:
        check_place(path, new)
    except UserError:
        names = (Path(path).with_suffix(f".{number}.json") for number in count(2))
        free = next(name for name in names if not name.exists())
        log.warning(f"{path}: not replaced, because it changed meanwhile; this result is in {free}")
        return str(free)
    return str(path)
