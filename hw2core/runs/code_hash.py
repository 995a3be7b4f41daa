"""Hashes the code that a run's numbers depend on, without what cannot change a number.

Comments, docstrings, layout, type-only imports and the wording of errors, warnings and printed
lines do not affect a hash. Neither does the Python version, because ``_describe`` and not
``ast.dump`` writes out the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.data.registry import DATA_SETS
from hw2core.errors import UserError, make_line
from hw2core.runs.imports import (
    CHECKOUT,
    PACKAGE,
    Imports,
    find_source,
    list_package,
    read_imports,
    split_name,
)

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec

RUN = f"{PACKAGE}.engine.run"
NETWORKS = f"{PACKAGE}.config.networks"
PREPARATION = f"{PACKAGE}.data.datasets"
REGISTRY = f"{PACKAGE}.data.registry"
EVALUATION = (f"{PACKAGE}.evaluation",)
# Messages, atomic writes and the search for a GPU change no number. A helper that somebody adds to
# one of these modules may, so the modules are hashed where any other name of them is imported.
LEFT_OUT = {
    f"{PACKAGE}.errors": "UserError make_line",
    f"{PACKAGE}.gpus": "CUDA_GRAPH DEVICE find_sign_of_gpu",
    f"{PACKAGE}.config.errors": "ConfigError Location describe_errors join_path refuse",
    f"{PACKAGE}.io": "check_exist check_regular hash_file make_temporary_folder"
    " replace_atomically write_text_atomically",
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def hash_run_code(spec: RunSpec) -> dict[str, str]:
    """Return the hash of every module that training ``spec`` depends on.

    Of the configuration's own code, only what it computes for the network matters: its class, its
    trainer and its arguments; and the code that the run itself imports.

    Raises:
        UserError: a registry names a class or reader that does not exist, the arguments of the
            network are no JSON, or a module is not valid Python.
    """
    classes = spec.implementation, spec.trainer
    hashes = dict(_hash_run_modules(spec.model, classes, spec.data.name))
    arguments = spec.architecture.build_arguments(spec.data.num_classes)
    computed = {"classes": classes, "arguments": arguments}
    if imported := hashes.get(NETWORKS):
        computed["module"] = imported
    try:
        hashes[NETWORKS] = _shorten_hash(json.dumps(computed, sort_keys=True))
    except (TypeError, ValueError) as error:
        place = f"{NETWORKS.replace('.', '/')}.py: {spec.model}: build_arguments"
        rule = "return numbers, text, true, false, None, and lists and dictionaries of them"
        raise UserError(make_line(f"{place}: {error}; it must {rule}")) from None
    return hashes


@cache
def _hash_run_modules(model: str, classes: tuple[str, ...], data_name: str) -> dict[str, str]:
    entries = [RUN, *(_check_entry(NETWORKS, model, name) for name in classes)]
    if data_name in DATA_SETS:
        reader = check_reader(data_name)
        # Published checksums fix downloaded images; generated images depend on the code.
        entries += [] if DATA_SETS[data_name].checksummed else [reader]
    return hash_modules(entries)


def check_reader(data_name: str) -> str:
    """Return the reader of a data set, as ``module:function``.

    Raises:
        UserError: there is no such function.
    """
    return _check_entry(REGISTRY, data_name, DATA_SETS[data_name].reader)


def _check_entry(registry: str, key: str, entry: str) -> str:
    """Return what an entry of a registry names, as ``module:name``, if it exists."""
    module, _, name = entry.partition(":")
    path = find_source(module)
    problem = f"there is no module {module}"
    if path is not None:
        if read_module(path)[1].defines(name):
            return entry
        problem = f"{path.relative_to(CHECKOUT)} has no {name or 'class'}"
    place = f"{registry.replace('.', '/')}.py: {key}: {entry!r}"
    rule = f"must be module:name, of a module in {PACKAGE}"
    raise UserError(make_line(f"{place}: {problem}; {rule}"))


@cache
def hash_image_code(data_name: str) -> str:
    """Return the hash of the code that prepares the images of a data set, with its reader.

    The list of data sets is left out, unless the reader imports it: an entry that is added changes
    no other data set.
    """
    reader = check_reader(data_name)
    read = hash_modules([reader])
    hashes = hash_modules([PREPARATION]) | read
    if REGISTRY not in read:
        hashes.pop(REGISTRY)
    return combine_hashes(hashes | {"reader": reader})


@cache
def hash_evaluation_code() -> str:
    """Return the hash of the code that computes the metrics of an evaluation.

    It does not cover the code of all runs, or the network: changing these makes the weights stale,
    and new weights are evaluated anyway.
    """
    trained = hash_modules([RUN])
    hashes = hash_modules(EVALUATION)
    return combine_hashes({name: hashes[name] for name in hashes.keys() - trained.keys()})


def hash_modules(entries: Iterable[str]) -> dict[str, str]:
    """Return the hash of each module of this package that importing ``entries`` can execute.

    Args:
        entries: dotted names of modules, such as ``hw2core.engine.run``, or ``module:name``.

    Returns:
        Module name -> first 16 hexadecimal digits of the sha256 of its normalised source, sorted.
    """
    found: dict[str, str] = {}
    followed: set[str] = set()
    waiting = []
    for entry in entries:
        module = entry.partition(":")[0]
        if find_source(module) is None:
            raise ModuleNotFoundError(f"no module named {module!r}", name=module)
        waiting.append(entry.replace(":", "."))
    while waiting:
        name = waiting.pop()
        if name in followed:
            continue
        followed.add(name)
        module, names = split_name(name)
        path = find_source(module)
        # Without names, the module is only executed.
        if path is None or (module in LEFT_OUT and set(names[:1]) <= {*LEFT_OUT[module].split()}):
            continue
        found[module], imports = read_module(path)
        waiting += [*imports.used, *imports.look_up(module, names)]
        # Importing a.b.c executes a and a.b first.
        waiting += [module.rpartition(".")[0]] if "." in module else []
    return dict(sorted(found.items()))


def combine_hashes(hashes: dict[str, str]) -> str:
    """Combine the hashes of ``hash_modules`` into one: the code hash of a run."""
    text = "".join(f"{name} {value}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def forget_hashes() -> None:
    """Make the next hashes those of today's files; a notebook lives longer than a call."""
    reading = find_source, list_package, _parse_module
    for function in (*reading, _hash_run_modules, hash_image_code, hash_evaluation_code):
        function.cache_clear()


