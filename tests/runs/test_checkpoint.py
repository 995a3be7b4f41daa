from __future__ import annotations

import hashlib
import io
import logging
import pickle
import shutil

import pytest
import torch

from hw2core.config.spec import RunSpec
from hw2core.engine.recorder import Recorder
from hw2core.engine.run import TrainedRun, train_run
from hw2core.runs.checkpoint import Checkpoint

IDENTITY = {"spec_hash": "a", "code_hash": "b", "data_sha256": "c"}
SETTING = {"device": "cpu", "precision": "fp32", "threads": 2, "torch": "2.14.1"}
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
        {"optimizer": "adamw"},
    ),
    "ycn, bf16": ("ycn", {}, {"optimizer": "sgd", "momentum": 0.9, "precision": "bf16"}),
    "ycn, EMA, momentum, dropout": (
        "ycn",
        {"dropout": 0.3},
        {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "average": 0.2},
    ),
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


class Interrupted(Exception):
    """Replaces a kill."""


def train(spec, data, path=None, *, until=None) -> TrainedRun:
    """Train with a checkpoint at ``path``, as a new process would, until an epoch is saved."""

    def interrupt(recorder: Recorder) -> None:
        if len(recorder.train) == until:
            raise Interrupted

    store = path and Checkpoint(path, IDENTITY, LOG, seconds_between_writes=0)
    torch.manual_seed(123)  # a new process has another state
    return train_run(spec, 0, data, Recorder(on_epoch=interrupt, store=store), device="cpu")


def assert_equal_runs(actual: TrainedRun, expected: TrainedRun) -> None:
    for name in ("history", "best_epoch", "layers"):
        assert getattr(actual, name) == getattr(expected, name), name
    assert actual.weights.keys() == expected.weights.keys()
    assert all(torch.equal(actual.weights[k], expected.weights[k]) for k in expected.weights)
    assert len(actual.timing.seconds_per_epoch) == actual.history.num_epochs


