"""Notices when code is edited that a notebook has imported: results have the hashes of files."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache, cached_property, partial, partialmethod
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from hw2core.errors import UserError
from hw2core.runs.code_hash import forget_hashes
from hw2core.runs.imports import CHECKOUT, PACKAGE
from hw2core.runs.paths import list_below

FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef
KINDS = FunctionType, type(cache(len))  # other objects may have any attribute
# Exact types: of other objects, even a look for an attribute may fail.
HOLDERS = {
    staticmethod: "__func__",
    classmethod: "__func__",
    MethodType: "__func__",
    property: "fget",
    cached_property: "func",
}
# Who wraps the methods of subclasses, or what is decorated.
MAKERS = "torch.optim.", "torch.utils.", "torch._compile.", "pydantic.", "matplotlib."


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
    while name := HOLDERS.get(type(value)):
        value = getattr(value, name)
    return value


class _Names(NamedTuple):
    """The names in the source of a module.

    Attributes:
        defined: classes and functions that it defines, as ``name`` or ``class.name``.
        imported: name -> the name in the module from which it comes.
    """

    defined: set[str]
    imported: dict[str, str]


@cache
def _read_names(source: bytes) -> _Names:
    """Return the names of a module, without those of functions that it may replace itself.

    It does so by a decorator, an assignment such as ``f = cache(f)`` or ``cls.forward = f``, or
    ``setattr``; an Enum replaces ``__new__``.
    """
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    methods = {node.name for node in nodes if isinstance(node, FUNCTIONS)}
    stored = {
        x.attr for x in nodes if isinstance(x, ast.Attribute) and isinstance(x.ctx, ast.Store)
    }
    found, replaced = set(), set()
    bodies = [("", tree.body)]
    for prefix, body in bodies:
        for statement in body:
            if isinstance(statement, (ast.ClassDef, *FUNCTIONS)) and not statement.decorator_list:
                found.add(f"{prefix}{statement.name}")
                if isinstance(statement, ast.ClassDef) and not prefix:
                    bodies.append((f"{statement.name}.", statement.body))
        for node in _walk_outside(body):
            if isinstance(node, ast.Assign):
                names = {f"{prefix}{ast.unparse(target)}" for target in node.targets}
                replaced |= names | {f"{name}.{method}" for name in names for method in methods}
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
                replaced |= {f"{ast.unparse(node.args[0])}.{method}" for method in methods}
    aliases = [alias for x in nodes if isinstance(x, ast.ImportFrom) for alias in x.names]
    imported = {alias.asname or alias.name: alias.name for alias in aliases}
    kept = {x for x in found - replaced if x.rpartition(".")[2] not in {"__new__", *stored}}
    return _Names(set() if "__module__" in stored else kept - imported.keys(), imported)


def _walk_outside(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of a body that are in no function or class."""
    for node in nodes:
        if not isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            yield node
            yield from _walk_outside(ast.iter_child_nodes(node))


def _find_replaced(module: ModuleType, path: Path) -> str:
    """Return the name of a function or class of ``module`` that a notebook replaced or added."""
    names = _read_names(path.read_bytes())
    values = dict(vars(module))
    for name, owner in list(values.items()):
        if isinstance(owner, type) and owner.__module__ == module.__name__:
            values |= {f"{name}.{part}": value for part, value in list(vars(owner).items())}
    for place, value in values.items():
        function, replaced = _find_function(value), False
        if isinstance(function, (type, *KINDS)):
            in_cell = module.__name__ != "__main__" and _is_of_cell(function)
            replaced = in_cell or (
                place in names.defined and _locate(function) != (module.__name__, place)
            )
        elif isinstance(function, (partial, partialmethod)) or type(value).__module__ == "__main__":
            replaced = place in names.defined or (
                place in names.imported and not _has(names.imported[place], value, module)
            )
        if replaced:
            return place
    return ""


def _is_of_cell(function: Any) -> bool:
    """Return whether a class or function, or one that it wraps, is of a notebook."""
    while "__main__" not in (function.__module__, _read_globals(function)):
        function = getattr(function, "__wrapped__", None)
        if not isinstance(function, KINDS):
            return False
    return True


def _has(name: str, value: Any, importing: ModuleType) -> bool:
    """Return whether another module than ``importing`` has this object by this name."""
    others = [module for module in list(sys.modules.values()) if module is not importing]
    return any(getattr(module, "__dict__", {}).get(name) is value for module in others)


def _read_globals(function: Any) -> str | None:
    """Return the module in which a function is defined, whatever a wrapper says."""
    return function.__globals__.get("__name__") if isinstance(function, FunctionType) else None


def _locate(function: Any) -> tuple[str | None, str]:
    """Return the module of a class or function, and its name in it, as its source has them.

    What a library, this package or ``cache`` wraps counts, and not the wrapper.
    """
    makers = (*MAKERS, f"{PACKAGE}.")
    while isinstance(function, KINDS) and hasattr(function, "__wrapped__"):
        maker = _read_globals(function)
        if maker is not None and not maker.startswith(makers):
            break
        function = function.__wrapped__
    if isinstance(function, FunctionType):
        return _read_globals(function), function.__code__.co_qualname
    return getattr(function, "__module__", None), getattr(function, "__qualname__", "")


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