def read_module(path: Path) -> tuple[str, Imports]:
    """Return the hash of a source file and the files that it names, and its imports."""
    try:
        found, imports = _parse_module(path, path.stat().st_mtime_ns)
        contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in imports.files]
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror})") from None
    names = [os.path.relpath(file, path.parent) for file in imports.files]
    return (_shorten_hash(f"{found} {names} {contents}") if names else found), imports


@cache
def _parse_module(path: Path, _changed: int) -> tuple[str, Imports]:
    source = b"" if path.is_dir() else path.read_bytes()  # a folder is an empty module
    try:
        tree = ast.parse(source, path)
        imports = read_imports(source, tree, path)
    except (SyntaxError, ValueError) as error:  # half-typed
        raise UserError(f"{path}: not valid Python ({error})") from None
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            node.body = [child for child in node.body if not _is_docstring(child)]
        if isinstance(node, ast.JoinedStr):
            # Some versions of Python put empty strings between the parts of an f-string.
            node.values = [part for part in node.values if getattr(part, "value", None) != ""]
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
    """Return whether a node raises an error, or warns or prints without calling a method."""
    if isinstance(node, ast.Expr) and isinstance(call := node.value, ast.Call):
        inner = [x.func for x in ast.walk(call) if isinstance(x, ast.Call) and x is not call]
        changes = any(isinstance(function, ast.Attribute) for function in inner)
        return ast.unparse(call.func) in ("print", "warnings.warn") and not changes
    return isinstance(node, ast.Raise)
