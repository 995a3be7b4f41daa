"""Tests of unpacking an archive of results."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hw2core.errors import UserError
from hw2core.runs import paths
from hw2core.runs.archive import extract
from hw2core.runs.files import read_evaluation, write_evaluation
from hw2core.runs.staleness import explain_result

REFUSED = "not a file or folder in results/ or logs/"
TOO_LARGE = "sparse, or larger than any that a run writes"
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
SCRIPT = Path(__file__).parents[1] / "workflow_scripts/unpack.py"


def unpack(archive: Path, *options: str, code: int, **variables: str) -> str:
    command = [sys.executable, SCRIPT, archive, *options]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def pack(archive: Path, name: str = "results", **attributes) -> Path:
    """Write the results of this folder, and a member with ``attributes``."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add("results")
        if attributes or name != "results":
            member = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(b"?" * member.size))
    return archive


@pytest.fixture
def elsewhere(write_run, in_folder, monkeypatch) -> Path:
    """An empty folder; beside it, one with a result."""
    write_run()
    folder = in_folder / "elsewhere"
    folder.mkdir()
    return folder


def test_results_and_logs_are_unpacked(elsewhere, monkeypatch):
    archive = pack(elsewhere.parent / "study.tar.gz", "logs/train/a.log", size=3)
    packed = {path: path.read_bytes() for path in Path("results").rglob("*") if path.is_file()}
    monkeypatch.chdir(elsewhere)
    for _ in range(2):
        assert unpack(archive, code=0) == f"{archive}: 1 results, 0 checkpoints\n"
    assert {path: path.read_bytes() for path in packed} == packed
    assert Path("logs/train/a.log").read_bytes() == b"???"
    assert {path.name for path in Path().iterdir()} == {"results", "logs"}


def test_a_name_that_the_terminal_cannot_show_is_escaped(elsewhere, monkeypatch):
    archive = pack(elsewhere.parent / "\u6f22.tar.gz")
    monkeypatch.chdir(elsewhere)
    shown = f"{archive.parent}/\\u6f22.tar.gz: 1 results, 0 checkpoints\n"
    assert unpack(archive, code=0, PYTHONIOENCODING="latin-1") == shown


@pytest.mark.parametrize("file", ["results/tiny_L2_K8/seed0.json", "logs/train/a.log"])
def test_a_pipe_in_place_of_a_file_is_named(elsewhere, monkeypatch, file):
    archive = pack(elsewhere.parent / "study.tar.gz", "logs/train/a.log", size=3)
    monkeypatch.chdir(elsewhere)
    Path(file).parent.mkdir(parents=True)
    os.mkfifo(file)
    (line,) = unpack(archive, code=1).splitlines()
    assert "nothing is unpacked: " in line
    assert "not a regular file" in line
    assert file in line
    assert [path for path in Path().rglob("*") if path.is_file()] == []


def test_what_a_killed_call_left_is_removed(elsewhere, monkeypatch):
    archive = pack(elsewhere.parent / "study.tar.gz")
    monkeypatch.chdir(elsewhere)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    Path(f".unpack.{socket.gethostname()}.{process.pid}.tmp/results").mkdir(parents=True)
    unpack(archive, code=0)
    assert [path.name for path in Path().iterdir()] == ["results"]


INTERRUPTED = """
import sys
import unpack
def copy(*paths):
    raise KeyboardInterrupt
unpack.shutil.copyfile = copy
sys.exit(unpack.main())
"""


def test_ctrl_c_is_one_line_and_leaves_no_folder(elsewhere, monkeypatch):
    archive = pack(elsewhere.parent / "study.tar.gz")
    monkeypatch.chdir(elsewhere)
    command = [sys.executable, "-c", INTERRUPTED, archive]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 130
    assert done.stderr == f"{archive}: perhaps unpacked in part; unpack it again\n"
    assert not list(Path().rglob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "attributes", "reason"),
    [
        ("Snakefile", {"size": 3}, REFUSED),
        ("results/../Snakefile", {"size": 3}, REFUSED),
        ("/etc/results", {"size": 3}, REFUSED),
        ("results/a", {"type": tarfile.SYMTYPE, "linkname": "/etc"}, REFUSED),
        ("logs/a", {"type": tarfile.FIFOTYPE}, REFUSED),
        ("logs/a", {"type": tarfile.GNUTYPE_SPARSE}, TOO_LARGE),
        (
            "logs/a",
            {"type": tarfile.GNUTYPE_LONGNAME, "size": 70_000},
            "sparse, or larger than any",
        ),
        ("logs/a", {"type": tarfile.XHDTYPE, "size": 70_000}, TOO_LARGE),
        ("logs/a", {"pax_headers": SPARSE, "size": 512}, TOO_LARGE),
        ("results/a/seed0.json", {"size": 20 << 20}, TOO_LARGE),
        ("results/a/seed0.json", {"size": 3}, "not a result"),
        (paths.result_path("tiny_L2_K8", 0), {"size": 3}, "not a result"),
        (paths.weights_path("tiny_L2_K8", 0), {"size": 3}, "not the weights"),
        (paths.evaluation_path("tiny_L2_K8", 0), {"size": 3}, "not a result"),
        ("results/a/seed0.safetensors", {"size": 3}, "without its result, results/a/seed0.json"),
        ("results/a/seed0.test.json", {"size": 3}, "without its result, results/a/seed0.json"),
    ],
)
def test_an_archive_with_something_else_or_damaged_is_refused(
    elsewhere, monkeypatch, name, attributes, reason
):
    archive = pack(elsewhere.parent / "study.tar.gz", name, **attributes)
    monkeypatch.chdir(elsewhere)
    (message,) = unpack(archive, code=1).splitlines()
    assert message.startswith(f"{archive}: nothing is unpacked: {name}: {reason}")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        *(paths.SUMMARY_TABLE, "results/notes.txt", "results/a/b/seed0.json"),
        "results/tiny_L2_K8/seed0.checkpoint.damaged",
    ],
)
def test_what_is_of_no_run_is_left_out(elsewhere, monkeypatch, name):
    archive = pack(elsewhere.parent / "study.tar.gz", name, size=3)
    monkeypatch.chdir(elsewhere)
    unpack(archive, code=0)
    assert not Path(name).exists()


