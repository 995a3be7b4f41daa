"""Checks that the code which a notebook has imported is that of the files, which are hashed."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType

import psutil

from hw2core.errors import UserError
from hw2core.runs.code_hash import forget_hashes
from hw2core.runs.imports import PACKAGE


def check_loaded() -> None:
    """Read the code anew for hashes, and check that this process has imported it as it is.

    Otherwise, a result would have the hash of an edited file, but come from the older code.

    Raises:
        UserError: a file was edited after its module was imported, which was not reloaded.
    """
    forget_hashes()
    started = psutil.Process().create_time()
    for name, module in sorted(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or PACKAGE)
        if name.partition(".")[0] == PACKAGE and path.suffix == ".py":
            try:
                status = path.stat()
                edited = max(status.st_mtime, status.st_ctime) > started
                same = not edited or _is_loaded(path, vars(module))
            except (OSError, SyntaxError, ValueError):
                same = False  # deleted, or half-typed
            if not same:
                raise UserError(
                    f"{path}: edited after this process imported it; reload it, or restart the "
                    "kernel"
                )


def _is_loaded(path: Path, names: Mapping[str, object]) -> bool:
    """Return whether a module has the functions, classes and constants of its source."""
    source = path.read_bytes()
    written = {_summarise(code) for code in _list_codes(compile(source, path, "exec"))}
    loaded = {_summarise(code) for code in _list_loaded(names, str(path), set())}
    return loaded <= written and _has_names(ast.parse(source).body, names)


def _has_names(body: list[ast.stmt], names: Mapping[str, object]) -> bool:
    """Return whether all that a source defines is there, and constants have their values."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name not in names:
            return False
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:  # not a constant
                continue
            if names.get(node.targets[0].id) != value:
                return False
    return True


def _list_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_codes(constant)


def _list_loaded(names: Mapping[str, object], file: str, seen: set[type]) -> Iterator[CodeType]:
    """Yield the code of the functions and methods that come from ``file``."""
    for value in names.values():
        if isinstance(value, type) and value not in seen:
            seen.add(value)
            yield from _list_loaded(vars(value), file, seen)
        for part in ("fget", "fset", "func", "__func__", "__wrapped__"):  # of a decorated function
            value = getattr(value, part, value)
        code = getattr(inspect.unwrap(value) if callable(value) else value, "__code__", None)
        if isinstance(code, CodeType) and code.co_filename == file:
            yield code


def _summarise(code: CodeType) -> tuple[object, ...]:
    """Return what a function does, without its place in the file."""
    constants = (_summarise(x) if isinstance(x, CodeType) else (type(x), x) for x in code.co_consts)
    return code.co_qualname, code.co_code, code.co_names, code.co_varnames, *constants
