from __future__ import annotations

import copy
import json
import os
import time
from pathlib import Path

import pytest
import torch

from hw2core import artifacts, result_files, staleness
from hw2core.spec import RunSpec
from hw2core.staleness import Provenance, explain, explain_file, settle_times, write_notice


@pytest.fixture
def document(tiny_spec) -> dict:
    """A current result, as it would be read."""
    wanted = Provenance.of(tiny_spec, 0)
    return {
        "config": copy.deepcopy(wanted.config),
        "results": {"num_epochs": 0, "train_loss": [], "train_acc": [], "test_loss": []}
        | {"test_acc": []},
        "metadata": {
            "format": result_files.FORMAT,
            "code": dict(wanted.code),
            "data_sha256": "abc",
        },
    }


@pytest.fixture
def in_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(spec: RunSpec, document: dict, seed: int = 0) -> Path:
    path = Path(artifacts.result_path(spec.name, seed))
    result_files.write_result(path, document)
    return path


def test_a_current_result_has_no_reasons(tiny_spec, document):
    assert explain(document, Provenance.of(tiny_spec, 0)) == []


def test_another_name_is_the_same_training(tiny_spec, document):
    document["config"] |= {"name": "other", "experiment": "another"}
    assert explain(document, Provenance.of(tiny_spec, 0)) == []


def test_every_changed_key_is_named_with_both_values(tiny_spec, document):
    document["config"]["training"]["lr"] = 0.5
    document["config"]["architecture"]["pool_every"] = 2
    assert explain(document, Provenance.of(tiny_spec, 0)) == [
        "architecture.pool_every: was 2, is 1",
        "training.lr: was 0.5, is 0.003",
    ]


def test_another_seed_is_another_training(tiny_spec, document):
    assert explain(document, Provenance.of(tiny_spec, 1)) == ["seed: was 0, is 1"]


def test_changed_and_added_modules_are_named(tiny_spec, document):
    document["metadata"]["code"]["hw2core.runner"] = "0"
    document["metadata"]["code"]["hw2core.gone"] = "0"
    assert explain(document, Provenance.of(tiny_spec, 0)) == [
        "code of hw2core.gone changed",
        "code of hw2core.runner changed",
    ]


def test_changed_data_are_noticed_once_they_are_prepared(tiny_spec, document):
    wanted = Provenance.of(tiny_spec, 0)
    assert wanted.data_sha256 is None
    changed = Provenance(wanted.config, wanted.code, "def")
    assert explain(document, changed) == ["the prepared data changed"]


def test_generated_images_depend_on_their_generator(tiny_spec):
    assert staleness.GENERATOR in staleness.hash_run_code(tiny_spec)
    cifar10 = tiny_spec.data.model_copy(update={"name": "cifar10"})
    spec = tiny_spec.model_copy(update={"data": cifar10})
    assert staleness.GENERATOR not in staleness.hash_run_code(spec)


def test_a_missing_and_a_damaged_result_are_not_current(tiny_spec, in_folder):
    assert explain_file(tiny_spec, 0) == ["not trained yet"]
    path = Path(artifacts.result_path(tiny_spec.name, 0))
    path.parent.mkdir(parents=True)
    path.write_text("{")
    (reason,) = explain_file(tiny_spec, 0)
    assert str(path) in reason
    assert write_notice(tiny_spec, 0) is not None


def test_damaged_weights_are_not_current(tiny_spec, document, in_folder):
    result = Path(artifacts.result_path(tiny_spec.name, 0))
    weights = Path(artifacts.weights_path(tiny_spec.name, 0))
    result_files.write_training(result, weights, document, {"a": torch.ones(3)})
    assert explain_file(tiny_spec, 0) == []
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    (reason,) = explain_file(tiny_spec, 0)
    assert str(weights) in reason


def test_a_damaged_manifest_makes_no_result_stale(tiny_spec, document, in_folder):
    write(tiny_spec, document)
    manifest = Path(artifacts.manifest_path(tiny_spec.data.folder))
    manifest.parent.mkdir(parents=True)
    for text in ("", "{", '{"format": 1, "sha256": "def"}'):
        manifest.write_text(text)
        assert explain_file(tiny_spec, 0) == []


def test_no_notice_for_a_current_or_missing_result(tiny_spec, document, in_folder):
    assert write_notice(tiny_spec, 0) is None
    write(tiny_spec, document)
    assert write_notice(tiny_spec, 0) is None
    assert not Path("logs").exists()


def test_a_notice_is_newer_than_its_result_whatever_the_clock_says(tiny_spec, document, in_folder):
    document["config"]["training"]["lr"] = 0.5
    path = write(tiny_spec, document)
    tomorrow = time.time() + 86_400
    os.utime(path, (tomorrow, tomorrow))
    notice = Path(write_notice(tiny_spec, 0))
    assert notice.stat().st_mtime > path.stat().st_mtime
    assert "training.lr: was 0.5, is 0.003" in notice.read_text()


def test_a_notice_stays_as_it_is_until_another_result_is_stale(tiny_spec, document, in_folder):
    document["config"]["training"]["lr"] = 0.5
    write(tiny_spec, document)
    first = Path(write_notice(tiny_spec, 0))
    stamp = first.stat().st_mtime_ns
    assert Path(write_notice(tiny_spec, 0)).stat().st_mtime_ns == stamp
    document["config"]["training"]["lr"] = 0.7
    write(tiny_spec, document)
    assert Path(write_notice(tiny_spec, 0)) != first


def test_stored_hashes_are_those_that_are_compared(tiny_spec):
    wanted = Provenance.of(tiny_spec, 0)
    assert json.loads(json.dumps(wanted.config)) == wanted.config


def test_a_result_that_was_copied_with_its_old_time_is_as_new_as_its_arrival(tmp_path):
    path = tmp_path / "seed0.json"
    path.touch()
    os.utime(path, (0, 0))  # what a copy does that keeps times
    settle_times([str(path)], [])
    assert abs(path.stat().st_mtime - time.time()) < 5


def test_files_of_the_future_become_of_now_and_others_stay(tmp_path):
    future, past = tmp_path / "future", tmp_path / "past"
    for path, then in [(future, time.time() + 86_400), (past, 0)]:
        path.touch()
        os.utime(path, (then, then))
    settle_times([], [future, past, tmp_path / "missing"])
    assert future.stat().st_mtime <= time.time()
    assert past.stat().st_mtime == 0
