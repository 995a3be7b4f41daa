"""What `make setup` installs, on each kind of machine."""

from __future__ import annotations

import os
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
    assert user


@pytest.mark.parametrize(
    ("change", "python", "again"),
    [
        ("", None, False),
        ("", "same", False),
        ("", "another", True),
        ("moved", None, True),
        ("upgraded", None, True),
        ("removed", "same", True),
    ],
)
def test_an_environment_that_moved_or_lost_its_python_is_made_again(
    tmp_path, change, python, again
):
    version = "{}.{}".format(*sys.version_info)
    (tmp_path / "bin").mkdir()
    for name, printed in ("same", version), ("another", "3.0"), ("bin/python", version):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {printed.replace('.', ' ')}\n")
        (tmp_path / name).chmod(0o755)
    folder = "/elsewhere" if change == "moved" else ROOT
    (tmp_path / ".ready").write_text(f"{folder}: {version.replace('.', ' ')}\n")
    if change == "upgraded":
        (tmp_path / "another").replace(tmp_path / "bin/python")
    if change == "removed":
        (tmp_path / "bin/python").unlink()
    make = [
        "make",
        "-n",
        "setup",
        f"VENV={tmp_path}",
        *[f"PYTHON={tmp_path}/{python}"] * bool(python),
    ]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (" -m venv --clear" in done.stdout) == again
