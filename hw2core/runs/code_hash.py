"""Hashes the code that a run's numbers depend on, without what cannot change a number.

Comments, docstrings, layout, type-only imports and the wording of errors, warnings and printed
lines do not affect a hash. Neither does the Python version, because ``_describe`` and not
``ast.dump`` writes out the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.data.registry import DATA_SETS
from hw2core.errors import UserError

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec

CHECKOUT = Path(__file__).parents[2]
PACKAGE = "hw2core"
RUN = f"{PACKAGE}.engine.run"
NETWORKS = f"{PACKAGE}.config.networks"
PREPARATION = f"{PACKAGE}.data.datasets"
REGISTRY = f"{PACKAGE}.data.registry"
EVALUATION = (f"{PACKAGE}.evaluation",)
# Messages, atomic writes and the search for a GPU change no number.
LEFT_OUT = tuple(
    f"{PACKAGE}.{name}" for name in ("errors", "io", "gpus", "config.errors", "runs.log")
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def hash_run_code(spec: RunSpec) -> dict[str, str]:
    """Return the hash of every module that training ``spec`` depends on.

    Of the configuration's own code, only what it computes for the network matters: its class, its
    trainer and its arguments.
    """
    hashes = dict(_hash_run_modules(spec.implementation, spec.trainer, spec.data.name))
    arguments = spec.architecture.build_arguments(spec.data.num_classes)
    computed = {"classes": [spec.implementation, spec.trainer], "arguments": arguments}
    hashes[NETWORKS] = _shorten_hash(json.dumps(computed, sort_keys=True))
    return hashes


@cache
def _hash_run_modules(implementation: str, trainer: str, data_name: str) -> dict[str, str]:
    entries = [RUN, implementation.split(":")[0], trainer.split(":")[0]]
    # Published checksums fix downloaded images; generated images depend on the code.
    if data_name in DATA_SETS and not DATA_SETS[data_name].checksummed:
        entries.append(DATA_SETS[data_name].reader.split(":")[0])
    return hash_modules(entries)


@cache
def hash_image_code(data_name: str) -> str:
    """Return the hash of the code that prepares the images of a data set, with its reader.

    The list of data sets is left out: an entry that is added changes no other data set.
    """
    reader = DATA_SETS[data_name].reader
    hashes = hash_modules([PREPARATION, reader.split(":")[0]])
    hashes.pop(REGISTRY)
    return combine_hashes(hashes | {"reader": reader})


@cache
def hash_evaluation_code() -> str:
    """Return the hash of the code that computes the metrics of an evaluation.

    It does not cover the network: changing the network makes the weights stale, and new weights
    are evaluated anyway.
    """
    return combine_hashes({name: _read_module(_find_source(name))[0] for name in EVALUATION})


def hash_modules(entries: Iterable[str]) -> dict[str, str]:
    """Return the hash of each module of this package that importing ``entries`` executes.

    Imports are followed wherever they are, in functions too; those under ``if TYPE_CHECKING:``
    are never executed and are not followed. A module that is imported by a computed name is not
    found: it has to be among the entries.

    Args:
        entries: dotted names of modules, such as ``hw2core.engine.run``.

    Returns:
        Module name -> first 16 hexadecimal digits of the sha256 of its normalised source, sorted.
    """
    found: dict[str, str] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found or name in LEFT_OUT:
            continue
        path = _find_source(name)
        if path is None:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)
        found[name], imports = _read_module(path)
        waiting += imports
        # Importing a.b.c executes a and a.b first.
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return dict(sorted(found.items()))


def combine_hashes(hashes: dict[str, str]) -> str:
    """Combine the hashes of ``hash_modules`` into one: the code hash of a run."""
    text = "".join(f"{name} {value}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_module(path: Path | None) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a source file and the package's modules that it imports."""
    assert path is not None
    return _parse_module(path, path.stat().st_mtime_ns)


@cache
def _parse_module(path: Path, _changed: int) -> tuple[str, tuple[str, ...]]:
    try:
        tree = ast.parse(path.read_bytes(), path)
    except (SyntaxError, ValueError) as error:  # half-typed
        raise UserError(f"{path}: not valid Python ({error})") from None
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            node.body = [child for child in node.body if not _is_docstring(child)]
        if isinstance(node, ast.JoinedStr):
            # Some versions of Python put empty strings between the parts of an f-string.
            node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    inside = path.is_relative_to(CHECKOUT)
    package = ".".join(path.relative_to(CHECKOUT).parent.parts) if inside else ""
    imports = tuple(dict.fromkeys(_list_imports(tree, package)))
    return _shorten_hash(repr(_describe(tree))), imports


def _shorten_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_docstring(node: ast.AST) -> bool:
    """Return whether a statement is only a text: a docstring, or one after a field."""
    text = node.value if isinstance(node, ast.Expr) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def _describe(node: object, *, wording: bool = False) -> object:
    """Return a syntax tree as nested tuples that differ only where the meaning does.

    With ``wording``, the tree is a message to the user, whose text is left out.
    """
    if isinstance(node, list):
        return tuple(_describe(item, wording=wording) for item in node)
    if not isinstance(node, ast.AST):
        return repr(node)
    wording = wording or _is_message(node)
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    if wording and (is_text or isinstance(node, ast.JoinedStr)):
        return "text"
    # Empty fields are left out: newer versions of Python add some to old nodes.
    fields = [
        (name, _describe(value, wording=wording))
        for name, value in ast.iter_fields(node)
        if value is not None and value != []
    ]
    return (type(node).__name__, *fields)


def _is_message(node: ast.AST) -> bool:
    """Return whether a node raises an error, warns or prints."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) in ("print", "warnings.warn")
    return isinstance(node, ast.Raise)


def _list_imports(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the project's modules that executing ``node``, in ``package``, can import."""
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children = iter(node.orelse)
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        # `from . import name`: from the package that the module is in, or one above.
        above = package.split(".")[: 1 - node.level or None] if node.level else []
        base = ".".join([*above, *filter(None, [node.module])])
        # `from package import name`: the name may be a module itself.
        names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    yield from (name for name in names if _find_source(name) is not None)
    for child in children:
        if not isinstance(child, ast.expr):  # most of the tree, without imports
            yield from _list_imports(child, package)


@cache
def _find_source(name: str) -> Path | None:
    """Return the file of a module of this package, without importing it; None for others."""
    base = CHECKOUT.joinpath(*name.split("."))
    files = (base / "__init__.py", base.with_suffix(".py"))
    ours = name.partition(".")[0] == PACKAGE
    return next((path for path in files if path.is_file()), None) if ours else None
