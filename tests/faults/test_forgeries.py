"""Tests of forged results: whatever a file contains, one line says what is wrong with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from forgeries import forge

from hw2core.config.spec import Experiment
from hw2core.config.study import CHECKOUT
from hw2core.runs import files, paths
from hw2core.runs.files import ResultError, read_evaluation, read_result
from hw2core.runs.schema import Evaluation, Result
from hw2core.runs.staleness import explain_evaluation, explain_result
from hw2core.runs.weights import check_weights, read_weights

# About 1,000 forgeries, of each value other ones; with HW2_FAULTS all 5,000.
STEP = 1 if "HW2_FAULTS" in os.environ else 5
FORMAT_2 = CHECKOUT / "tests" / "runs" / "format2.json"
LAYERS = {
    "names": ["conv1", "fc1"],
    "epochs": [0, 1],
    **dict.fromkeys(("gradient_norm", "activation_std", "dead_fraction"), [[0.5, 0.1]] * 2),
}
REVALIDATED = {"commit": "abc", "date": "2026-01-02", "compared": "tiny_L2_K4 (cnn, sgd, bf16)"}


@pytest.fixture(scope="module")
def validators() -> dict[type, jsonschema.Draft202012Validator]:
    names = {Result: "result", Evaluation: "evaluation"}
    return {
        kind: jsonschema.Draft202012Validator(
            json.loads((CHECKOUT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
        )
        for kind, name in names.items()
    }


def write_signed(path: Path, document: dict[str, Any]) -> None:
    """Write a document with the right digest."""
    metadata = document.get("metadata")
    head = metadata if isinstance(metadata, dict) else document
    head.pop("digest", None)
    head["digest"] = files.hash_content(document)
    path.write_text(json.dumps(document))


@pytest.fixture
def original(write_run, tiny_spec) -> Callable[[str], tuple[Path, dict[str, Any]]]:
    """Returns the path of a good file of a kind in this folder, and its content."""

    def write(kind: str) -> tuple[Path, dict[str, Any]]:
        known = {"hw2core.training": "0"}
        write_run(layers=LAYERS, revalidated=[REVALIDATED], same_as="another", code=known)
        result, evaluation = (
            paths.result_path(tiny_spec.name, 0),
            paths.evaluation_path(tiny_spec.name, 0),
        )
        path = Path(evaluation if kind == "evaluation" else result)
        if kind != "format 2":
            return path, json.loads(path.read_text(encoding="utf-8"))
        document = json.loads(FORMAT_2.read_text(encoding="utf-8"))
        document["metadata"]["code"] = known
        return path, document

    return write


@pytest.mark.parametrize("kind", ["result", "evaluation", "format 2"])
def test_each_forged_value_is_refused_in_one_line_or_is_a_possible_one(
    kind, original, tiny_spec, validators
):
    path, document = original(kind)
    experiment = Experiment("tiny", "?", "x", "y", runs=(tiny_spec.name,), seeds=(0,), sizes={})
    silent = []
    for number, (place, value, forged) in enumerate(islice(forge(document), 0, None, STEP)):
        if place[-1] == "digest":
            continue
        write_signed(path, forged)
        try:
            read = read_evaluation(path) if kind == "evaluation" else read_result(path)
        except ResultError as error:
            line = str(error)
            assert line.startswith(f"{path}: ")
            assert line.isprintable()
            assert len(line) < 1100
            named = line.removeprefix(f"{path}: ")
            # Of an entry of a list or mapping, the key above it is enough.
            if not any(str(key) in named for key in place[-2:]) and "format" not in named:
                silent.append((place, value, line))
            if number % 20:  # what follows reports the same line
                continue
        else:
            for part in (read, read.test if isinstance(read, Result) else None):
                if part is not None:
                    content = {"digest": "", **part.model_dump(mode="json")}
                    validators[type(part)].validate(content)
        explain_result(tiny_spec, 0)
        explain_evaluation(tiny_spec, 0)
        with suppress(ResultError):
            (found,), _ = files.find_results([experiment])
            assert found.config.keys() == tiny_spec.describe(0).keys()
    assert silent == []


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "huge", "nested", "latin-1"])
def test_what_is_no_file_of_json_does_not_hang_and_fills_no_memory(kind, original, tiny_spec):
    path, _ = original("result")
    evaluation = Path(paths.evaluation_path(tiny_spec.name, 0))
    for file, explain, read in (
        (evaluation, explain_evaluation, read_evaluation),
        (path, explain_result, read_result),
    ):
        file.unlink()
        replace(file, kind)
        (reason,) = explain(tiny_spec, 0)
        assert reason.startswith(f"{file}: not a result, or damaged (")
        with pytest.raises(ResultError, match="delete it and run again"):
            read(file)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "huge"])
def test_what_is_no_file_of_weights_does_not_hang(kind, original, tiny_spec):
    path, _ = original("result")
    weights, result = Path(paths.weights_path(tiny_spec.name, 0)), read_result(path)
    weights.unlink()
    replace(weights, kind)
    with pytest.raises(ResultError, match=r"not a regular file|larger than"):
        check_weights(weights, result)
    with pytest.raises(ResultError, match=r"not a regular file|larger than"):
        read_weights(weights)
    (reason,) = explain_result(tiny_spec, 0)
    assert str(weights) in reason


def replace(path: Path, kind: str) -> None:
    """Make something else than a file of text where ``path`` was."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as stream:
            stream.truncate(1 << 40)
    elif kind == "nested":
        path.write_text("[" * 1_000_000)
    else:
        path.write_bytes('{"format": 3, "é": 1}'.encode("latin-1"))