@pytest.mark.parametrize("epoch", [1, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    case, epoch, tiny_values, tiny_data, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    spec = specify(tiny_values, *CASES[case])
    with pytest.raises(Interrupted):
        train(spec, tiny_data, tmp_path / "c", until=epoch)
    resumed = train(spec, tiny_data, tmp_path / "c")
    assert f"resuming after epoch {epoch}, from {tmp_path / 'c'}" in caplog.text
    assert_equal_runs(resumed, train(spec, tiny_data))


def test_a_run_can_be_interrupted_twice(tiny_values, tiny_data, tmp_path):
    spec = specify(tiny_values, *CASES["ycn, EMA, momentum, dropout"])
    for epoch in (1, 3):
        with pytest.raises(Interrupted):
            train(spec, tiny_data, tmp_path / "c", until=epoch)
    assert_equal_runs(train(spec, tiny_data, tmp_path / "c"), train(spec, tiny_data))


def test_early_stopping_counts_across_an_interruption(tiny_values, tiny_data, tmp_path):
    training = {"optimizer": "vanilla", "lr": 1e-9, "epochs": 9, "early_stopping": 3}
    spec = specify(tiny_values, "mlp", {"wstd": 0.0}, training)
    expected = train(spec, tiny_data)
    assert expected.history.num_epochs < 9
    with pytest.raises(Interrupted):
        train(spec, tiny_data, tmp_path / "c", until=2)
    assert_equal_runs(train(spec, tiny_data, tmp_path / "c"), expected)


def make_state(epoch: int) -> dict:
    """The state after ``epoch`` epochs, in which the weight is the epoch too."""
    weight = torch.full((3,), float(epoch)).bfloat16()
    return {
        "setting": SETTING,
        "trainer": {"w": weight, "ema": None},
        "train": [([1.0], 50.0)] * epoch,
        "nan": float("nan"),
    }


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of two epochs, and the one before it."""
    checkpoint = Checkpoint(tmp_path / "c", IDENTITY, LOG, seconds_between_writes=0)
    for epoch in (1, 2):
        checkpoint.save(make_state(epoch))
    return checkpoint


@pytest.fixture
def slow(saved):
    """The same files, which are not written again for an hour."""
    return Checkpoint(saved.path, IDENTITY, LOG, seconds_between_writes=3600)


def load(checkpoint: Checkpoint, setting: dict | None = None) -> dict | None:
    """Return the state that a checkpoint hands out."""
    found: list[dict] = []
    assert checkpoint.load(setting or SETTING, found.append) == bool(found)
    return found[0] if found else None


def count_epochs(checkpoint: Checkpoint) -> int | None:
    state = load(checkpoint)
    return state and len(state["train"])


def test_the_last_state_is_loaded_with_every_bit(saved):
    state, expected = load(saved), make_state(2)
    assert torch.equal(state["trainer"]["w"], expected["trainer"]["w"])
    assert state["trainer"]["w"].dtype == torch.bfloat16
    assert state["trainer"]["ema"] is None
    assert state["train"] == expected["train"]


@pytest.mark.parametrize("key", IDENTITY)
def test_a_checkpoint_of_another_run_is_not_used_and_says_so(saved, key, caplog):
    other = Checkpoint(saved.path, {**IDENTITY, key: "other"}, LOG)
    assert load(other) is None
    assert f"{saved.path}: not used: of another run ({key} changed)" in caplog.text
    assert count_epochs(saved) == 2


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("threads", 1, "saved with threads 2, now 1"),
        ("device", "cuda", "saved with device cpu, now cuda"),
        ("precision", "bf16", "saved with precision fp32, now bf16"),
        ("torch", "2.15.0", "saved with torch 2.14.1, now 2.15.0"),
        ("instructions", "AVX2", "saved with instructions None, now AVX2"),
    ],
)
def test_a_checkpoint_of_another_setting_is_not_used_and_says_so(saved, key, value, reason, caplog):
    assert load(saved, {**SETTING, key: value}) is None
    assert f"{saved.path}: not used: {reason}" in caplog.text
    assert count_epochs(saved) == 2  # in its own setting it still is


def test_every_part_of_a_checkpoint_is_under_its_digest(saved, caplog):
    whole = saved.path.read_bytes()
    for position in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[position] ^= 1
        saved.path.write_bytes(changed)
        assert count_epochs(saved) == 1
    assert caplog.text.count("does not match its digest") == len(range(0, len(whole), 97))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content + b"x",
        lambda content: b"",
        lambda content: pickle.dumps({"w": 1}),
        lambda content: content[32:],
    ],
    ids=["half", "longer", "empty", "pickle", "no digest"],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(saved, damage, caplog):
    saved.path.write_bytes(damage(saved.path.read_bytes()))
    assert count_epochs(saved) == 1
    reason = "set aside as c.damaged: its content does not match its digest"
    assert f"{saved.path}: {reason}" in caplog.text
    assert not saved.path.exists()
    saved.previous.write_bytes(b"")
    assert load(saved) is None
    assert f"{saved.previous}: {reason}" in caplog.text


def test_a_checkpoint_that_would_run_code_is_not_read(saved, caplog):
    class Unsafe:
        def __reduce__(self):
            return print, ("code that a checkpoint must not run",)

    saved.save({"train": [], "unsafe": Unsafe()})
    assert count_epochs(saved) == 2
    assert f"{saved.path}: set aside" in caplog.text


def test_another_format_is_not_used(saved, monkeypatch, caplog):
    monkeypatch.setattr("hw2core.runs.checkpoint.FORMAT", 99)
    assert load(saved) is None
    assert "format 3, not 99" in caplog.text


def write_with_digest(path, content: bytes) -> None:
    path.write_bytes(hashlib.sha256(content).digest() + content)


@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", pickle.dumps(1), b"PK\x03\x04", b"\x80\x02" + b"\xff" * 50],
    ids=["empty", "text", "number", "zip", "opcodes"],
)
def test_what_cannot_be_unpickled_is_set_aside(saved, content, caplog):
    write_with_digest(saved.path, content)
    assert count_epochs(saved) == 1
    assert f"{saved.path}: set aside as {saved.damaged.name}" in caplog.text
    assert saved.damaged.exists()


@pytest.mark.parametrize("missing", ["format", "identity", "setting"])
def test_a_state_without_its_description_is_set_aside(saved, missing, caplog):
    content = io.BytesIO()
    state = {"format": 3, "identity": IDENTITY, **make_state(9)}
    torch.save({key: value for key, value in state.items() if key != missing}, content)
    write_with_digest(saved.path, content.getvalue())
    assert count_epochs(saved) == 1
    assert f"{saved.path}: set aside" in caplog.text


def test_too_little_memory_to_load_is_no_damage(saved):
    def use(state):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(torch.OutOfMemoryError):
        saved.load(SETTING, use)
    assert count_epochs(saved) == 2


UNLOADABLE = {
    "ycn, EMA, momentum, dropout": [
        lambda state: state["model"].popitem(),
        lambda state: state["ema"].update(other=torch.zeros(3)),
        lambda state: state["ema"].update({name: torch.zeros(1, 2) for name in state["ema"]}),
        lambda state: state["optimizer"][0].update(momentum_buffer=torch.zeros(7)),
        lambda state: state.pop("steps_taken"),
        lambda state: state.update(model=3),
    ],
    "mlp, rmsprop": [
        lambda state: state["weights"].popitem(),
        lambda state: state["weights"].update(param1=torch.ones(1)),
        lambda state: state["means"].pop(),
        lambda state: state["means"].__setitem__(1, torch.ones(1)),
    ],
}


@pytest.mark.parametrize(
    ("case", "damage"), [(case, damage) for case in UNLOADABLE for damage in UNLOADABLE[case]]
)
def test_a_run_whose_checkpoint_cannot_be_loaded_starts_afresh(
    case, damage, tiny_values, tiny_data, tmp_path, caplog, monkeypatch
):
    spec, path = specify(tiny_values, *CASES[case]), tmp_path / "c"
    with pytest.raises(Interrupted):
        train(spec, tiny_data, path, until=1)
    state = torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)
    damage(state["trainer"])
    content = io.BytesIO()
    torch.save(state, content)
    write_with_digest(path, content.getvalue())
    assert_equal_runs(train(spec, tiny_data, path), train(spec, tiny_data))
    assert caplog.text.count(f"{path}: set aside as c.damaged") == 1


def test_a_kill_between_two_renames_leaves_the_one_before(saved):
    shutil.move(saved.path, saved.previous)
    assert count_epochs(saved) == 2


def test_training_continues_when_the_disk_is_full(saved, monkeypatch, caplog):
    before = saved.path.read_bytes()

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    saved.save(make_state(3))
    assert f"no checkpoint written, training continues: {saved.path}" in caplog.text
    assert saved.path.read_bytes() == before
    assert len(list(saved.path.parent.iterdir())) == 2


def test_short_epochs_are_not_all_written(saved, slow):
    slow.save(make_state(3))
    assert count_epochs(saved) == 2


def test_a_state_not_yet_written_is_flushed_as_it_was(saved, slow):
    state = make_state(3)
    slow.save(state)
    state["trainer"]["w"].zero_()  # the next epoch changes both in place
    state["train"].append(([0.5], 60.0))
    slow.flush()
    assert torch.equal(load(saved)["trainer"]["w"], make_state(3)["trainer"]["w"])
    assert count_epochs(saved) == 3


def test_a_state_is_written_once(saved):
    before = saved.path.stat()
    saved.flush()
    assert saved.path.stat() == before


def test_nothing_is_left_when_the_run_is_done(saved, slow):
    saved.damaged.touch()
    slow.save(make_state(3))
    slow.remove()
    slow.flush()
    assert list(saved.path.parent.iterdir()) == []
    assert load(saved) is None
