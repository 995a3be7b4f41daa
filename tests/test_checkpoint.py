from __future__ import annotations

import logging
import pickle
import shutil

import pytest
import torch

from hw2core.checkpoint import Checkpoint
from hw2core.runner import TrainedRun, train_run
from hw2core.spec import RunSpec
from hw2core.study_training import Snapshot

IDENTITY = {"spec_hash": "a", "code_hash": "b", "data_sha256": "c"}
LOG = logging.getLogger("test")

CASES = {
    "cnn, sgd, one cycle": (
        "cnn",
        {},
        {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}
        | {"schedule": "one_cycle", "flip": True, "translate": 2, "weight_decay": 1e-3},
    ),
    "cnn, sgd without momentum": ("cnn", {}, {"optimizer": "sgd", "lr": 0.05}),
    "resnet, adamw, batch norm, dropout": (
        "resnet",
        {"batchnorm": True, "dropout": 0.3},
        {"optimizer": "adamw", "clip_norm": 1.0},
    ),
    "ycn, bf16": ("ycn", {}, {"optimizer": "sgd", "momentum": 0.9, "precision": "bf16"}),
    "ycn, average": ("ycn", {}, {"optimizer": "sgd", "lr": 0.05, "average": 0.2}),
    "mlp, momentum, dropout": (
        "mlp",
        {"dropout": 0.4},
        {"optimizer": "momentum", "momentum": 0.9},
    ),
    "mlp, rmsprop": ("mlp", {}, {"optimizer": "rmsprop"}),
    "mlp, vanilla": ("mlp", {}, {"optimizer": "vanilla"}),
}


def specify(tiny_values, model, architecture, training) -> RunSpec:
    widths = {"filters_per_layer": [4], "layers_per_block": 2, "pool_every": 2, "hidden_dims": []}
    own = {"hidden_dims": [8], "wstd": 0.05} if model == "mlp" else widths
    return RunSpec.model_validate(
        {
            **tiny_values,
            "model": model,
            "architecture": own | architecture,
            "training": {**tiny_values["training"], "epochs": 4} | training,
        }
    )


class CutShort(Exception):
    """Stands for a kill."""


def train_until(spec, data, path, epoch, seed=0) -> None:
    """Train with a checkpoint until ``epoch`` epochs are saved."""
    checkpoint = Checkpoint(path, IDENTITY, LOG, seconds_between_writes=0)

    def save(snapshot: Snapshot) -> None:
        checkpoint.save(snapshot)
        if len(snapshot.values["train"]) == epoch:
            raise CutShort

    with pytest.raises(CutShort):
        train_run(spec, seed, data, device="cpu", on_snapshot=save)


def assert_equal_runs(actual: TrainedRun, expected: TrainedRun) -> None:
    assert actual.results == expected.results
    assert actual.weights.keys() == expected.weights.keys()
    assert all(torch.equal(actual.weights[k], expected.weights[k]) for k in expected.weights)
    for fact in ("status", "best_epoch", "test_accuracy", "test_loss"):
        assert actual.facts[fact] == expected.facts[fact]
    assert len(actual.facts["seconds_per_epoch"]) == actual.results.num_epochs


