"""What `make setup` installs, on each kind of machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CUDA = ("cuda-", "nvidia-", "triton")


def list_locked(lines):
    return [line for line in lines if line and not line.startswith("#")]


def test_the_lock_has_what_torch_needs_on_every_linux():
    for line in list_locked((ROOT / "requirements.lock").read_text().splitlines()):
        _, _, marker = line.partition(" ; ")
        assert marker == ('sys_platform == "linux"' if line.startswith(CUDA) else ""), line


@pytest.mark.parametrize("torch", ["", "cpu"])
def test_a_machine_without_gpu_can_leave_out_cuda(torch):
    """The command that `make setup` runs, without its setting up."""
    make = ["make", "--no-print-directory", "-n", "setup", "VENV=nowhere", f"TORCH={torch}"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True)
    (command,) = [line for line in done.stdout.splitlines() if "> nowhere/packages.txt" in line]
    command = command.partition(" > ")[0]
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    left = list_locked(done.stdout.splitlines())
    assert "torch" in {line.partition("==")[0] for line in left}
    assert any(line.startswith(CUDA) for line in left) == (torch == "")


@pytest.mark.parametrize("home", ["writable", "a file"])
def test_snakemake_gets_a_cache_and_a_user_where_the_machine_has_none(tmp_path, home):
    (tmp_path / "writable").mkdir()
    (tmp_path / "a file").touch()
    show = 'include Makefile\nshow:\n\t@echo "$$XDG_CACHE_HOME|$$LOGNAME"\n'
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / home)}
    command = ["make", "--no-print-directory", "-f", "-", "show"]
    done = subprocess.run(
        command, cwd=ROOT, input=show, env=environment, capture_output=True, text=True, check=True
    )
    cache, _, user = done.stdout.strip().partition("|")
    assert cache == ("" if home == "writable" else f"{ROOT}/.snakemake/cache")
    assert not list(tmp_path.glob("writable/.cache/snakemake/*"))
    assert user


PYTHON = """#!/bin/sh
echo "$0 $@" >> {folder}/calls
case "$*" in
*_base_executable*) echo "$0";;
*print*) echo {version};;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/pip";;
*install*packages.txt) test ! -e {folder}/offline;;
esac
"""
VERSION = "{} {}".format(*sys.version_info)


@pytest.fixture
def checkout(tmp_path):
    """A folder with an environment of programs that do nothing, and with other Pythons."""
    for name, version in ("same", VERSION), ("another", "3 0"):
        (tmp_path / name).write_text(PYTHON.format(folder=tmp_path, version=version))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "real").mkdir()
    for name in "Makefile", "requirements.lock":
        shutil.copy(ROOT / name, tmp_path / "real")
    run_make(tmp_path / "real")
    (tmp_path / "real/.venv/mine").touch()
    return tmp_path / "real"


def run_make(folder, *arguments, goal="setup", succeeds=True):
    """Run make in a folder; return the calls of Python and pip, and what it said."""
    calls = folder.resolve().parent / "calls"
    calls.write_text("")
    python = f"PATH={folder.parent}:{os.environ['PATH']}"
    outer = ("-u", "MAKEFLAGS", "-u", "MAKELEVEL")  # of make test
    make = ["env", *outer, python, f"PWD={folder}", "make", goal]
    command = [*make, *(arguments or ["PYTHON=same"])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == succeeds, done
    return calls.read_text(), done.stdout


def test_an_environment_that_is_ready_is_left_alone(checkout):
    (checkout.parent / "link").symlink_to(checkout)
    for folder in checkout, checkout.parent / "link":
        for arguments in (), ("TORCH=cpu",):
            calls, _ = run_make(folder, *arguments)
            assert "-m venv" not in calls
            assert "pip" not in calls


@pytest.mark.parametrize("change", ["moved", "upgraded", "removed", "chosen", "linked"])
def test_an_environment_that_moved_or_lost_its_python_is_made_again(checkout, change):
    venv, old = checkout / ".venv", checkout / ".venv.old"
    if change == "moved":
        checkout = checkout.rename(checkout.parent / "moved")
        venv, old = checkout / ".venv", checkout / ".venv.old"
    if change == "upgraded":
        shutil.copy(checkout.parent / "another", venv / "bin/python")
    if change == "removed":
        (venv / "bin/python").unlink()
    if change == "linked":  # to the environment of another checkout
        other = checkout.parent / "other"
        other.mkdir()
        for name in "Makefile", "requirements.lock":
            shutil.copy(ROOT / name, other)
        (other / ".venv").symlink_to(venv)
        checkout, venv, old = other, other / ".venv", other / ".venv.old"
    python = "another" if change == "chosen" else "same"
    (checkout.parent / "offline").touch()
    for _ in range(2):  # the old one is kept until the new one is complete
        calls, _ = run_make(checkout, f"PYTHON={python}", succeeds=False)
        assert f"/{python} -m venv .venv\n" in calls
        assert (old / "mine").exists()
    (checkout.parent / "offline").unlink()
    run_make(checkout, f"PYTHON={python}")
    assert not old.exists()
    assert not (venv / "mine").exists()
    assert (checkout.parent / "real/.venv/mine").exists() == (change == "linked")
    assert "pip" not in run_make(checkout, f"PYTHON={python}")[0]


@pytest.mark.parametrize("ready", ["other packages", "an older version"])
def test_other_packages_are_installed_into_the_environment(checkout, ready):
    file = checkout / ".venv/.ready"
    made = file.read_text()
    file.write_text(made.splitlines()[0] + "\n1 2\n" if ready == "other packages" else "")
    calls, _ = run_make(checkout)
    assert "-m venv" not in calls
    assert "pip install" in calls
    assert file.read_text() == made


def test_only_setup_changes_an_environment_from_which_a_study_may_be_running(checkout):
    (checkout / ".venv/.ready").write_text("another one")
    for goal in "demo", "test", "lint", "study-gpu":
        calls, said = run_make(checkout, goal=goal, succeeds=False)
        assert said.splitlines()[-1].endswith("run make setup when no study is running")
        assert "-m venv" not in calls
        assert "pip" not in calls
