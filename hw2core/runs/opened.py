"""Finds the files that a network or a data set reads, and whose edits no hash would show."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hw2core.config.spec import RunSpec
from hw2core.runs.code_hash import RUN, hash_modules, read_module
from hw2core.runs.imports import CHECKOUT, PACKAGE, find_source


class _Watching(threading.local):
    """What this thread collects; another one may draw a figure meanwhile."""

    def __init__(self) -> None:
        self.found: list[set[Path]] = []


_watching = _Watching()


@contextmanager
def watch_files() -> Iterator[set[Path]]:
    """Collect what this thread opens meanwhile to read, other than from C++ or Rust."""
    _install()
    _watching.found.append(set())
    try:
        yield _watching.found[-1]
    finally:
        _watching.found.pop()


def find_unhashed(opened: Iterable[Path], spec: RunSpec) -> str:
    """Return what is wrong with the data files of a run: one that it reads is in no hash."""
    folder = _normalize(CHECKOUT / PACKAGE)
    inside = {path for path in opened if path.is_relative_to(folder) and path.is_file()}
    found = sorted(path for path in inside if not _is_code(path))
    if not found:
        return ""
    # Not those of the configuration, of which a hash has only what it computes.
    modules = hash_modules([RUN, spec.implementation, spec.trainer])
    sources = filter(None, map(find_source, modules))
    named = {_normalize(file) for source in sources for file in read_module(source)[1].files}
    missed = [path.relative_to(folder.parent) for path in found if path not in named]
    if not missed:
        return ""
    rule = f"write its name in {spec.implementation.partition(':')[0]}, or where it is read"
    return f"it reads {missed[0]}, and edits of that would not be noticed; {rule}"


def list_data(opened: Iterable[Path], root: Path, listed: Iterable[Path]) -> list[Path]:
    """Return the data files in ``root`` and beside it that were opened and are not ``listed``."""
    known, found = {path.resolve() for path in listed}, set()
    for folder in {_normalize(root), root.resolve()}:
        near = {x for x in opened if x.is_relative_to(folder) or x.parent == folder.parent}
        # A root such as "." or "~" has settings, caches and this Python in it.
        found |= {
            path
            for path in near
            if not any(part.startswith(".") for part in path.relative_to(folder.parent).parts)
            and not path.is_relative_to(sys.prefix)
        }
    data = {path for path in found if path.is_file() and not _is_code(path)}
    return sorted(path for path in data if path.resolve() not in known)


def _is_code(path: Path) -> bool:
    return path.suffix == ".py" or path.parent.name == "__pycache__"


@cache
def _install() -> None:
    sys.addaudithook(_note)  # which stays


def _note(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not _watching.found:
        return
    path, _, flags = args
    if isinstance(path, str | bytes) and flags & os.O_ACCMODE != os.O_WRONLY:
        _watching.found[-1].add(_normalize(os.fsdecode(path)))


def _normalize(path: Path | str) -> Path:
    """Return an absolute path without "..", which CHECKOUT may have, but with its links."""
    return Path(os.path.abspath(path))  # noqa: PTH100
