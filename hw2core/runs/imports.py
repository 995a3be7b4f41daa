"""Finds the modules of this package that a module can import, without executing any of them.

Names are followed as Python looks them up: through packages that import a name when it is first
used (PEP 562), through modules that pass on what they import, and through aliases.
"""

from __future__ import annotations

import ast
import re
import symtable
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import translate
from functools import cache
from glob import escape
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from hw2core.errors import UserError
from hw2core.runs.paths import list_below

CHECKOUT = Path(__file__).parents[2]
PACKAGE = "hw2core"
# It names files for all other modules, each of which uses few of them.
PATH_TABLE = CHECKOUT / PACKAGE / "runs/paths.py"
# Where a package that imports lazily says which of its modules has each name.
LAZY_TABLE = "_MODULE_OF"
TYPES_ONLY = r"(\w+\.)*TYPE_CHECKING"
ANY = "*"  # in place of a name: any of them


class Imports(NamedTuple):
    """The names that a module binds and uses; dotted names are those of this package.

    Attributes:
        names: what it binds at its top level.
        bound: imported name -> the dotted names that it may stand for.
        used: the dotted names that it imports, or looks up in what it imports.
        lazy: name -> the submodule that has it, for a package that imports lazily.
        files: those other than Python code that its source names.
    """

    names: frozenset[str]
    bound: dict[str, set[str]]
    used: tuple[str, ...]
    lazy: dict[str, str]
    files: tuple[Path, ...]

    def defines(self, name: str) -> bool:
        """Return whether the module may have a name, as far as its source tells."""
        computed = "__getattr__" in self.names and not self.lazy
        return name in self.names or name in self.lazy or computed or ANY in self.bound

    def look_up(self, module: str, names: Sequence[str]) -> Iterator[str]:
        """Yield the dotted names that ``names`` may stand for in this module, called ``module``.

        Where the source does not tell which submodule of a package has a name, all of them may.
        """
        if not names:
            return
        first, *others = names
        for target in self.bound.get(first, ()):
            yield ".".join([target, *others])
        if first == ANY:
            yield from (f"{name}.{ANY}" for targets in self.bound.values() for name in targets)
        if find_source(f"{module}.{self.lazy.get(first)}"):
            yield ".".join([module, self.lazy[first], *names])
        elif first == ANY or ("__getattr__" in self.names and first not in self.names):
            yield from _list_submodules(module)


def read_imports(source: bytes, tree: ast.Module, path: Path) -> Imports:
    """Return the imports of the module in ``path``, from its source and its syntax tree.

    Imports count wherever they are, in functions too, but not under ``if TYPE_CHECKING:``. A module
    that is imported by a computed name is not found; ``import_module("hw2core.cnn")`` is.

    Raises:
        UserError: the module imports one beside this package, which is not hashed.
    """
    table = symtable.symtable(source, str(path), "exec")  # type: ignore[arg-type]
    names = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    inside = path.is_relative_to(CHECKOUT)
    package = ".".join(path.relative_to(CHECKOUT).parent.parts) if inside else ""
    nodes = list(_walk_executed(tree))
    bound: dict[str, set[str]] = {}
    used = []
    for node in nodes:
        for module, name, target in _list_bindings(node, package):
            _refuse_outside(path, module, target)
            if find_source(module):
                bound.setdefault(name, set()).add(target)
                used += [module, target]
    inner = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if node not in inner:
            first, *others = _spell(node)
            # A package may also be passed on, and any name be looked up in it.
            used += [".".join([target, *others, ANY]) for target in bound.get(first, ())]
    return Imports(
        names=frozenset(names),
        bound=bound,
        used=tuple(dict.fromkeys(used)),
        lazy=_read_lazy_table(tree),
        files=tuple(_list_files(nodes, path)),
    )


def _refuse_outside(path: Path, *names: str) -> None:
    for name in names:
        parts = name.split(".")
        if parts[0] in (PACKAGE, *sys.stdlib_module_names) or not all(map(str.isidentifier, parts)):
            continue
        # In the module's own folder Python finds it last, and only after sys.path.append.
        own = [] if find_spec(parts[0]) else [path.parent]
        for folder in (CHECKOUT, CHECKOUT / "workflow_scripts", *own):
            base = folder.joinpath(*parts)
            if base.with_suffix(".py").is_file() or (base / "__init__.py").is_file():
                raise UserError(
                    f"{path}: imports {name}, which is not imported from {PACKAGE}: move it there, "
                    f"and import {PACKAGE}.MODULE, because edits of it would not be noticed"
                )


