"""A notebook's code in memory is that of the files, or the next training says which is not."""

import importlib
import sys
from pathlib import Path

import psutil
import pytest

from hw2core.errors import UserError
from hw2core.runs import code_hash, loaded
from hw2core.runs.code_hash import hash_image_code

SOURCE = '''"""A reader."""
from functools import cache

SCALE = 2


class Reader:
    @property
    def size(self):
        return 3

    @staticmethod
    def read(x):
        return x + SCALE


@cache
def read_all(x):
    return [Reader.read(y) for y in x]
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the package that this process has imported."""
    (tmp_path / "read_loaded.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loaded, "PACKAGE", "read_loaded")
    yield importlib.import_module("read_loaded")
    del sys.modules["read_loaded"]


def edit(module, old: str, new: str) -> None:
    assert SOURCE.count(old) == 1
    Path(module.__file__).write_text(SOURCE.replace(old, new))


def test_a_module_as_it_was_imported_is_loaded(module):
    loaded.check_loaded()
    edit(module, "SCALE = 2\n", "# a comment\nSCALE = 2\n")
    loaded.check_loaded()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2", "SCALE = 2.5"),
        ("x + SCALE", "x * SCALE"),
        ("return 3", "return 4"),
        ("Reader.read(y) for", "Reader.read(2 * y) for"),
        ("SCALE = 2\n", "SCALE = 2\n\n\ndef more():\n    pass\n"),
        ("x + SCALE", "x +"),
    ],
)
def test_an_edited_module_is_named_until_it_is_reloaded(module, old, new):
    edit(module, old, new)
    with pytest.raises(UserError, match=r"read_loaded\.py: edited after this process imported it"):
        loaded.check_loaded()
    if not new.endswith("+"):
        importlib.reload(module)
        loaded.check_loaded()


def test_a_module_whose_file_is_gone_is_named(module):
    Path(module.__file__).unlink()
    with pytest.raises(UserError, match="edited after"):
        loaded.check_loaded()


def test_files_older_than_the_process_are_not_read(module, monkeypatch):
    edit(module, "SCALE = 2", "SCALE = 3")
    later = psutil.Process().create_time() + 1e6
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: later)
    loaded.check_loaded()


def test_this_package_is_loaded_whatever_the_age_of_its_files(monkeypatch):
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 0.0)
    for name in ("experiments", "answers", "analysis.report", "analysis.explore"):
        importlib.import_module(f"hw2core.{name}")
    loaded.check_loaded()


def test_hashes_are_those_of_todays_files(monkeypatch):
    before = hash_image_code("generated")
    monkeypatch.setattr(code_hash, "hash_modules", lambda *_: {code_hash.REGISTRY: "", "a": "b"})
    assert hash_image_code("generated") == before
    loaded.check_loaded()
    assert hash_image_code("generated") != before
    monkeypatch.undo()
    loaded.check_loaded()
    assert hash_image_code("generated") == before
