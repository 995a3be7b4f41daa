"""Notices when code is edited that a notebook has imported: results have the hashes of files."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache, partial, partialmethod
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from hw2core.errors import UserError
from hw2core.runs.code_hash import forget_hashes
from hw2core.runs.imports import CHECKOUT, PACKAGE
from hw2core.runs.paths import list_below

FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef


def _hash_files() -> dict[Path, bytes]:
    """Return the hash of each file that a copy of the code has."""
    files = [path for path in list_below(CHECKOUT / PACKAGE) if path.parent.name != "__pycache__"]
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in files if path.is_file()}


def _hash_unedited() -> dict[Path, bytes]:
    """Return ``_hash_files``, without a hash of what was edited since this process imported it."""
    hashes = _hash_files()
    for module in list(sys.modules.values()):
        path = Path(getattr(module, "__file__", None) or "")
        if path in hashes and _is_edited(module, path):
            hashes[path] = b""
    return hashes


def _is_edited(module: ModuleType, path: Path) -> bool:
    """Return whether a file has other functions than its module, in place or content."""
    try:
        codes = set(_walk_code(compile(path.read_bytes(), path, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return True
    return any(code.co_filename == str(path) and code not in codes for code in _list_code(module))


def _walk_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _walk_code(part)


def _list_code(owner: Any) -> Iterator[CodeType]:
    """Yield the code of the functions of a module or class, without those that it imports."""
    for value in list(vars(owner).values()):
        if isinstance(value, type) and value.__module__ == getattr(owner, "__name__", None):
            yield from _list_code(value)
        function = _find_function(value)
        if isinstance(function, FunctionType):
            yield inspect.unwrap(function).__code__


def _find_function(value: Any) -> Any:
    """Return the function of a static or class method or of a property; else the value itself."""
    for name in ("__func__", "fget", "func"):
        whole = isinstance(value, (type, partial, partialmethod))
        value = value if whole else getattr(value, name, value)
    return value


@cache
def _list_defined(source: bytes) -> set[str]:
    """Return the classes and functions of a module, as ``name`` or ``class.name``.

    Those that the module itself may replace are left out: by a decorator, an assignment such as
    ``f = cache(f)``, or ``setattr``; an Enum replaces ``__new__``.
    """
    found, replaced = set(), set()
    tree = ast.parse(source)
    names = {node.name for node in ast.walk(tree) if isinstance(node, FUNCTIONS)}
    bodies = [("", tree.body)]
    for prefix, body in bodies:
        for statement in body:
            if isinstance(statement, (ast.ClassDef, *FUNCTIONS)) and not statement.decorator_list:
                found.add(f"{prefix}{statement.name}")
                if isinstance(statement, ast.ClassDef) and not prefix:
                    bodies.append((f"{statement.name}.", statement.body))
        for node in _walk_outside(body):
            if isinstance(node, ast.Assign):
                replaced |= {f"{prefix}{ast.unparse(target)}" for target in node.targets}
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
                replaced |= {f"{ast.unparse(node.args[0])}.{name}" for name in names}
    return {name for name in found - replaced if not name.endswith(".__new__")}


def _walk_outside(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of a body that are in no function or class."""
    for node in nodes:
        if not isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            yield node
            yield from _walk_outside(ast.iter_child_nodes(node))


def _find_replaced(module: ModuleType, path: Path) -> str:
    """Return the name of a function or class of ``module`` that a notebook replaced or added."""
    defined = _list_defined(path.read_bytes())
    values = dict(vars(module))
    for name, owner in vars(module).items():
        if isinstance(owner, type) and owner.__module__ == module.__name__:
            values |= {f"{name}.{part}": value for part, value in list(vars(owner).items())}
    for place, value in values.items():
        source, name = _locate(_unwrap(_find_function(value)))
        is_added = source == "__main__" != module.__name__ and name != ""
        is_another = source is not None and (source, name) != (module.__name__, place)
        if is_added or (place in defined and is_another):
            return place
    return ""


def _unwrap(function: Any) -> Any:
    """Return what a wrapper wraps that torch, pydantic, this package or ``cache`` makes."""
    makers = ("torch.optim.", "pydantic.", f"{PACKAGE}.")
    kinds = FunctionType, type(_list_defined)  # other objects may have any attribute
    while isinstance(function, kinds) and hasattr(function, "__wrapped__"):
        maker = getattr(function, "__globals__", {}).get("__name__", makers[0])
        if not maker.startswith(makers):
            break
        function = function.__wrapped__
    return function


def _locate(value: Any) -> tuple[str | None, str]:
    """Return the module of a function or class, whatever wraps it says, and its name in it.

    Of an object in place of one, the module is that of its class if that is of a notebook or a
    partial function; of any other, None.
    """
    if isinstance(value, FunctionType):
        return value.__globals__.get("__name__"), value.__code__.co_qualname
    if isinstance(value, type):
        return value.__module__, value.__qualname__
    kind = type(value)
    is_partial = isinstance(value, (partial, partialmethod))
    return (kind.__module__ if is_partial or kind.__module__ == "__main__" else None), ""


_known = _hash_unedited()  # when this module is imported; later those of modules that are not yet


def check_loaded() -> None:
    """Read the code anew for hashes, and check that what this process has imported is unchanged.

    Reloading a module is not enough: others may still have its old classes.

    Raises:
        UserError: names a file that was edited or deleted after its module was imported, or what
            was replaced in a module.
    """
    forget_hashes()
    found = _hash_files()
    modules = {Path(getattr(x, "__file__", None) or ""): x for x in list(sys.modules.values())}
    data = {path for path in _known if path.suffix != ".py"}  # which a module may have read
    for path in sorted(_known.keys() & modules.keys() | data):
        if found.get(path) != _known[path]:
            shown = path.relative_to(CHECKOUT)
            raise UserError(f"{shown}: edited after it was imported; restart the notebook's kernel")
    for path in sorted(found.keys() & modules.keys()):
        if name := _find_replaced(modules[path], path):
            shown = path.relative_to(CHECKOUT)
            rule = "edit the file instead, and restart the notebook's kernel"
            raise UserError(f"{shown}: {name} was replaced after it was imported; {rule}")
    _known.clear()
    _known.update(found)
