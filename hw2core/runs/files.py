"""Writes and reads results and evaluations; the types are in :mod:`hw2core.runs.schema`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hw2core.config.errors import ConfigError, Location, describe_errors, join_path
from hw2core.config.spec import RunSpec
from hw2core.errors import UserError, make_line
from hw2core.io import check_regular, write_text_atomically
from hw2core.runs import single_file
from hw2core.runs.paths import evaluation_path, result_path
from hw2core.runs.schema import EVALUATION_FORMAT, RESULT_FORMAT, Evaluation, Result
from hw2core.runs.values import Frozen

if TYPE_CHECKING:
    from hw2core.config.spec import Experiment

WAY_OUT = "delete it and run again"
LARGEST_FILE = 10 << 20  # bytes; a result with the most epochs and layers takes 3 MB


class ResultError(UserError):
    """A result, evaluation or file of weights that cannot be used."""

    def __init__(self, message: str) -> None:
        """Keep ``message``, which may contain untrusted text, as one line."""
        super().__init__(make_line(message))


class ForeignResultError(ResultError):
    """A result that this project did not write, or a newer version of it: to be kept."""


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
    """Read a result; a file of format 2 contains the evaluation as well.

    Raises:
        ResultError: it is missing, damaged, or of a format that this version does not read.
    """
    with _name_damage(path):
        document = _read(path, RESULT_FORMAT, single_file.FORMAT)
        if "metadata" not in document:
            for key in ("study_size", "status"):  # only in the first results of this format
                document.pop(key, None)
            return Result.model_validate(document)
    with _name_damage(path, single_file.locate):
        result, test = single_file.split(document)
        return result.model_copy(update={"test": test})


def read_evaluation(path: Path | str) -> Evaluation:
    """Read an evaluation.

    Raises:
        ResultError: it is missing, damaged, or of a format that this version does not read.
    """
    with _name_damage(path):
        return Evaluation.model_validate(_read(path, EVALUATION_FORMAT))


def read_run(run: str, seed: int) -> Result:
    """Read the result of a run and seed, with the evaluation of its weights if there is one.

    Raises:
        ResultError: one of the files cannot be read.
    """
    result = read_result(result_path(run, seed))
    path = evaluation_path(run, seed)
    if Path(path).exists():
        test = read_evaluation(path)
        if test.is_of(result):
            return result.model_copy(update={"test": test})
    return result


def find_results(experiments: Iterable[Experiment]) -> tuple[list[Result], dict[str, list[str]]]:
    """Read the existing results; also return, by experiment, the names of runs without one.

    Raises:
        ResultError: an existing result cannot be read, or was copied from another run.
    """
    results: list[Result] = []
    missing: dict[str, list[str]] = {}
    for experiment in experiments:
        existing = [pair for pair in experiment.pairs() if Path(result_path(*pair)).exists()]
        results += [_read_as(experiment, *pair) for pair in existing]
        found = {run for run, _ in existing}
        missing[experiment.name] = [run for run in experiment.runs if run not in found]
    return results, missing


def _read_as(experiment: Experiment, run: str, seed: int) -> Result:
    """Read a result as that of a run, even if it was made under another name.

    Under another name, it has to have the run's settings, where they are known. Its configuration
    has all keys of this version.
    """
    result = read_run(run, seed)
    if result.seed != seed:
        raise ResultError(f"{result_path(run, seed)}: of seed {result.seed}; {WAY_OUT}")
    try:
        spec = RunSpec.from_config(result.config, result_path(run, seed))
    except ConfigError as error:
        raise ResultError(f"{error.lines[0]}; {WAY_OUT}") from None
    suffix = spec.architecture.name_suffix
    if not run.endswith(suffix):
        raise ResultError(f"{result_path(run, seed)}: of another network, {suffix}; {WAY_OUT}")
    planned = experiment.specs.get(run)
    if planned and run != result.name and planned.identity() != spec.identity():
        raise ResultError(f"{result_path(run, seed)}: of another run, {result.name}; {WAY_OUT}")
    config = {**spec.describe(result.seed), "name": run, "experiment": experiment.name}
    return result.model_copy(update={"config": config})


def share_result(original: Result, spec: RunSpec) -> tuple[Result, Evaluation]:
    """Return ``original`` and its evaluation as those of ``spec``, which differs in name only.

    Raises:
        ResultError: ``original`` is not evaluated.
    """
    if original.test is None:
        raise ResultError(f"{original.name} seed {original.seed}: it is not evaluated yet")
    names = {"config": spec.describe(original.seed), "same_as": original.name}
    evaluation = original.test.model_copy(update={"run": spec.name})
    return original.model_copy(update=names), evaluation


def forget_others(results: Collection[Result]) -> list[Result]:
    """Return results, each with ``same_as`` only if that run is among them and still the same."""
    same = {(each.name, each.seed, each.spec_hash, each.weights_sha256) for each in results}
    return [
        result
        if result.same_as is None
        or (result.same_as, result.seed, result.spec_hash, result.weights_sha256) in same
        else result.model_copy(update={"same_as": None})
        for result in results
    ]


def is_own(document: object) -> bool:
    """Return whether this project wrote a file: those of others have no such format or digest."""
    if not isinstance(document, dict):
        return False
    head = _find_head(document)
    digest = head.get("digest")
    return type(head.get("format")) is int or (isinstance(digest, str) and len(digest) == 64)


def _find_head(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a file that holds its format and digest."""
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else document


def hash_content(content: Mapping[str, Any]) -> str:
    """Return the sha256 of plain values, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path | str, model: Frozen) -> None:
    content = model.model_dump(mode="json")
    _write_json(path, {"digest": hash_content(content), **content})


def _write_json(path: Path | str, document: Mapping[str, Any]) -> None:
    write_text_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _read(path: Path | str, *formats: int) -> dict[str, Any]:
    """Return the content of a file of one of ``formats``, without its digest, which is checked."""
    check_regular(path, LARGEST_FILE)
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not is_own(document):
        found = _find_head(document).get("format") if isinstance(document, dict) else None
        raise ForeignResultError(
            f"{path}: not a result of this project (format {found!r}); move it away and run again"
        )
    head = _find_head(document)
    if type(found := head.get("format")) is not int or found not in formats:  # True == 1
        known = " and ".join(map(str, formats))
        line = f"{path}: format {found!r}; this version reads {known}"
        if isinstance(found, int) and found > max(formats):
            raise ForeignResultError(f"{line}; update the project, or move it away and run again")
        raise ResultError(f"{line}; {WAY_OUT}")
    if head.pop("digest", None) != hash_content(document):
        raise ValueError("its content does not match its digest")
    return document


@contextmanager
def _name_damage(path: Path | str, locate: Callable[[Location], str] = join_path) -> Iterator[None]:
    """Turn the errors of a damaged file into a ``ResultError``; ``locate`` names a wrong value."""
    try:
        yield
    except FileNotFoundError:
        raise ResultError(f"{path}: no such result") from None
    # A file of thousands of brackets is too deep for the parser.
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            problem, *_ = describe_errors(error, locate)
        else:
            problem = getattr(error, "strerror", None) or str(error)
        raise ResultError(f"{path}: not a result, or damaged ({problem}); {WAY_OUT}") from None
