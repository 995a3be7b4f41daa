"""Tests of the code's structure: allowed imports, and the length of modules."""

from __future__ import annotations

import ast
import graphlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGE = "hw2core"
MAX_LINES = 250
FOLDERS = ("hw2core", "workflow_scripts", "rules", "gpu", "search")

# What each part of the package may import: from the parts that decide numbers to those that show
# them, never back. The folder is the boundary of a run's code hash.
ALLOWED: dict[str, str] = {
    "errors": "",
    "io": "errors",
    "gpus": "errors",
    "history": "",
    "optimizers": "",
    "layers": "layers",
    "grad_check": "layers",
    "grad_compare": "grad_check",
    "cnn": "cnn",
    "training": "history io",
    "config": "errors io config data.arrays data.registry",
    "data": "errors io data",
    "engine": "errors gpus data layers optimizers history training engine",
    "evaluation": "engine data",
    "runs": "errors io gpus gpu_share history config data engine evaluation runs",
    "gpu_share": "config data",
    "gpu_locks": "gpus",
    "run_locks": "gpu_locks",
    "progress": "errors config gpus gpu_share runs",
    "code_copy": "errors config runs",
    "retries": "io runs",
    "slurm": "errors",
    "pipeline": "errors config data io runs",
    "made": "data io pipeline runs",
    "analysis": "errors io history optimizers layers grad_check cnn training config data engine"
    " evaluation runs analysis",
    "arguments": "config runs",
    "trained": "config data engine runs",
    "experiments": "arguments errors io history config data engine runs",
    "plot": "history runs analysis",
    "answers": "config runs analysis",
}


def list_imports(node: ast.AST) -> Iterator[str]:
    """Yield what executing ``node`` may import; what is for type checking only is left out."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for statement in node.orelse:
            yield from list_imports(statement)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        # `from package import name`: the name may be a module itself.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from list_imports(child)


def name_module(path: Path) -> str:
    """Return the dotted name of a file of the package, ``hw2core`` left out."""
    parts = path.relative_to(CHECKOUT / PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


SOURCES = {name_module(path): path for path in sorted((CHECKOUT / PACKAGE).rglob("*.py"))}
IMPORTS = {
    name: set(list_imports(ast.parse(path.read_text(encoding="utf-8"))))
    for name, path in SOURCES.items()
}


def find_module(name: str) -> str | None:
    """Return the module of this package that an imported name is, or is in."""
    if name.partition(".")[0] != PACKAGE:
        return None
    name = name.partition(".")[2]
    while name not in SOURCES:
        name = name.rpartition(".")[0]
    return name


GRAPH = {
    name: {module for found in imports if (module := find_module(found))} - {name}
    for name, imports in IMPORTS.items()
}


@pytest.mark.parametrize("part", sorted({name.partition(".")[0] for name in SOURCES} - {""}))
def test_imports_go_in_the_allowed_directions(part):
    allowed = ALLOWED[part].split()
    for name, imports in GRAPH.items():
        if name.partition(".")[0] == part:
            for module in imports:
                assert any(f"{module}.".startswith(f"{a}.") for a in allowed), (
                    f"{name} must not import {module}"
                )


def test_no_modules_import_each_other():
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises a CycleError, which names them


def test_nothing_in_the_package_imports_snakemake():
    for name, imports in IMPORTS.items():
        assert not {i for i in imports if i.partition(".")[0].startswith("snakemake")}, name


def test_modules_are_short():
    files = [
        path
        for folder in FOLDERS
        for path in (CHECKOUT / folder).rglob("*")
        if path.suffix in (".py", ".smk")
    ]
    assert CHECKOUT / "rules" / "train.smk" in files
    lengths = {str(f.relative_to(CHECKOUT)): len(f.read_text().splitlines()) for f in files}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_two_modules_of_tests_have_the_same_name():
    """Pytest imports them by it: with two, no test is collected."""
    names = Counter(path.name for path in (CHECKOUT / "tests").rglob("*.py"))
    assert [name for name, number in names.items() if number > 1] == ["conftest.py"]


def test_scripts_use_the_code_of_the_checkout_that_they_are_in():
    """Whatever is installed: a clone may share the environment of another."""
    before = {"use_checkout", "selected_runs.load_runs"}  # the second imports the first
    for path in sorted((CHECKOUT / "workflow_scripts").glob("*.py")):
        modules = list(list_imports(ast.parse(path.read_text(encoding="utf-8"))))
        ours = next((i for i, name in enumerate(modules) if name.startswith(PACKAGE)), None)
        assert ours is None or before & set(modules[:ours]), path
