from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hw2core.errors import UserError
from hw2core.io import (
    WriteError,
    check_exist,
    check_writable,
    hash_file,
    make_temporary_folder,
    prepare_writing,
    replace_atomically,
    write_text_atomically,
)


def test_a_file_is_written_next_to_its_place_and_then_moved(tmp_path):
    path = tmp_path / "new" / "deep" / "figure.svg"
    with replace_atomically(path) as temporary:
        temporary.write_text("<svg>")
        assert (temporary.parent, temporary.suffix) == (path.parent, ".svg")
        assert not path.exists()
    assert path.read_text() == "<svg>"
    write_text_atomically(path, "naïve ×2\n")
    assert path.read_bytes() == "naïve ×2\n".encode()
    assert list(path.parent.iterdir()) == [path]


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


@pytest.mark.parametrize("name", ["file.json", "file"])
def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path, name):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with replace_atomically(tmp_path / name) as temporary:
        temporary.write_text("text")
    assert str(os.getpid()) in temporary.name
    dead, alive = (
        temporary.with_name(temporary.name.replace(str(os.getpid()), str(writer)))
        for writer in (process.pid, os.getppid())
    )
    # No process of this machine has the number of a writer on another one.
    remote = dead.with_name(dead.name.replace(socket.gethostname(), "node7.example"))
    other = dead.with_name(dead.name.replace(str(process.pid), "mine"))  # of no writer
    for leftover in (dead, alive, remote, other):
        leftover.touch()
    write_text_atomically(tmp_path / name, "text")
    assert not dead.exists()
    assert all(path.exists() for path in (alive, remote, other))


def test_a_temporary_folder_is_deleted_also_those_of_killed_processes(tmp_path):
    code = """import os, signal, sys; from hw2core.io import make_temporary_folder
with make_temporary_folder(sys.argv[1]) as folder:
    (folder / "file").touch()
    os.kill(os.getpid(), signal.SIGKILL)"""
    path = tmp_path / "unpack"
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
    (killed,) = tmp_path.iterdir()
    assert (killed / "file").exists()
    alive = tmp_path / f".unpack.{socket.gethostname()}.{os.getppid()}.tmp"
    alive.mkdir()
    with make_temporary_folder(path) as folder:
        assert set(tmp_path.iterdir()) == {folder, alive}
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == [alive]


def test_a_file_that_cannot_be_written_is_one_error_with_the_way_out(tmp_path):
    (tmp_path / "folder").touch()
    with pytest.raises(WriteError, match=r"file\.json: cannot be written .* run again") as caught:
        write_text_atomically(tmp_path / "folder" / "file.json", "text")
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


def test_a_read_only_folder_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != tmp_path)
    with pytest.raises(WriteError, match=r"new/file\.json: cannot be written .*read-only"):
        check_writable([tmp_path.parent / "file.json", tmp_path / "new" / "file.json"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("figures/key.svg", "figures: not a folder"),
        ("results/run/seed0.json", "results/run: not a folder"),
        ("logs/train/run.log", "logs: not a folder"),
        ("results/folder.json", "results/folder.json: a folder"),
        ("results/link.json", "results/link.json: a link to nothing"),
        ("results/loop.json", "results/loop.json: a link to nothing"),
    ],
)
def test_what_is_in_the_way_is_named_before_anything_is_made(in_folder, path, line):
    Path("results/folder.json").mkdir(parents=True)
    for name in ("figures", "results/run"):
        Path(name).touch()
    Path("logs").symlink_to("scratch")  # a disk that is not there
    Path("results/link.json").symlink_to("missing")
    Path("results/loop.json").symlink_to("loop.json")
    before = sorted(Path().rglob("*"))
    with pytest.raises(WriteError, match=f"^{re.escape(line)}; move or delete it, and run again$"):
        check_writable(["other/file", path])
    assert sorted(Path().rglob("*")) == before


def test_a_folder_that_may_not_be_entered_is_named_in_one_line(in_folder, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(WriteError, match=r"^results/a\.json: Permission denied; make its folder"):
        check_writable(["results/a.json"])


@pytest.mark.parametrize("name", ["file/x.json", "folder", "file/deep/x.json"])
def test_what_cannot_be_written_later_is_refused_and_leaves_nothing(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match=rf"{name}: cannot be written \("):
        prepare_writing(tmp_path / name)
    for file in ("x.json", "y.json"):
        prepare_writing(tmp_path / "new" / "deep" / file)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"file", "folder", "new", "new/deep"}


def test_the_hash_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert hash_file(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_a_missing_file_of_the_project_is_named(tmp_path):
    check_exist([__file__])
    with pytest.raises(UserError, match=r"gone\.csv: no such file; restore it from the project"):
        check_exist([__file__, tmp_path / "gone.csv"])
