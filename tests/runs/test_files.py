from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hw2core.config.errors import describe_errors
from hw2core.config.spec import Experiment, RunSpec
from hw2core.history import FitResult
from hw2core.runs import files, paths
from hw2core.runs.files import (
    ResultError,
    read_evaluation,
    read_result,
    read_run,
    share_result,
)
from hw2core.runs.schema import Epochs, Result
from hw2core.runs.staleness import Identity

STATISTICS = ("gradient_norm", "activation_std", "dead_fraction")
# Written by the version before results had types: config, results and metadata.
FORMAT_2 = Path(__file__).with_name("format2.json")


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a document of format 2 with the digest of its content."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "digest"}
    digest = files.hash_content({**document, "metadata": metadata})
    path.write_text(json.dumps({**document, "metadata": {**metadata, "digest": digest}}))


def test_a_result_and_an_evaluation_survive_writing_and_reading(
    tmp_path, make_result, make_evaluation
):
    path = tmp_path / "deep" / "seed0.json"
    result = make_result(weights_sha256="ab")
    files.write_result(path, result)
    assert read_result(path) == result
    evaluation = make_evaluation(result)
    files.write_evaluation(path.with_suffix(".test.json"), evaluation)
    assert read_evaluation(path.with_suffix(".test.json")) == evaluation
    with pytest.raises(ValueError, match="frozen"):
        result.best_epoch = 1
    with pytest.raises(ResultError, match=r"seed1\.json: no such result"):
        read_result(path.with_name("seed1.json"))
    assert json.loads(path.read_text())["format"] == 3
    assert (result.name, result.experiment, result.seed) == ("tiny_L2_K8", "tiny", 0)
    assert result.validation_accuracy == 55.0
    assert result.validation_loss is None


def test_losses_that_are_not_finite_become_null(tmp_path, make_result):
    fit = FitResult(2, [1.5, math.inf], [40.0, 10.0], [1.6, math.nan], [39.0, 10.0])
    files.write_result(tmp_path / "r.json", make_result(epochs=Epochs.of(fit)))
    json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    expected = fit._replace(train_loss=[1.5, None], test_loss=[1.6, None])
    assert read_result(tmp_path / "r.json").epochs.as_fit_result() == expected


def test_a_long_run_stays_below_100_kb(tmp_path, make_result):
    curve = [1 / 3] * 300
    epochs = Epochs.of(FitResult(300, curve, curve, curve, curve))
    files.write_result(tmp_path / "r.json", make_result(epochs=epochs))
    assert (tmp_path / "r.json").stat().st_size < 100_000


