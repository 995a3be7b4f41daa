"""Writes and reads results and evaluations; the types are in :mod:`hw2core.runs.schema`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from hw2core.errors import UserError
from hw2core.io import write_text_atomically
from hw2core.runs import single_file
from hw2core.runs.paths import evaluation_path, result_path
from hw2core.runs.schema import EVALUATION_FORMAT, RESULT_FORMAT, Evaluation, Frozen, Result

if TYPE_CHECKING:
    from hw2core.config.experiment import Experiment

Model = TypeVar("Model", bound=Frozen)

WAY_OUT = "delete it and run again"


class ResultError(UserError):
    """A result, evaluation or file of weights that cannot be used."""


def write_result(path: Path | str, result: Result) -> None:
    """Write a result, whole or not at all, with a digest of its content."""
    _write(path, result)


def write_evaluation(path: Path | str, evaluation: Evaluation) -> None:
    """Write an evaluation, whole or not at all, with a digest of its content."""
    _write(path, evaluation)


def write_single_file(path: Path | str, result: Result, evaluation: Evaluation) -> None:
    """Write both in one file, as the course's ``run_experiment`` does."""
    document = single_file.join(result, evaluation)
    document["metadata"]["digest"] = hash_content(document)
    _write_json(path, document)


def read_result(path: Path | str) -> Result:
    """Read a result; one of format 2 comes with the evaluation that it holds.

    Raises:
        ResultError: it is missing, damaged, or of a format that this version does not read.
    """
    document = _read_json(path)
    head = _find_head(document)
    if head is not document and head.get("format") == single_file.FORMAT:
        _check_digest(path, document, head)
        try:
            result, evaluation = single_file.split(document)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from None
        test = _validate(path, Evaluation, evaluation)
        return _validate(path, Result, result).model_copy(update={"test": test})
    return _read(path, document, Result, RESULT_FORMAT)


def read_evaluation(path: Path | str) -> Evaluation:
    """Read an evaluation.

    Raises:
        ResultError: it is missing, damaged, or of a format that this version does not read.
    """
    return _read(path, _read_json(path), Evaluation, EVALUATION_FORMAT)


def read_run(run: str, seed: int) -> Result:
    """Read the result of a run and seed, with its evaluation where there is one of its weights.

    Raises:
        ResultError: one of the files cannot be read.
    """
    result = read_result(result_path(run, seed))
    path = evaluation_path(run, seed)
    if Path(path).exists():
        test = read_evaluation(path)
        if test.weights_sha256 == result.weights_sha256:
            return result.model_copy(update={"test": test})
    return result


def read_results(experiments: Iterable[Experiment]) -> list[Result]:
    """Read the result of every run and seed of some experiments.

    Raises:
        ResultError: one of them cannot be read.
    """
    return [_read_as(e.name, run, seed) for e in experiments for run, seed in e.pairs()]


def find_results(
    experiments: Iterable[Experiment],
) -> tuple[list[Result], dict[str, list[str]]]:
    """Read the existing results, and name by experiment the runs that have none.

    Raises:
        ResultError: one that exists cannot be read.
    """
    results: list[Result] = []
    missing: dict[str, list[str]] = {}
    for experiment in experiments:
        existing = [pair for pair in experiment.pairs() if Path(result_path(*pair)).exists()]
        results += [_read_as(experiment.name, *pair) for pair in existing]
        found = {run for run, _ in existing}
        missing[experiment.name] = [run for run in experiment.runs if run not in found]
    return results, missing


def _read_as(experiment: str, run: str, seed: int) -> Result:
    """Read a result; one that was made under another name counts as this run's."""
    result = read_run(run, seed)
    names = {"name": run, "experiment": experiment}
    return result.model_copy(update={"config": {**result.config, **names}})


def _write(path: Path | str, model: Frozen) -> None:
    content = model.model_dump(mode="json")
    _write_json(path, {"digest": hash_content(content), **content})


def _write_json(path: Path | str, document: Mapping[str, Any]) -> None:
    write_text_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _read(path: Path | str, document: dict[str, Any], kind: type[Model], version: int) -> Model:
    found = _find_head(document).get("format")
    if found != version:
        raise ResultError(
            f"{path}: format {found!r}; this version reads {version}"
            + (f" and {single_file.FORMAT}" if kind is Result else "")
            + f"; {WAY_OUT}"
        )
    _check_digest(path, document, document)
    del document["digest"]
    return _validate(path, kind, document)


def _validate(path: Path | str, kind: type[Model], values: Mapping[str, Any]) -> Model:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{key}: {first['msg']}" if key else first["msg"]) from None


def _read_json(path: Path | str) -> dict[str, Any]:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(f"{path}: no such result") from None
    # A file of nothing but brackets is too deep for the parser.
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    if not isinstance(document, dict):
        raise _damaged(path, "not a JSON object")
    return document


def _find_head(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a document that holds its format and digest: itself, or its metadata."""
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else document


def _check_digest(path: Path | str, document: dict[str, Any], holder: dict[str, Any]) -> None:
    """Compare a document with the digest in ``holder``, a part of it."""
    rest = {key: value for key, value in holder.items() if key != "digest"}
    content = rest if holder is document else {**document, "metadata": rest}
    if holder.get("digest") != hash_content(content):
        raise _damaged(path, "its content is not what was written")


def hash_content(content: Mapping[str, Any]) -> str:
    """Return the sha256 of plain values, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path | str, problem: str) -> ResultError:
    return ResultError(f"{path}: not a result, or damaged ({problem}); {WAY_OUT}")
