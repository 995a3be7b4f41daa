from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import shutil

import pytest
import torch

from hw2core.config.spec import RunSpec
from hw2core.engine.recorder import Recorder
from hw2core.engine.run import TrainedRun, train_run
from hw2core.runs.checkpoint import DIGEST_SIZE, Checkpoint
from hw2core.runs.checkpoint_head import read_head
from hw2core.runs.staleness import Identity

IDENTITY = {"spec_hash": "a", "code_hash": "b", "data_sha256": "c"}
SETTING = {"device": "cpu", "precision": "fp32", "threads": 2, "torch": "2.14.1"}
SETTING |= {"instructions": "AVX512"}
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


def train(spec, data, path=None, *, until=None, device="cpu") -> TrainedRun:
    """Train with a checkpoint at ``path``, as a new process would, until an epoch is saved."""

    def interrupt(recorder: Recorder) -> None:
        if len(recorder.train) == until:
            raise Interrupted

    store = path and Checkpoint(path, IDENTITY, LOG, seconds_between_writes=0)
    torch.manual_seed(123)  # a new process has another state
    return train_run(spec, 0, data, Recorder(on_epoch=interrupt, store=store), device=device)


def assert_equal_runs(actual: TrainedRun, expected: TrainedRun) -> None:
    for name in ("history", "best_epoch", "layers"):
        assert getattr(actual, name) == getattr(expected, name), name
    assert actual.weights.keys() == expected.weights.keys()
    assert all(
        torch.equal(actual.weights[k].cpu(), tensor.cpu()) for k, tensor in expected.weights.items()
    )
    assert len(actual.timing.seconds_per_epoch) == actual.history.num_epochs


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_run_equals_an_uninterrupted_one_bit_for_bit(
    case, device, tiny_values, tiny_data, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    model, architecture, training = CASES[case]
    if device == "cuda":
        training = {**training, "deterministic": True}
    spec, path = specify(tiny_values, model, architecture, training), tmp_path / "c"
    for epoch in (1, 3, 4):
        with pytest.raises(Interrupted):
            train(spec, tiny_data, path, until=epoch, device=device)
    resumed, whole = (train(spec, tiny_data, store, device=device) for store in (path, None))
    assert_equal_runs(resumed, whole)
    for epoch in (1, 3, 4):
        assert f"resuming after epoch {epoch}, from {path}" in caplog.text


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
        "test": [([float("nan")], 50.0)] * epoch,
        "seconds": [2.0] * epoch,
        "speeds": [100.0] * epoch,
        "layers": {"names": ["a"], "epochs": [1], "rms": [[1.0]]},
        "best_weights": {"w": weight},
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


def test_a_cpu_with_amx_does_not_resume_what_one_without_has_trained(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "c", IDENTITY, LOG, seconds_between_writes=0)
    setting = SETTING | {"precision": "bf16"}
    for amx, resumes in ((False, True), (True, False), (False, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda amx=amx: {"amx_bf16": amx})
        if not list(tmp_path.iterdir()):
            checkpoint.save(make_state(2) | {"setting": setting})
        assert (load(checkpoint, setting) is not None) == resumes


@pytest.mark.parametrize(
    ("identity", "setting", "reason"),
    [
        *(({key: "other"}, {}, f"of another run ({key} changed)") for key in IDENTITY),
        ({}, {"threads": 1}, "saved with threads 2, now 1"),
        ({}, {"device": "cuda"}, "saved with device cpu, now cuda"),
        ({}, {"precision": "bf16"}, "saved with precision fp32, now bf16"),
        ({}, {"torch": "2.15.0"}, "saved with torch 2.14.1, now 2.15.0"),
        ({}, {"instructions": "AVX2"}, "saved with instructions AVX512, now AVX2"),
    ],
)
def test_a_checkpoint_of_another_run_or_setting_is_not_used_and_says_so(
    saved, identity, setting, reason, caplog, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert load(Checkpoint(saved.path, IDENTITY | identity, LOG), SETTING | setting) is None
    assert f"{saved.path}: not used: {reason}; kept as {saved.path.name}." in caplog.text
    other = Checkpoint(saved.path, IDENTITY | identity, LOG, seconds_between_writes=0)
    for epoch in (1, 2, 3):  # does not overwrite it
        other.save(make_state(epoch) | {"setting": SETTING | setting})
    assert count_epochs(saved) == 2  # in its own setting it still is
    assert len(load(other, SETTING | setting)["train"]) == 3
    assert count_epochs(saved) == 2
    assert read_head(saved.path) == (IDENTITY, SETTING)


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_deterministic_run_is_resumed_on_the_same_model_of_gpu(
    saved, deterministic, caplog, monkeypatch
):
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    setting = SETTING | {"device": "cuda", "instructions": ""}
    for epoch, name in ((1, "A100"), (2, "H100")):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda name=name: name)
        assert (load(saved, setting) is None) == (deterministic or epoch == 1)
        saved.save(make_state(epoch) | {"setting": setting})
    assert ("saved with instructions A100, now H100" in caplog.text) == deterministic


def test_a_damaged_head_is_none(saved):
    whole = bytearray(saved.path.read_bytes())
    for position in range(len(whole) - 6000, len(whole), 11):
        for value in (0, 1, 8, 255):
            saved.path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            read_head(saved.path)
    whole[whole.rindex(b"PK\1\2") + 8] |= 1  # in the directory's last entry: encrypted
    saved.path.write_bytes(whole)
    assert read_head(saved.path) is None


def test_another_format_is_not_used(saved, monkeypatch, caplog):
    monkeypatch.setattr("hw2core.runs.checkpoint.FORMAT", 99)
    assert load(saved) is None
    assert "format 3, not 99" in caplog.text


def test_every_part_of_a_checkpoint_is_under_its_digest(saved, caplog):
    whole = saved.path.read_bytes()
    for position in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[position] ^= 1
        saved.path.write_bytes(changed)
        assert count_epochs(saved) == 1
    assert caplog.text.count("does not match its digest") == len(range(0, len(whole), 97))


class Unsafe:
    def __reduce__(self):
        return print, ("code that a checkpoint must not run",)


def sign(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def save_signed(state: dict) -> bytes:
    content = io.BytesIO()
    torch.save(state, content)
    return sign(content.getvalue())


STATE = {"format": 3, "identity": IDENTITY, **make_state(9)}
DAMAGES = {
    "empty": b"",
    "text without a digest": b"no pickle" * 9,
    "nothing": sign(b""),
    "text": sign(b"no pickle"),
    "number": sign(pickle.dumps(1)),
    "zip": sign(b"PK\x03\x04"),
    "opcodes": sign(b"\x80\x02" + b"\xff" * 50),
    "code": save_signed({**STATE, "unsafe": Unsafe()}),
    **{key: save_signed({**STATE, key: None}) for key in ("identity", "setting")},
    "more of one curve": save_signed({**STATE, "test": STATE["test"][1:]}),
    "no speed": save_signed({**STATE, "speeds": [0.0] * 9}),
    "no number as speed": save_signed({**STATE, "speeds": [float("nan")] * 9}),
    "times before their start": save_signed({**STATE, "seconds": [-1.0] * 9}),
    "accuracy": save_signed({**STATE, "test": [([0.5], 1e9)] * 9}),
    "words": save_signed({**STATE, "train": [("a", "b")] * 9}),
    "half a probe": save_signed({**STATE, "layers": {"names": ["a"], "epochs": [1], "rms": []}}),
    "no weights": save_signed({**STATE, "best_weights": None}),
    "no format": save_signed({k: v for k, v in STATE.items() if k != "format"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_loaded_is_set_aside_for_the_one_before(saved, damage, caplog, capsys):
    saved.path.write_bytes(DAMAGES[damage])
    assert count_epochs(saved) == 1
    assert f"{saved.path}: set aside as c.damaged: " in caplog.text
    assert saved.damaged.read_bytes() == DAMAGES[damage]
    assert not saved.path.exists()
    assert "must not run" not in capsys.readouterr().out
    saved.previous.write_bytes(DAMAGES[damage])
    assert load(saved) is None
    assert f"{saved.previous}: set aside as c.damaged: " in caplog.text


def test_a_checkpoint_that_would_fill_the_memory_is_set_aside(saved, caplog):
    content = bytearray(saved.path.read_bytes()[DIGEST_SIZE:])
    entry = content.rindex(b"PK\1\2")  # of the directory, which the loader believes
    content[entry + 24 : entry + 28] = (1 << 31).to_bytes(4, "little")
    saved.path.write_bytes(hashlib.sha256(content).digest() + content)
    assert count_epochs(saved) == 1
    assert "set aside as c.damaged: its records are larger than the file" in caplog.text


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.truncate(path, 1 << 40)])
def test_a_pipe_or_a_file_larger_than_any_checkpoint_is_not_read(saved, make, caplog):
    saved.path.unlink()
    if make is not os.mkfifo:
        saved.path.touch()
    make(saved.path)
    assert count_epochs(saved) == 1
    assert f"{saved.path}: not used: " in caplog.text


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


@pytest.mark.parametrize("case", UNLOADABLE)
def test_a_run_whose_checkpoint_cannot_be_loaded_starts_afresh(
    case, tiny_values, tiny_data, tmp_path, caplog
):
    spec, path = specify(tiny_values, *CASES[case]), tmp_path / "c"
    with pytest.raises(Interrupted):
        train(spec, tiny_data, path, until=1)
    whole, expected = path.read_bytes(), train(spec, tiny_data)
    for number, damage in enumerate(UNLOADABLE[case], 1):
        state = torch.load(io.BytesIO(whole[32:]), weights_only=True)
        damage(state["trainer"])
        path.write_bytes(save_signed(state))
        assert_equal_runs(train(spec, tiny_data, path), expected)
        assert caplog.text.count(f"{path}: set aside as c.damaged") == number
        for file in tmp_path.iterdir():
            file.unlink()


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


def test_a_state_soon_after_the_last_is_written_by_a_flush_as_it_was(saved, slow):
    state = make_state(3)
    slow.save(state)
    assert count_epochs(saved) == 2
    state["trainer"]["w"].zero_()  # the next epoch changes both in place
    state["train"].append(([0.5], 60.0))
    slow.flush()
    assert torch.equal(load(saved)["trainer"]["w"], make_state(3)["trainer"]["w"])
    assert count_epochs(saved) == 3


def test_a_state_is_written_once(saved):
    before = saved.path.stat()
    saved.flush()
    assert saved.path.stat() == before


@pytest.mark.parametrize(
    ("changes", "stays"), [({"epochs": 2}, True), ({"batches": 1}, True), ({"lr": 0.5}, False)]
)
def test_a_smaller_run_leaves_the_checkpoint_of_a_larger_one(tiny_spec, tmp_path, changes, stays):
    small = tiny_spec.training.model_copy(update=changes)
    larger, other = (
        Checkpoint(tmp_path / "c", Identity.of(spec, 0).describe(), LOG, seconds_between_writes=0)
        for spec in (tiny_spec, tiny_spec.model_copy(update={"training": small}))
    )
    larger.save(make_state(2))
    assert load(other) is None
    other.save(make_state(1))
    other.remove()
    assert (count_epochs(larger) == 2) == stays
    larger.remove()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_run_is_done(saved, slow):
    saved.damaged.touch()
    slow.save(make_state(3))
    slow.remove()
    slow.flush()
    assert list(saved.path.parent.iterdir()) == []
    assert load(saved) is None
