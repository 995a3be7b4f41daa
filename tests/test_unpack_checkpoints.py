"""Tests of unpacking the checkpoints in an archive."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hw2core.runs import checkpoint, paths
from hw2core.runs.checkpoint import Checkpoint, read_state
from hw2core.runs.checkpoint_head import Head
from hw2core.runs.staleness import Identity

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from unpack import main

SETTING = {"device": "cpu", "threads": 2}
OTHER = {"device": "cuda", "threads": 2}
LOG = logging.getLogger("test")


def make_state(epochs: int, setting: dict) -> dict:
    return {
        "setting": setting,
        "train": [([1.0], 50.0)] * epochs,
        "test": [([1.0], 50.0)] * epochs,
        "seconds": [2.0] * epochs,
        "speeds": [100.0] * epochs,
        "layers": {},
        "best_weights": {},
    }


class Run:
    """The checkpoints of a run and seed in the working folder."""

    def __init__(self, spec) -> None:
        self.identity = Identity.of(spec, 0).describe()
        self.result = Path(paths.result_path(spec.name, 0))
        self.path = paths.checkpoint_path(self.result)
        self.log = Path(paths.log_path("train", spec.name, "seed0"))

    def save(self, *epochs: int, setting: dict = SETTING, **identity: str) -> None:
        """Save states after ``epochs``; the log has the last number."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint = Checkpoint(self.path, self.identity | identity, LOG, seconds_between_writes=0)
        for number in epochs:
            checkpoint.save(make_state(number, setting))
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.write_text(f"{number}")

    def load(self, setting: dict = SETTING, **identity: str) -> int | None:
        """Return the number of epochs from which training resumes."""
        found: list[dict] = []
        Checkpoint(self.path, self.identity | identity, LOG).load(setting, found.append)
        return len(found[0]["train"]) if found else None

    def list_files(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.iterdir())


@pytest.fixture
def run(in_folder, tiny_spec) -> Run:
    return Run(tiny_spec)


@pytest.fixture
def unpack(capsys, monkeypatch) -> Callable[..., str]:
    """Unpacks an archive here, and returns what is printed."""

    def run(archive: Path, *options: str, code: int) -> str:
        monkeypatch.setattr("sys.argv", ["unpack.py", str(archive), *options])
        assert main() == code
        return "".join(capsys.readouterr())

    return run


