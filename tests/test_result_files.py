from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
import torch

from hw2core import result_files
from hw2core.atomic import WriteError, replace_atomically, write_text_atomically
from hw2core.fit_results import FitResult
from hw2core.result_files import ArtifactError

RESULTS = FitResult(2, [1.5, 1.0], [40.0, 60.0], [1.6, math.nan], [39.0, 55.0])


def make_document() -> dict:
    return {
        "config": {"name": "run", "experiment": "exp", "seed": 0},
        "results": RESULTS,
        "metadata": {"format": result_files.FORMAT, "test_loss": math.inf},
    }


def test_a_result_survives_writing_and_reading(tmp_path):
    path = tmp_path / "deep" / "seed0.json"
    result_files.write_result(path, make_document())
    read = result_files.read_result(path)
    assert read["config"] == make_document()["config"]
    assert read["results"] == RESULTS._asdict() | {"test_loss": [1.6, None]}
    assert read["metadata"]["test_loss"] is None


def test_a_long_run_stays_below_100_kb(tmp_path):
    curve = [1 / 3] * 300
    document = make_document() | {"results": FitResult(300, curve, curve, curve, curve)}
    result_files.write_result(tmp_path / "r.json", document)
    assert (tmp_path / "r.json").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"),
        ('{"config": {', "damaged"),
        ("[]", "damaged"),
        ("null", "damaged"),
        ('{"metadata": {"format": 2}}', "damaged"),
        ('{"config": {}, "results": {}, "metadata": {"format": 2}}', "damaged"),
        ('{"config": {"a": 1}, "results": {}, "metadata": {"format": 99}}', "format 99, not 2"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_a_damaged_result_is_one_error_with_the_way_out(tmp_path, text, words):
    path = tmp_path / "seed0.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=words) as caught:
        result_files.read_result(path)
    assert str(path) in str(caught.value)
    assert "delete it and run again" in str(caught.value)


def test_every_flipped_bit_of_a_result_is_noticed(tmp_path):
    path = tmp_path / "seed0.json"
    result_files.write_result(path, make_document())
    content = path.read_bytes()
    for position in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(ArtifactError, match=r"seed0\.json"):
            result_files.read_result(path)


def test_weights_that_are_not_those_of_the_result_are_noticed(tmp_path):
    result, weights = tmp_path / "seed0.json", tmp_path / "seed0.safetensors"
    result_files.write_training(result, weights, make_document(), {"a": torch.ones(3)})
    document = result_files.read_result(result)
    result_files.check_weights(weights, document)
    result_files.write_weights(weights, {"a": torch.zeros(3)})
    with pytest.raises(ArtifactError, match=r"seed0\.safetensors.*run again"):
        result_files.check_weights(weights, document)
    weights.unlink()
    result_files.check_weights(weights, document)


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="no such result"):
        result_files.read_result(tmp_path / "seed0.json")


def test_weights_survive_and_damage_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    weights = {"a": torch.randn(3, 4).to(memory_format=torch.contiguous_format), "b": torch.ones(2)}
    result_files.write_weights(path, weights)
    read = result_files.read_weights(path)
    assert all(torch.equal(read[name], weights[name]) for name in weights)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"w\.safetensors"):
        result_files.read_weights(path)


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


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = tmp_path / f".file.{process.pid}.tmp.json"
    alive = tmp_path / f".file.{os.getppid()}.tmp.json"
    dead.touch()
    alive.touch()
    write_text_atomically(tmp_path / "file.json", "text")
    assert not dead.exists()
    assert alive.exists()


def test_a_file_that_cannot_be_written_is_one_error_with_the_way_out(tmp_path):
    (tmp_path / "folder").touch()
    with pytest.raises(WriteError, match=r"file\.json: cannot be written .* run again"):
        write_text_atomically(tmp_path / "folder" / "file.json", "text")


def test_infinite_numbers_never_reach_json(tmp_path):
    result_files.write_result(tmp_path / "r.json", make_document())
    json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
