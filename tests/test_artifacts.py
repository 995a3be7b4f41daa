from __future__ import annotations

import json
import math

import pytest
import torch

from hw2core import artifacts
from hw2core.artifacts import ArtifactError
from hw2core.atomic import replace_atomically, write_text_atomically
from hw2core.fit_results import FitResult

RESULTS = FitResult(2, [1.5, 1.0], [40.0, 60.0], [1.6, math.nan], [39.0, 55.0])


def make_document() -> dict:
    return {
        "config": {"name": "run", "experiment": "exp", "seed": 0},
        "results": RESULTS,
        "metadata": {"format": artifacts.FORMAT, "test_loss": math.inf},
    }


def test_a_result_survives_writing_and_reading(tmp_path):
    path = tmp_path / "deep" / "seed0.json"
    artifacts.write_result(path, make_document())
    read = artifacts.read_result(path)
    assert read["config"] == make_document()["config"]
    assert read["results"] == RESULTS._asdict() | {"test_loss": [1.6, None]}
    assert read["metadata"]["test_loss"] is None


def test_a_long_run_stays_below_100_kb(tmp_path):
    curve = [1 / 3] * 300
    document = make_document() | {"results": FitResult(300, curve, curve, curve, curve)}
    artifacts.write_result(tmp_path / "r.json", document)
    assert (tmp_path / "r.json").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"),
        ('{"config": {', "damaged"),
        ("[]", "damaged"),
        ("null", "damaged"),
        ('{"metadata": {"format": 1}}', "damaged"),
        ('{"config": {}, "results": {}, "metadata": {"format": 1}}', "format"),
        ('{"config": {"a": 1}, "results": {}, "metadata": {"format": 99}}', "format 99, not 1"),
    ],
)
def test_a_damaged_result_is_one_error_with_the_way_out(tmp_path, text, words):
    path = tmp_path / "seed0.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=words) as caught:
        artifacts.read_result(path)
    assert str(path) in str(caught.value)
    assert "delete it and run again" in str(caught.value)


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="no such result"):
        artifacts.read_result(tmp_path / "seed0.json")


def test_weights_survive_and_damage_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    weights = {"a": torch.randn(3, 4).to(memory_format=torch.contiguous_format), "b": torch.ones(2)}
    artifacts.write_weights(path, weights)
    read = artifacts.read_weights(path)
    assert all(torch.equal(read[name], weights[name]) for name in weights)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"w\.safetensors"):
        artifacts.read_weights(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.json"
    write_text_atomically(path, "old")

    def fail() -> None:
        with replace_atomically(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


def test_paths_make_patterns_and_names():
    assert artifacts.result_path("{run}", "{seed}") == "results/{run}/seed{seed}.json"
    assert artifacts.result_path("exp1_4_L8_K32", 2) == "results/exp1_4_L8_K32/seed2.json"
    assert len(set(artifacts.figure_paths("exp2"))) == len(artifacts.figure_paths("exp2")) == 4


def test_infinite_numbers_never_reach_json(tmp_path):
    artifacts.write_result(tmp_path / "r.json", make_document())
    json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
