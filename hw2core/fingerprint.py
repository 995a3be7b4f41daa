"""The code hash of a run: what its training imports, without what cannot change a number.

Comments, docstrings, layout and type-only imports leave the hash as it is; so does the Python
version, because the syntax tree is written out by ``_describe`` and not by ``ast.dump``.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = __package__ or "hw2core"


def hash_modules(entries: Iterable[str]) -> dict[str, str]:
    """Return the hash of each module of this package that importing ``entries`` executes.

    Imports are followed wherever they stand, in functions too; those under ``if TYPE_CHECKING:``
    are never executed and are not followed. What a module imports by a computed name is not seen:
    it has to be named among the entries.

    Args:
        entries: dotted names of modules, such as ``hw2core.runner``.

    Returns:
        Module name -> first 16 hexadecimal digits of the sha256 of its normalised source, sorted.
    """
    found: dict[str, str] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _find_source(name)
        if path is None:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)
        found[name], imports = _read_module(path, path.stat().st_mtime_ns)
        waiting += imports
        # Importing a.b.c executes a and a.b first.
        waiting += [name.rsplit(".", 1)[0]] if "." in name else []
    return dict(sorted(found.items()))


def combine_hashes(hashes: dict[str, str]) -> str:
    """Return one hash over ``hash_modules``: the code hash of a run."""
    text = "".join(f"{name} {value}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _read_module(path: Path, _changed: int) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a source file and the package's modules that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    digest = hashlib.sha256(repr(_describe(tree)).encode()).hexdigest()[:16]
    return digest, tuple(dict.fromkeys(_list_imports(tree)))


def _describe(node: object) -> object:
    """Return a syntax tree as nested tuples that differ only where the meaning does."""
    if isinstance(node, ast.AST):
        # Empty fields are left out: newer versions of Python add some to old nodes.
        fields = [
            (name, _describe(value))
            for name, value in _list_fields(node)
            if value is not None and value != []
        ]
        return (type(node).__name__, *fields)
    if isinstance(node, list):
        return tuple(_describe(item) for item in node)
    return repr(node)


def _list_fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if name == "body" and _has_docstring(node):
            yield name, value[1:]
        elif isinstance(node, ast.JoinedStr):
            # Some versions of Python put empty strings between the parts of an f-string.
            yield name, [part for part in value if getattr(part, "value", None) != ""]
        elif name != "type_ignores":
            yield name, value


def _has_docstring(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def _list_imports(node: ast.AST) -> Iterator[str]:
    """Yield the package's modules that executing ``node`` can import."""
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        for statement in node.orelse:
            yield from _list_imports(statement)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if _is_ours(alias.name))
    if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
        yield node.module
        # `from package import name`: the name may be a module itself.
        names = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from (name for name in names if _find_source(name) is not None)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):  # most of the tree, and no import in it
            yield from _list_imports(child)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


@cache
def _find_source(name: str) -> Path | None:
    """Return the file of a module of this package without importing it."""
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    base = Path(spec.origin).parent.parent.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None
