"""Tests of the copy of code and configuration that a call's jobs run from."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import copy_sources

from hw2core.code_copy import CodeCopy
from hw2core.errors import UserError
from hw2core.runs import paths
from hw2core.runs.environment import read_commit

CONFIG = {"experiments": {"exp1_1": {}}}


@pytest.fixture
def checkout(in_folder) -> Path:
    checkout = copy_sources(in_folder / "checkout")
    checkout.configure(CONFIG)
    return checkout.folder


def test_planning_writes_nothing(checkout, in_folder):
    CodeCopy(checkout, CONFIG)
    assert list(in_folder.iterdir()) == [checkout]


def test_the_copy_has_what_jobs_need(checkout):
    copy = CodeCopy(checkout, CONFIG)
    copy.write()
    paths = ["Snakefile", "config.yaml", "rules/train.smk", "workflow_scripts/train.py"]
    paths += ["profiles/default/config.yaml", "slurm/bin/sbatch", "report/baselines.csv"]
    for path in paths:
        assert (copy.folder / path).read_bytes() == (checkout / path).read_bytes()
    assert os.access(copy.folder / "slurm/bin/sbatch", os.X_OK)
    assert not list(copy.folder.rglob("*.pyc"))
    assert CodeCopy(copy.folder, {}).folder == copy.folder, "a job uses the one that it is in"
    code = "import hw2core, sys; sys.exit('.snakemake/code' not in hw2core.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(copy.folder.resolve())}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_linked_folders_are_copied(checkout, in_folder):
    for name in ("hw2core/cnn", "report/answers"):
        moved = in_folder / Path(name).name
        shutil.move(checkout / name, moved)
        (checkout / name).symlink_to(moved)
    copy = CodeCopy(checkout, CONFIG)
    copy.write()
    for path in ("hw2core/cnn/conv.py", "report/answers/rates.md.j2"):
        assert (copy.folder / path).is_file(), path


def test_the_same_code_and_configuration_have_one_copy(checkout):
    first = CodeCopy(checkout, CONFIG)
    first.write()
    os.utime(checkout / "Snakefile", (0, 0))
    again = CodeCopy(checkout, dict(CONFIG))
    again.write()
    assert again.folder == first.folder
    for path in ("rules/train.smk", "config.yaml"):
        (first.folder / path).unlink()  # as those who clean scratch disks do
        again.write()
        assert (first.folder / path).exists()
    assert CodeCopy(checkout, {**CONFIG, "seeds": [1]}).folder != first.folder
    (checkout / "hw2core/io.py").write_text("half(")
    assert CodeCopy(checkout, CONFIG).folder != first.folder


def test_a_study_in_a_folder_of_its_own_is_copied_with_its_own_configuration(checkout, in_folder):
    (in_folder / "config.yaml").write_text("experiments: {}")
    copy = CodeCopy(checkout, CONFIG)
    copy.write()
    assert (copy.folder / "config.yaml").read_text() == "experiments: {}"


@pytest.mark.parametrize("exists", [False, True])
def test_an_edit_between_reading_and_copying_is_an_error(checkout, exists):
    copy = CodeCopy(checkout, CONFIG)
    if exists:
        copy.write()
    (checkout / "Snakefile").write_text("other")
    with pytest.raises(UserError, match="edited while Snakemake started; call it again"):
        copy.write()
    assert list(copy.folder.parent.iterdir()) == [copy.folder] * exists


def test_a_copy_that_cannot_be_written_is_one_line(checkout, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    copy = CodeCopy(checkout, CONFIG)
    monkeypatch.setattr(shutil, "copy2", fail)
    with pytest.raises(UserError, match=r"cannot be copied .No space left on device.; free disk"):
        copy.write()
    assert list(copy.folder.parent.iterdir()) == []


def test_two_calls_at_once_share_a_copy(checkout):
    first, second = (CodeCopy(checkout, CONFIG) for _ in range(2))
    first.write()
    second._copy(first.folder.with_name(".unfinished"))  # begun before the first had ended
    assert list(first.folder.parent.iterdir()) == [first.folder]


def test_copies_that_no_call_used_for_long_are_removed(checkout):
    copy = CodeCopy(checkout, CONFIG)
    folders = [copy.folder.with_name(name) for name in ("recent", "old", ".unfinished")]
    for folder, days in zip(folders, (29, 31, 31), strict=True):
        (folder / "hw2core").mkdir(parents=True)
        os.utime(folder, (0, time.time() - days * 24 * 3600))
    copy.write()
    os.utime(copy.folder, (0, 0))
    copy.write()
    assert sorted(copy.folder.parent.iterdir()) == sorted([copy.folder, folders[0]])


def test_a_copy_that_a_call_works_from_stays_however_old(checkout):
    running, later = CodeCopy(checkout, CONFIG), CodeCopy(checkout, {})
    running.write()
    os.utime(running.folder, (0, 0))
    later.write()
    assert (running.folder / "Snakefile").exists()
    running._held.close()  # as when its process ends
    later.write()
    assert not running.folder.exists()


def test_a_copy_that_another_call_has_just_removed_is_no_error(checkout):
    copies = Path(paths.CODE_COPIES)
    copies.mkdir(parents=True)
    (copies / "renamed").symlink_to("nothing")  # was there when the folder was listed
    CodeCopy(str(checkout), CONFIG).write()


def test_the_copy_keeps_the_commit_of_its_checkout(checkout):
    def read_copied_commit() -> str | None:
        copy = CodeCopy(checkout, CONFIG)
        copy.write()
        return read_commit(copy.folder)

    assert read_copied_commit() is None
    for arguments in (["init"], ["add", "."], ["commit", "--quiet", "-m", "x"]):
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *names, *arguments], cwd=checkout, check=True, capture_output=True)
    commit = read_copied_commit()
    assert len(commit) == 40
    (checkout / "Snakefile").write_text("other")
    assert read_copied_commit() == f"{commit}-dirty"