@pytest.mark.parametrize("epoch", [1, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    case, epoch, tiny_values, tiny_data, tmp_path
):
    spec = specify(tiny_values, *CASES[case])
    expected = train_run(spec, 0, tiny_data, device="cpu")
    train_until(spec, tiny_data, tmp_path / "c", epoch)
    torch.manual_seed(123)  # a new process has another state
    snapshot = Checkpoint(tmp_path / "c", IDENTITY, LOG).load()
    assert len(snapshot.values["train"]) == epoch
    resumed = train_run(spec, 0, tiny_data, device="cpu", resume_from=snapshot)
    assert_equal_runs(resumed, expected)


def test_early_stopping_counts_across_an_interruption(tiny_values, tiny_data, tmp_path):
    training = {"optimizer": "vanilla", "lr": 1e-9, "epochs": 9, "early_stopping": 3}
    spec = specify(tiny_values, "mlp", {"wstd": 0.0}, training)
    expected = train_run(spec, 0, tiny_data, device="cpu")
    assert expected.results.num_epochs < 9
    train_until(spec, tiny_data, tmp_path / "c", 2)
    snapshot = Checkpoint(tmp_path / "c", IDENTITY, LOG).load()
    assert_equal_runs(train_run(spec, 0, tiny_data, device="cpu", resume_from=snapshot), expected)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of two epochs, and of one before it."""
    checkpoint = Checkpoint(tmp_path / "c", IDENTITY, LOG, seconds_between_writes=0)
    for epoch in (1, 2):
        values = {"train": [[[1.0], 50.0]] * epoch, "nan": float("nan")}
        checkpoint.save(Snapshot({"w": torch.full((3,), float(epoch)).bfloat16()}, values))
    return checkpoint


def test_the_last_state_is_loaded_with_every_bit(saved):
    snapshot = saved.load()
    assert torch.equal(snapshot.tensors["w"], torch.full((3,), 2.0).bfloat16())
    assert snapshot.values["train"] == [[[1.0], 50.0]] * 2


@pytest.mark.parametrize("key", IDENTITY)
def test_a_checkpoint_of_another_training_is_not_used_and_says_so(saved, key, caplog):
    other = Checkpoint(saved.path, {**IDENTITY, key: "other"}, LOG)
    assert other.load() is None
    assert f"of another training ({key} changed)" in caplog.text


def damage_by_truncation(content: bytes) -> bytes:
    return content[: len(content) // 2]


def damage_a_tensor(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def damage_a_value(content: bytes) -> bytes:
    return content.replace(b"50.0", b"90.0", 1)


def replace_by_a_pickle(content: bytes) -> bytes:
    return pickle.dumps({"w": 1})


@pytest.mark.parametrize(
    "damage",
    [damage_by_truncation, damage_a_tensor, damage_a_value, replace_by_a_pickle, lambda c: b""],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(saved, damage, caplog):
    saved.path.write_bytes(damage(saved.path.read_bytes()))
    snapshot = saved.load()
    assert len(snapshot.values["train"]) == 1
    assert f"{saved.path}: not used" in caplog.text
    saved.previous.write_bytes(b"")
    assert saved.load() is None
    assert f"{saved.previous}: not used" in caplog.text


def test_another_format_is_not_used(saved, caplog):
    for path in (saved.path, saved.previous):
        path.write_bytes(path.read_bytes().replace(b'"format":"1"', b'"format":"0"'))
    assert saved.load() is None
    assert "format '0', not '1'" in caplog.text


def test_a_kill_between_two_renames_leaves_the_one_before(saved):
    shutil.move(saved.path, saved.previous)
    assert len(saved.load().values["train"]) == 2


def test_a_full_disk_stops_no_training(saved, monkeypatch, caplog):
    before = saved.path.read_bytes()

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hw2core.checkpoint.save", fail)
    saved.save(Snapshot({}, {"train": []}))
    assert "no checkpoint written" in caplog.text
    assert saved.path.read_bytes() == before
    assert len(list(saved.path.parent.iterdir())) == 2


def test_short_epochs_are_not_all_written(saved):
    slow = Checkpoint(saved.path, IDENTITY, LOG, seconds_between_writes=3600)
    slow.save(Snapshot({}, {"train": []}))
    assert len(saved.load().values["train"]) == 2


def test_a_state_not_yet_written_is_flushed_as_it_was(saved):
    slow = Checkpoint(saved.path, IDENTITY, LOG, seconds_between_writes=3600)
    tensor, curve = torch.ones(3), [[[1.0], 50.0]] * 3
    slow.save(Snapshot({"w": tensor}, {"train": curve}))
    tensor.zero_()  # the next epoch changes both in place
    curve.append([[0.5], 60.0])
    slow.flush()
    snapshot = saved.load()
    assert torch.equal(snapshot.tensors["w"], torch.ones(3))
    assert len(snapshot.values["train"]) == 3


def test_a_state_is_written_once(saved):
    before = saved.path.stat()
    saved.flush()
    assert saved.path.stat() == before


def test_nothing_is_left_when_training_is_done(saved):
    slow = Checkpoint(saved.path, IDENTITY, LOG, seconds_between_writes=3600)
    slow.save(Snapshot({}, {"train": []}))
    slow.remove()
    slow.flush()
    assert list(saved.path.parent.iterdir()) == []
    assert saved.load() is None