@pytest.mark.parametrize(
    "changes",
    [
        {"best_epoch": 3},
        {"best_epoch": 1},  # not the highest
        {"layers": "good"},
        {"layers": {"names": [], "epochs": [3]} | {key: [[]] for key in STATISTICS}},
        {"study_sized": True},
        {"epochs": {key: [1.0] for key in Epochs.model_fields} | {"train_accuracy": []}},
    ],
)
def test_a_result_that_contradicts_itself_is_never_made(make_result, changes):
    with pytest.raises(ValidationError) as caught:
        make_result(**changes)
    (line,) = describe_errors(caught.value)
    assert line.startswith(next(iter(changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy": 75.1},
        {"class_accuracy": [99.0, 50.0, *[None] * 8]},
        {"class_accuracy": [100.0, 50.0, 0.0, *[None] * 7]},
        {"class_accuracy": [None, 50.0, *[None] * 8]},
        {"loss": 0.1},  # a quarter of the images is wrong, each with a loss of 0.69 at least
        {"loss": -1.0},
    ],
)
def test_an_evaluation_that_contradicts_its_confusion_matrix_is_one_line(
    tmp_path, make_result, make_evaluation, changes
):
    content = make_evaluation(make_result()).model_dump(mode="json") | changes
    path = tmp_path / "seed0.test.json"
    path.write_text(json.dumps({"digest": files.hash_content(content), **content}))
    with pytest.raises(ResultError, match=rf"\({next(iter(changes))}.*confusion") as caught:
        read_evaluation(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_of_format_2_that_contradicts_itself_is_one_line(tmp_path):
    old = json.loads(FORMAT_2.read_text())
    old["metadata"]["test_accuracy"] += 1
    write_document(tmp_path / "seed0.json", old)
    with pytest.raises(ResultError, match=r"metadata\.test_accuracy: .*: confusion gives 7\.5"):
        read_result(tmp_path / "seed0.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *((text, "damaged") for text in ("", '{"config": {', "[" * 100_000)),
        *(
            (text, r"not a result of this project \(format None\); move it away")
            for text in ("[]", "null", "{}")
        ),
        ('{"format": 3}', "damaged|format 3; this version reads 1;"),
        ('{"metadata": {"format": 2}}', "damaged|format 2; this version reads 1;"),
        ('{"config": {}, "results": {}, "metadata": {"format": 2}}', "damaged|reads 1;"),
        ('{"format": true}', r"not a result of this project \(format True\)"),
        ('{"format": 99}', "format 99; this version reads (3 and 2|1); update the project"),
        ('{"config": {}, "metadata": {"format": 99}}', "format 99; this version reads"),
    ],
)
@pytest.mark.parametrize("read", [read_result, read_evaluation])
def test_a_damaged_file_is_one_line_with_the_way_out(tmp_path, text, words, read):
    path = tmp_path / "seed0.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=words) as caught:
        read(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}: ")
    assert line.endswith(("delete it and run again", "move it away and run again"))


def test_a_wrong_value_is_named_by_its_key(tmp_path, make_result):
    content = make_result().model_dump(mode="json")
    content["timing"]["seconds"] = -1
    path = tmp_path / "seed0.json"
    path.write_text(json.dumps({"digest": files.hash_content(content), **content}))
    with pytest.raises(ResultError, match=r"timing\.seconds: -1: must be at least 0"):
        read_result(path)


@pytest.mark.parametrize("number", [True, 1.0])
def test_a_format_is_a_whole_number(tmp_path, make_result, make_evaluation, number):
    content = make_evaluation(make_result()).model_dump(mode="json") | {"format": number}
    path = tmp_path / "seed0.test.json"
    path.write_text(json.dumps({"digest": files.hash_content(content), **content}))
    with pytest.raises(ResultError, match=f"format {number!r}; this version reads 1;"):
        read_evaluation(path)


@pytest.mark.parametrize("kind", ["result", "evaluation", "single file"])
def test_every_flipped_bit_is_noticed(tmp_path, make_result, make_evaluation, kind):
    # With little in it, because every bit is a file.
    names = {"name": "run", "experiment": "exp", "seed": 0}
    result = make_result(config=names, code={}, spec_hash="a", code_hash="b", data_sha256="c")
    evaluation = make_evaluation(result, code="d")
    path = tmp_path / "seed0.json"
    read: Callable[[Path], object] = read_result
    if kind == "result":
        files.write_result(path, result)
    elif kind == "evaluation":
        files.write_evaluation(path, evaluation)
        read = read_evaluation
    else:
        files.write_single_file(path, result, evaluation)
    read(path)
    unnoticed, messages = [], []
    with path.open("r+b", buffering=0) as stream:
        for place, byte in enumerate(path.read_bytes()):
            for bit in range(8):
                os.pwrite(stream.fileno(), bytes([byte ^ 1 << bit]), place)
                try:  # not pytest.raises, which takes a hundred times as long
                    read(path)
                    unnoticed.append((place, bit))
                except ResultError as error:
                    messages.append(str(error))
            os.pwrite(stream.fileno(), bytes([byte]), place)
    assert unnoticed == []
    assert all(message.startswith(f"{path}: ") for message in messages)


def test_the_first_results_of_this_format_are_read(make_result, tmp_path):
    """They had two keys that follow from others."""
    files.write_result(tmp_path / "seed0.json", make_result())
    document = json.loads((tmp_path / "seed0.json").read_text())
    del document["digest"]
    document |= {"status": "at_chance", "study_size": True}
    document["digest"] = files.hash_content(document)
    (tmp_path / "seed0.json").write_text(json.dumps(document))
    assert read_result(tmp_path / "seed0.json") == make_result()


def test_a_file_of_format_2_is_read_as_result_and_evaluation():
    old = json.loads(FORMAT_2.read_text())
    metadata = old["metadata"]
    result = read_result(FORMAT_2)
    assert result.epochs.as_fit_result() == FitResult(**old["results"])
    for key in ("best_epoch", "parameters", "spec_hash", "code", "code_hash"):
        assert getattr(result, key) == metadata[key]
    assert result.timing.seconds_per_epoch == metadata["seconds_per_epoch"]
    assert result.environment.versions == metadata["versions"]
    assert result.layers.model_dump() == metadata["layers"]
    # The config is that of today: a spec can be made from it.
    assert RunSpec.from_config(result.config).describe(0) == result.config
    assert result.config["data"]["source_train"] == old["config"]["data"]["pool"]

    test = result.test
    assert (test.run, test.seed, test.num_images) == (result.name, 0, 40)
    assert (test.accuracy, test.loss) == (metadata["test_accuracy"], metadata["test_loss"])
    assert test.confusion == metadata["confusion"]
    assert test.class_accuracy == [0, 0, 75, 0, 0, 0, 0, 0, 0, 0]
    assert [mistake.model_dump() for mistake in test.mistakes] == metadata["mistakes"]
    # What format 2 lacks is absent, and its accuracy on mirrored images is dropped.
    assert (result.weights_sha256, result.same_as, result.revalidated) == (None, None, [])
    assert (test.calibration_error, test.code) == (None, None)
    assert "test_accuracy_mirrored" in metadata
    assert "mirrored" not in result.model_dump_json() + test.model_dump_json()


def test_an_evaluation_of_format_2_has_its_weights_and_a_class_without_images_no_accuracy(tmp_path):
    old = json.loads(FORMAT_2.read_text())
    old["metadata"] |= {"weights_sha256": "abc", "mistakes": []}
    old["metadata"]["confusion"][3] = [0] * 10
    old["metadata"]["test_accuracy"] = 100 * 3 / 36
    write_document(tmp_path / "seed0.json", old)
    result = read_result(tmp_path / "seed0.json")
    assert result.weights_sha256 == result.test.weights_sha256 == "abc"
    assert result.test.class_accuracy[3] is None


@pytest.mark.parametrize(("section", "key"), [("metadata", "confusion"), ("results", "test_acc")])
def test_a_file_of_format_2_without_a_part_is_damaged(tmp_path, section, key):
    old = json.loads(FORMAT_2.read_text())
    del old[section][key]
    write_document(tmp_path / "seed0.json", old)
    with pytest.raises(ResultError, match=f"damaged .*{key}.*delete it and run again"):
        read_result(tmp_path / "seed0.json")


def test_a_single_file_is_what_is_read_from_it(tmp_path, make_result, make_evaluation):
    result = make_result()
    evaluation = make_evaluation(result)
    files.write_single_file(tmp_path / "run.json", result, evaluation)
    read = read_result(tmp_path / "run.json")
    assert read.model_copy(update={"test": None}) == result
    absent = {"calibration_error": None, "code": None, "run_code": None}
    assert read.test == evaluation.model_copy(update=absent)


def test_a_run_is_read_with_the_evaluation_of_its_weights(write_run, make_evaluation):
    result = write_run(evaluation=False)
    assert read_run(result.name, 0).test is None
    path = paths.evaluation_path(result.name, 0)
    evaluation = make_evaluation(result)
    files.write_evaluation(path, evaluation)
    assert read_run(result.name, 0).test == evaluation
    files.write_result("copy.json", read_run(result.name, 0))
    assert "test" not in json.loads(Path("copy.json").read_text())
    files.write_evaluation(path, make_evaluation(result, weights_sha256="0"))
    assert read_run(result.name, 0).test is None
    Path(path).write_text("{")
    with pytest.raises(ResultError, match=r"seed0\.test\.json"):
        read_run(result.name, 0)


def test_existing_results_are_found_as_those_of_the_experiment_that_asks(write_run):
    experiment = Experiment("renamed", "?", "x", "y", ("tiny_L2_K8", "absent"), (0, 1), sizes={})
    assert files.find_results([experiment]) == ([], {"renamed": ["tiny_L2_K8", "absent"]})
    write_run(seed=1)
    results, missing = files.find_results([experiment])
    assert [(r.seed, r.experiment, r.test.accuracy) for r in results] == [(1, "renamed", 75.0)]
    assert missing == {"renamed": ["absent"]}
    write_run(seed=0)
    assert [result.seed for result in files.find_results([experiment])[0]] == [0, 1]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (None, {"model": "resnet"}),
        ("architecture", {"hidden_dims": [8]}),
        ("training", {"lr": 0.5}),
        ("data", {"train": 200}),
    ],
)
def test_a_result_that_was_copied_from_another_run_is_refused(
    tiny_values, write_run, section, values
):
    write_run()
    tiny_values["experiment"] = "renamed"
    same = RunSpec.model_validate(tiny_values)
    Path("results/tiny_L2_K8").rename(f"results/{same.name}")

    def find(spec: RunSpec) -> list[Result]:
        experiment = Experiment("renamed", "?", "x", "y", (spec.name,), (0,), {})
        return files.find_results([replace(experiment, specs={spec.name: spec})])[0]

    (result,) = find(same)
    assert (result.name, result.experiment) == (same.name, "renamed")
    (tiny_values[section] if section else tiny_values).update(values)
    other = RunSpec.model_validate(tiny_values)
    assert other.name == same.name
    with pytest.raises(ResultError, match=r"seed0\.json: of another run, tiny_L2_K8; delete it"):
        find(other)


def test_a_twin_gets_the_result_and_evaluation_under_its_own_name(tiny_spec, write_run):
    write_run(seed=1)
    original = read_run(tiny_spec.name, 1)
    twin = tiny_spec.model_copy(update={"experiment": "other", "label": "twin"})
    result, evaluation = share_result(original, twin)
    assert (result.name, result.experiment, result.seed) == ("other_twin_L2_K8", "other", 1)
    assert result.same_as == tiny_spec.name
    assert result.epochs == original.epochs
    assert (evaluation.run, evaluation.seed) == (twin.name, 1)
    assert evaluation.accuracy == original.test.accuracy
    assert evaluation.weights_sha256 == result.weights_sha256
    assert Identity.of(twin, 1).find_differences(result) == []
    original = original.model_copy(update={"test": None})
    with pytest.raises(ResultError, match="tiny_L2_K8 seed 1: it is not evaluated yet"):
        share_result(original, twin)
