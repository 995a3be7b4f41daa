"""A file that a network reads is part of its hash, or its run is refused."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from hw2core.runs import code_hash, imports, opened
from hw2core.runs.code_hash import forget_hashes
from hw2core.runs.opened import find_unhashed, watch_files


@pytest.fixture
def spec(tiny_spec, package, monkeypatch):
    """A run of a network in a copy of the package."""
    (package / "cnn" / "mine.py").write_text("class Mine: pass\n")
    monkeypatch.setattr(type(tiny_spec), "implementation", "hw2core.cnn.mine:Mine")
    return tiny_spec


def test_opened_files_are_collected_however_they_are_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [tmp_path / name for name in ("text", "bytes", "low", "nested")]
    for path in paths:
        path.touch()
    with watch_files() as found:
        paths[0].read_text()
        with open(b"bytes", "rb"):  # noqa: PTH123
            pass
        os.close(os.open("low", os.O_RDWR))  # as np.memmap does
        with watch_files() as inner, ThreadPoolExecutor() as pool:
            paths[3].read_bytes()
            pool.submit(paths[0].read_bytes).result()
            Path("written").write_text("")
    Path("text").read_text()
    assert (found, inner) == ({*paths[:3]}, {paths[3]})


@pytest.mark.parametrize(
    ("text", "noticed"),
    [
        ('bank = Path(__file__).with_name(f"{name}.npy")', True),
        ('bank = Path(__file__).with_name("gabor.npy")', True),
        ("from hw2core.cnn.helper import BANK", True),
        ('bank = Path(__file__).with_name(name + ".npy")', False),
        ("bank = Path(__file__).with_name(name)", False),
        ("bank = max(Path(__file__).parent.iterdir())", False),
    ],
)
def test_a_file_that_no_module_of_a_run_names_is_refused(package, spec, text, noticed):
    with (package / "cnn" / "mine.py").open("a") as file:
        file.write(text + "\n")
    (package / "cnn" / "helper.py").write_text('BANK = "gabor.npy"\n')
    bank = package / "cnn" / "gabor.npy"
    bank.write_text("1")
    (package / "config" / "networks.py").open("a").write('BANK = "gabor.npy"\n')
    found = {bank, package / "cnn" / "mine.py", package.parent / "elsewhere.npy"}
    found |= {package / "cnn", package / "cnn" / "absent.npy"}  # which it tries to open
    rule = "edits of that would not be noticed; write its name in hw2core.cnn.mine, or where it is"
    problem = "" if noticed else f"it reads hw2core/cnn/gabor.npy, and {rule} read"
    assert find_unhashed(found, spec) == problem


def test_a_checkout_may_be_on_the_path_relative_to_a_notebook(package, spec, monkeypatch):
    (package / "notes").mkdir()
    for module in (imports, opened, code_hash):
        monkeypatch.setattr(module, "CHECKOUT", package / "notes" / ".." / "..")
    bank = package / "cnn" / "gabor.npy"
    bank.touch()
    assert "it reads hw2core/cnn/gabor.npy" in find_unhashed([bank], spec)
    forget_hashes()
    (package / "cnn" / "mine.py").write_text('class Mine: bank = "gabor.npy"\n')
    assert find_unhashed([bank], spec) == ""


def test_a_trainer_may_name_a_file(package, spec):
    weights = package / "engine" / "weights.json"
    weights.write_text("[]")
    assert "it reads hw2core/engine/weights.json" in find_unhashed([weights], spec)
    forget_hashes()
    with (package / "engine" / "torch_trainer.py").open("a") as file:
        file.write('WEIGHTS = Path(__file__).with_name("weights.json")\n')
    assert find_unhashed([weights], spec) == ""


def test_code_and_its_bytecode_need_no_name(package, spec, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = package / "cnn" / "mine.py"
    with watch_files() as found:
        module = spec_from_file_location("mine", path)
        module.loader.exec_module(module_from_spec(module))
    assert path in found
    assert list(package.glob("cnn/__pycache__/mine.*"))
    assert find_unhashed(found, spec) == ""