def split_name(name: str) -> tuple[str, list[str]]:
    """Split a dotted name of this package into a module and the names to look up in it."""
    parts = name.split(".")
    end = 1
    while end < len(parts) and find_source(".".join(parts[: end + 1])):
        end += 1
    return ".".join(parts[:end]), parts[end:]


@cache
def find_source(name: str) -> Path | None:
    """Return the file of a module of this package, without importing it; None for others.

    A package without ``__init__.py`` has no file: its folder is returned.
    """
    parts = name.split(".")
    if parts[0] != PACKAGE or not all(part.isidentifier() for part in parts):
        return None
    base = CHECKOUT.joinpath(*parts)
    files = (base / "__init__.py", base.with_suffix(".py"))
    found = next((path for path in files if path.is_file()), base)
    return found if found.exists() else None


def _list_submodules(module: str) -> Iterator[str]:
    """Yield all modules in a package and in the packages in it; nothing for a plain module."""
    path = find_source(module)
    folder = path.parent if path and path.name == "__init__.py" else path
    for file in sorted(folder.rglob("*.py")) if folder else ():
        parts = file.relative_to(CHECKOUT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if find_source(name):  # not copies such as those in .ipynb_checkpoints
            yield name


def _walk_executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree but those that are for type checking only."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and re.fullmatch(TYPES_ONLY, ast.unparse(node.test)):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _list_files(nodes: Iterable[ast.AST], path: Path) -> list[Path]:
    """Return the files that the source of the module in ``path`` names, other than Python code.

    They are named by their whole names, or, in the folder of the module, by a pattern, an f-string
    or their folder. Only files that a copy of the code has count, and none for a table of paths.
    """
    if path == PATH_TABLE:
        return []
    texts, patterns = [], []
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (getattr(part, "value", None) for part in node.values)
            patterns.append("".join(escape(x) if isinstance(x, str) else ANY for x in parts))
    patterns += [x for x in texts if ANY in x]
    patterns = [x for x in patterns if re.search(r"\.\w+$", x)]  # "*" is about other folders
    matches = re.compile("|".join(translate(x.rpartition("/")[2]) for x in patterns) or "(?!)")
    names = {x.rpartition("/")[2] for x in texts}
    own = names | {f"{path.stem}{x}" for x in texts if x.startswith(".")}  # with a suffix
    below = list_below(path.parent)
    words = {word for text in texts for word in text.split("/")}
    folders = {x for x in below if x.name in words and not (x / "__init__.py").exists()}
    found = {x for x in below if x.name in own or matches.match(x.name) or folders & {*x.parents}}
    if path.is_relative_to(CHECKOUT):
        found |= {x for x in list_package() if x.name in names}
    return sorted(x for x in found if x.suffix not in (".py", ".pyc") and x.is_file())


@cache
def list_package() -> list[Path]:
    """Return what is in the folder of this package."""
    return list_below(CHECKOUT / PACKAGE)


def _list_bindings(node: ast.AST, package: str) -> Iterator[tuple[str, str, str]]:
    """Yield the module that an import in ``package`` loads, the name it binds, and to what."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield (alias.name, alias.asname or top, alias.name if alias.asname else top)
    if isinstance(node, ast.ImportFrom):
        module = _resolve(node.level * "." + (node.module or ""), package)
        for alias in node.names:
            yield module, alias.asname or alias.name, f"{module}.{alias.name}"
    if isinstance(node, ast.Call) and _spell(node.func)[-1] in ("import_module", "__import__"):
        given = [*node.args, *(x.value for x in node.keywords if x.arg == "name")][:1]
        for name in (str(x.value) for x in given if isinstance(x, ast.Constant)):
            module = _resolve(name, package)
            yield module, "", module  # whatever is looked up in it


def _resolve(name: str, package: str) -> str:
    """Return the module that a name in ``package`` means; one dot stands for the package."""
    dots = len(name) - len(rest := name.lstrip("."))
    above = package.split(".")[: 1 - dots or None] if dots else []
    return ".".join([*above, *filter(None, [rest])])


def _spell(node: ast.AST) -> list[str]:
    """Return the parts of a name such as ``cnn.ResidualBlock``; [""] for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else [""]


def _read_lazy_table(tree: ast.Module) -> dict[str, str]:
    """Return the table of a package that imports lazily, if it is written out."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == LAZY_TABLE:
            try:
                return dict(ast.literal_eval(node.value))
            except (ValueError, TypeError):
                break
    return {}