def test_an_evaluation_of_other_weights_is_refused(elsewhere, tiny_spec):
    path = paths.evaluation_path(tiny_spec.name, 0)
    other = {"weights_sha256": "b" * 64}
    write_evaluation(path, read_evaluation(path).model_copy(update=other))
    assert "not of the weights of its result" in unpack(pack(elsewhere / "s.tar.gz"), code=1)


def test_a_result_of_another_seed_is_refused(elsewhere, tiny_spec):
    path = Path(paths.result_path(tiny_spec.name, 0))
    path.rename(path.with_name("seed01.json"))
    assert "seed01.json: of seed 0" in unpack(pack(elsewhere / "s.tar.gz"), code=1)


@pytest.mark.parametrize("file", [paths.evaluation_path, paths.weights_path])
def test_other_weights_and_evaluations_are_replaced_only_on_demand(elsewhere, tiny_spec, file):
    archive = pack(elsewhere / "study.tar.gz")
    path = Path(file(tiny_spec.name, 0))
    packed = path.read_bytes()
    path.write_text("of others")
    assert f"{path} would be replaced by another" in unpack(archive, code=1)
    assert path.read_text() == "of others"
    unpack(archive, "--replace", code=0)
    assert path.read_bytes() == packed


def test_a_log_that_is_here_stays(elsewhere, monkeypatch):
    archive = pack(elsewhere.parent / "study.tar.gz", "logs/train/a.log", size=3)
    monkeypatch.chdir(elsewhere)
    Path("logs/train").mkdir(parents=True)
    Path("logs/train/a.log").write_text("of a later job")
    unpack(archive, code=0)
    assert Path("logs/train/a.log").read_text() == "of a later job"


def test_an_archive_that_is_cut_is_refused(elsewhere, monkeypatch):
    archive = elsewhere.parent / "study.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add("results")
        end = tar.offset
    archive.write_bytes(archive.read_bytes()[:end])
    monkeypatch.chdir(elsewhere)
    assert "it is cut or damaged" in unpack(archive, code=1)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("epochs", [2, 3, 4])
def test_another_result_is_replaced_only_on_demand(elsewhere, write_run, tiny_spec, epochs):
    archive = pack(elsewhere / "study.tar.gz")
    result = Path(paths.result_path(tiny_spec.name, 0))
    packed = result.read_bytes()
    config = tiny_spec.describe(0)
    config["training"] |= {"epochs": epochs, "lr": 0.5}
    write_run(config=config)
    before = result.read_bytes()
    (message,) = unpack(archive, code=1).splitlines()
    assert message.startswith(f"{archive}: nothing is unpacked: {result} would be replaced")
    assert "--replace" in message
    assert result.read_bytes() == before
    assert unpack(archive, "--replace", code=0)
    assert result.read_bytes() == packed


def test_what_is_in_the_way_is_named_before_anything_is_unpacked(elsewhere, monkeypatch):
    archive = pack(elsewhere / "study.tar.gz", "logs/train/a.log", size=3)
    monkeypatch.chdir(elsewhere)
    Path("logs").touch()
    (message,) = unpack(archive, code=1).splitlines()
    assert "study.tar.gz: nothing is unpacked: logs: not a folder" in message
    assert not Path("results").exists()


def test_a_result_that_comes_without_weights_is_not_stale_for_those_of_another(
    elsewhere, write_run, tiny_spec
):
    weights = Path(paths.weights_path(tiny_spec.name, 0))
    weights.unlink()
    archive = pack(elsewhere / "study.tar.gz")
    write_run()
    unpack(archive, code=0)
    assert weights.exists()  # they are those of the result
    weights.write_bytes(b"other weights")
    unpack(archive, code=0)
    assert not weights.exists()
    assert explain_result(tiny_spec, 0) == []


def test_an_archive_of_too_many_files_is_refused(elsewhere, monkeypatch):
    archive = pack(elsewhere / "study.tar.gz")
    extract(archive, elsewhere / "folder")
    monkeypatch.setattr("hw2core.runs.archive.MOST_FILES", 2)
    with pytest.raises(UserError, match=r"^more than 2 files$"):
        extract(archive, elsewhere / "other")


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_damaged_archive_is_one_line(elsewhere, content):
    archive = elsewhere / "study.tar.gz"
    archive.write_bytes(content)
    assert unpack(archive, code=1).endswith("nothing is unpacked: not a tar archive, or damaged\n")
    archive.write_bytes(pack(elsewhere.parent / "whole.tar.gz").read_bytes()[:-100])
    assert len(unpack(archive, code=1).splitlines()) == 1
    assert len(unpack(elsewhere / "missing.tar.gz", code=1).splitlines()) == 1
