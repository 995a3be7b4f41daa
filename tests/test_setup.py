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
case "$*" in *print*) echo {version};; esac
"""


@pytest.fixture
def environment(tmp_path):
    """An environment of programs that do nothing, as `make setup` leaves it, and other Pythons."""
    (tmp_path / "venv/bin").mkdir(parents=True)
    version = "{}.{}".format(*sys.version_info)
    for name, printed in ("same", version), ("another", "3.0"), ("venv/bin/python", version):
        text = PYTHON.format(folder=tmp_path, version=printed.replace(".", " "))
        (tmp_path / name).write_text(text)
    shutil.copy(tmp_path / "another", tmp_path / "venv/bin/pip")
    for name in "same", "another", "venv/bin/python", "venv/bin/pip":
        (tmp_path / name).chmod(0o755)
    run_make(tmp_path, f"PYTHON={tmp_path}/same")
    (tmp_path / "calls").unlink()
    return tmp_path


def run_make(folder, *arguments, goal="setup", code=0):
    """Run make with the environment of a folder; return what it did and what it said."""
    command = ["make", goal, f"VENV={folder}/venv", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (code == 0), done
    calls = folder / "calls"
    return calls.read_text() if calls.exists() else "", done.stdout


def test_an_environment_that_is_ready_is_left_alone(environment):
    for arguments in (), (f"PYTHON={environment}/same",):
        calls, _ = run_make(environment, *arguments)
        assert "venv --clear" not in calls
        assert "pip" not in calls


@pytest.mark.parametrize("change", ["moved", "upgraded", "removed", "chosen"])
def test_an_environment_that_moved_or_lost_its_python_is_made_again(environment, change):
    ready = environment / "venv/.ready"
    if change == "moved":
        ready.write_text(f"0 {ready.read_text()}")
    if change == "upgraded":
        (environment / "another").replace(environment / "venv/bin/python")
    if change == "removed":
        (environment / "venv/bin/python").unlink()
    python = environment / ("another" if change == "chosen" else "same")
    calls, _ = run_make(environment, f"PYTHON={python}", code=change == "removed")
    assert f"{python} -m venv --clear" in calls


def test_other_packages_are_installed_into_the_environment(environment):
    ready = environment / "venv/.ready"
    made = ready.read_text()
    place, packages = made.splitlines()
    ready.write_text(f"{place}\n{packages}0\n")
    calls, _ = run_make(environment)
    assert "venv --clear" not in calls
    assert "pip install" in calls
    assert ready.read_text() == made


def test_only_setup_changes_an_environment_from_which_a_study_may_be_running(environment):
    (environment / "venv/.ready").write_text("another one")
    for goal in "demo", "test", "lint", "study-gpu":
        calls, said = run_make(environment, goal=goal, code=2)
        assert said.splitlines()[-1].endswith("run make setup when no study is running")
        assert "venv --clear" not in calls
        assert "pip" not in calls


@pytest.mark.parametrize("goal", ["setup", "lint"])
def test_the_environment_of_another_checkout_is_left_alone(tmp_path, environment, goal):
    (environment / "venv/pyvenv.cfg").touch()
    (environment / "venv/.ready").unlink()
    other = tmp_path / "other"
    other.mkdir()
    (other / "venv").symlink_to(environment / "venv")
    _, said = run_make(other, goal=goal, code=2)
    assert said.endswith("venv is a link to the environment of another checkout; remove it\n")
    calls = (environment / "calls").read_text()
    assert "venv --clear" not in calls
    assert "pip" not in calls