def pack() -> Path:
    """Move results and logs of the working folder to an archive."""
    archive = Path("study.tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        for folder in filter(Path.exists, (Path("results"), Path("logs"))):
            tar.add(folder)
            shutil.rmtree(folder)
    return archive


def test_a_checkpoint_is_unpacked_with_its_log(unpack, run):
    run.save(1, 2)
    archive = pack()
    assert unpack(archive, code=0) == f"{archive}: 0 results, 1 checkpoints\n"
    assert run.list_files() == ["seed0.checkpoint"]
    assert unpack(archive, code=0) == (
        f"{archive}: 0 results, 0 checkpoints; checkpoints left out: 1 no further than here\n"
    )
    assert run.log.read_text() == "2"
    assert run.load() == 2


@pytest.mark.parametrize("replace", [[], ["--replace"]])
@pytest.mark.parametrize("ours", [2, 3, 5, 6])
def test_the_one_with_more_epochs_wins(unpack, run, ours, replace):
    run.save(4, 5)
    archive = pack()
    run.save(ours)
    unpacked = ours < 5
    assert (", 1 checkpoints\n" in unpack(archive, *replace, code=0)) == unpacked
    assert len(read_state(run.path)["train"]) == max(5, ours)
    assert run.load() == max(5, ours)
    assert run.log.read_text() == str(max(5, ours))


def test_what_a_kill_between_two_renames_left_counts_on_both_sides(unpack, run):
    run.save(5)
    run.path.rename(f"{run.path}.previous")
    archive = pack()
    run.save(6)
    run.path.rename(f"{run.path}.previous")
    assert "1 no further than here" in unpack(archive, code=0)
    assert run.load() == 6
    shutil.rmtree("results")
    run.save(4)
    run.path.rename(f"{run.path}.previous")
    unpack(archive, code=0)
    assert run.load() == 5


@pytest.mark.parametrize(
    ("setting", "identity"), [(OTHER, {}), (SETTING, {"code_hash": "another"})]
)
def test_one_of_another_run_or_setting_is_found_again_in_its_own(unpack, run, setting, identity):
    run.save(3)
    archive = pack()
    run.save(1, setting=setting, **identity)
    assert ", 1 checkpoints\n" in unpack(archive, code=0)
    assert "1 no further than here" in unpack(archive, code=0)
    assert run.log.read_text() == "1"
    assert run.load() == 3
    assert run.load(setting, **identity) == 1
    assert run.load() == 3


def test_one_that_is_kept_here_for_another_setting_is_replaced_by_one_further_on(unpack, run):
    run.save(3)
    archive = pack()
    run.save(2)
    assert run.load(OTHER) is None  # sets it aside
    run.save(1, setting=OTHER)
    unpack(archive, code=0)
    assert run.load() == 3
    assert run.load(OTHER) == 1


def test_those_that_are_kept_in_the_archive_are_unpacked(unpack, run):
    run.save(2)
    assert run.load(OTHER) is None
    run.save(1, setting=OTHER)
    archive = pack()
    assert ", 2 checkpoints\n" in unpack(archive, code=0)
    assert run.load(OTHER) == 1
    assert run.load() == 2
    shutil.rmtree("results")
    run.save(1)
    assert ", 2 checkpoints\n" in unpack(archive, code=0)
    assert run.load() == 2
    assert run.load(OTHER) == 1


@pytest.mark.parametrize("suffix", ["", ".previous"])
def test_one_that_cannot_be_read_here_is_set_aside(unpack, run, suffix):
    run.save(2)
    archive = pack()
    run.save(1)
    run.path.rename(f"{run.path}{suffix}")
    Path(f"{run.path}{suffix}").write_bytes(b"damaged")
    assert ", 1 checkpoints\n" in unpack(archive, code=0)
    assert b"damaged" in [path.read_bytes() for path in run.path.parent.iterdir()]
    assert run.load() == 2


def test_one_that_cannot_be_read_in_the_archive_is_named_and_left_out(unpack, run):
    run.save(1, 2)
    run.path.write_bytes(b"damaged")
    archive = pack()
    output = unpack(archive, code=0)
    assert output.startswith(f"{archive}: 0 results, 1 checkpoints; checkpoints left out: 1 that ")
    assert f"\n{run.path}: left out: its content does not match its digest\n" in output
    assert run.load() == 1


@pytest.mark.parametrize(
    ("setting", "identity"),
    [
        ({"threads": torch.ones(2)}, {}),
        ({1: "x"}, {}),
        ({("a", "b"): "x"}, {}),
        ({"threads": [2]}, {}),
        ({}, {"code": ["x"]}),
    ],
)
def test_one_of_other_values_than_ours_is_named_and_left_out(
    unpack, run, monkeypatch, setting, identity
):
    monkeypatch.setattr(checkpoint, "add_head", lambda archive, head: None)
    run.save(1, 2, setting=SETTING | setting, **identity)
    archive = pack()
    run.save(1)
    line = "left out: identity and setting: must be plain values by name"
    assert f"\n{run.path}: {line}\n" in unpack(archive, code=0)
    assert run.load() == 1


def test_what_a_checkpoint_was_saved_with_is_said_in_one_line():
    head = Head({"a": "x"}, {"threads": "2\n\x1b[31mred" + 5000 * "x"})
    line = head.find_difference({"a": "x"}, {"threads": 1})
    assert line.startswith(r"saved with threads 2\n\x1b[31mred")
    assert line.isprintable()
    assert len(line) < 1000


def test_a_checkpoint_of_a_run_that_is_done_is_left_out(unpack, run, write_run):
    run.save(2, data_sha256=write_run().data_sha256)
    archive = pack()
    assert "1 results, 0 checkpoints; checkpoints left out: 1 of runs that are done here" in unpack(
        archive, code=0
    )


def test_a_checkpoint_is_no_less_useful_for_a_stale_result(unpack, run, write_run):
    run.save(2, code_hash="new")
    archive = pack()
    write_run()
    assert "0 results, 1 checkpoints\n" in unpack(archive, code=0)
    assert run.load(code_hash="new") == 2


def test_a_pipe_in_place_of_a_checkpoint_is_named(unpack, run):
    run.save(2)
    archive = pack()
    run.path.parent.mkdir(parents=True)
    os.mkfifo(run.path)
    (line,) = unpack(archive, code=1).splitlines()
    assert "nothing is unpacked: " in line
    assert str(run.path) in line
