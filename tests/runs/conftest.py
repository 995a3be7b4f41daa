"""A copy of the package to edit, which is hashed instead of this one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw2core.runs import code_hash, imports

CACHED = (
    imports.find_source,
    imports._list_data_files,
    code_hash._hash_run_modules,
    code_hash.hash_evaluation_code,
    code_hash.hash_image_code,
)


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[Path]:
    ignored = shutil.ignore_patterns("__pycache__")
    folder = shutil.copytree(
        imports.CHECKOUT / imports.PACKAGE, tmp_path / imports.PACKAGE, ignore=ignored
    )
    for function in CACHED:
        function.cache_clear()
    for module in (imports, code_hash):
        monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    yield folder
    for function in CACHED:
        function.cache_clear()
