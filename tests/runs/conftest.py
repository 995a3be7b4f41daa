"""A copy of the package to edit, which is hashed instead of this one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw2core.runs import code_hash, imports, opened


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[Path]:
    ignored = shutil.ignore_patterns("__pycache__")
    folder = shutil.copytree(
        imports.CHECKOUT / imports.PACKAGE, tmp_path / imports.PACKAGE, ignore=ignored
    )
    code_hash.forget_hashes()
    for module in (imports, code_hash, opened):
        monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    yield folder
    code_hash.forget_hashes()
