from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hw2core.config.errors import describe_errors
from hw2core.config.spec import Experiment, RunSpec
from hw2core.history import FitResult
from hw2core.runs import files, paths
from hw2core.runs.files import ResultError, read_evaluation, read_result, read_run
from hw2core.runs.schema import Epochs, Result

# Written by the version before results had types: config, results and metadata.
FORMAT_2 = Path(__file__).with_name("format2.json")


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a document of format 2 with the digest of its content."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "digest"}
    digest = files.hash_content({**document, "metadata": metadata})
    path.write_text(json.dumps({**document, "metadata": {**metadata, "digest": digest}}))


def test_a_result_survives_writing_and_reading(tmp_path, make_result):
    path = tmp_path / "deep" / "seed0.json"
    result = make_result(weights_sha256="ab")
    files.write_result(path, result)
    assert read_result(path) == result
    assert json.loads(path.read_text())["format"] == 3
    assert (result.name, result.experiment, result.seed) == ("tiny_L2_K8", "tiny", 0)
    assert result.validation_accuracy == 55.0
    assert result.validation_loss is None


def test_an_evaluation_survives_writing_and_reading(tmp_path, make_result, make_evaluation):
    evaluation = make_evaluation(make_result())
    files.write_evaluation(tmp_path / "seed0.test.json", evaluation)
    assert read_evaluation(tmp_path / "seed0.test.json") == evaluation


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
        {"layers": "good"},
        {"study_sized": True},
        {"epochs": {"train_loss": [1.0], "train_accuracy": [], "validation_loss": [1.0]}},
    ],
)
def test_a_result_that_contradicts_itself_is_never_made(make_result, changes):
    with pytest.raises(ValidationError) as caught:
        make_result(**changes)
    (line,) = describe_errors(caught.value)
    assert line.startswith(next(iter(changes)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"),
        ('{"config": {', "damaged"),
        ("[]", "damaged"),
        ("null", "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"format": 3}', "damaged"),
        ('{"metadata": {"format": 2}}', "damaged"),
        ('{"config": {}, "results": {}, "metadata": {"format": 2}}', "damaged"),
        ('{"format": 99}', "format 99; this version reads 3 and 2;"),
        ('{"config": {}, "metadata": {"format": 99}}', "format 99; this version reads 3 and 2;"),
    ],
)
def test_a_damaged_result_is_one_line_with_the_way_out(tmp_path, text, words):
    path = tmp_path / "seed0.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=words) as caught:
        read_result(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("delete it and run again")
    assert "\n" not in str(caught.value)


def test_an_evaluation_of_another_format_is_refused(tmp_path):
    path = tmp_path / "seed0.test.json"
    path.write_text('{"format": 99}')
    with pytest.raises(ResultError, match="format 99; this version reads 1; delete it and run"):
        read_evaluation(path)


def test_a_wrong_value_is_named_by_its_key(tmp_path, make_result):
    content = make_result().model_dump(mode="json")
    content["timing"]["seconds"] = -1
    path = tmp_path / "seed0.json"
    path.write_text(json.dumps({"digest": files.hash_content(content), **content}))
    with pytest.raises(ResultError, match=r"timing\.seconds: -1: must be at least 0"):
        read_result(path)


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


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(ResultError, match=r"seed0\.json: no such result"):
        read_result(tmp_path / "seed0.json")


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


def test_what_format_2_lacks_is_absent_and_the_mirrored_accuracy_dropped():
    assert "test_accuracy_mirrored" in FORMAT_2.read_text()
    result = read_result(FORMAT_2)
    assert (result.weights_sha256, result.same_as, result.revalidated) == (None, None, [])
    assert (result.test.calibration_error, result.test.code) == (None, None)
    assert "mirrored" not in result.model_dump_json() + result.test.model_dump_json()


def test_the_weights_of_format_2_are_those_of_its_evaluation(tmp_path):
    old = json.loads(FORMAT_2.read_text())
    old["metadata"]["weights_sha256"] = "abc"
    write_document(tmp_path / "seed0.json", old)
    result = read_result(tmp_path / "seed0.json")
    assert result.weights_sha256 == result.test.weights_sha256 == "abc"


def test_a_class_without_images_has_no_accuracy(tmp_path):
    old = json.loads(FORMAT_2.read_text())
    old["metadata"]["confusion"][3] = [0] * 10
    old["metadata"]["mistakes"] = []
    write_document(tmp_path / "seed0.json", old)
    assert read_result(tmp_path / "seed0.json").test.class_accuracy[3] is None


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
    absent = {"calibration_error": None, "code": None}
    assert read.test == evaluation.model_copy(update=absent)
    assert files.read_result(tmp_path / "run.json").config == result.config


def test_a_run_is_read_with_the_evaluation_of_its_weights(write_run, make_evaluation):
    result = write_run(evaluation=False)
    assert read_run(result.name, 0).test is None
    path = paths.evaluation_path(result.name, 0)
    evaluation = make_evaluation(result)
    files.write_evaluation(path, evaluation)
    assert read_run(result.name, 0).test == evaluation
    files.write_evaluation(path, make_evaluation(result, weights_sha256="0"))
    assert read_run(result.name, 0).test is None
    Path(path).write_text("{")
    with pytest.raises(ResultError, match=r"seed0\.test\.json"):
        read_run(result.name, 0)


def test_an_evaluation_is_not_in_the_file_of_its_result(write_run):
    result = write_run()
    read = read_run(result.name, 0)
    files.write_result("copy.json", read)
    assert "test" not in json.loads(Path("copy.json").read_text())
    assert read_result("copy.json") == result


@pytest.fixture
def experiment() -> Experiment:
    return Experiment("renamed", "?", "x", "y", ("tiny_L2_K8", "absent"), (0, 1), sizes={})


def test_existing_results_are_found_and_runs_without_any_named(write_run, experiment):
    results, missing = files.find_results([experiment])
    assert (results, missing) == ([], {"renamed": ["tiny_L2_K8", "absent"]})
    write_run(seed=1)
    results, missing = files.find_results([experiment])
    assert [(result.seed, result.test.accuracy) for result in results] == [(1, 75.0)]
    assert missing == {"renamed": ["absent"]}


def test_a_result_counts_as_that_of_the_run_that_asks_for_it(write_run, experiment):
    first, second = write_run(seed=0), write_run(seed=1)
    experiment = Experiment(**{**vars(experiment), "runs": ("tiny_L2_K8",)})
    results = files.read_results([experiment])
    assert [result.experiment for result in results] == ["renamed", "renamed"]
    assert [result.epochs for result in results] == [first.epochs, second.epochs]
    with pytest.raises(ResultError, match=r"results/absent/seed0\.json: no such result"):
        files.read_results([Experiment(**{**vars(experiment), "runs": ("absent",)})])


def test_results_never_change(make_result):
    result: Result = make_result()
    with pytest.raises(ValueError, match="frozen"):
        result.best_epoch = 1
