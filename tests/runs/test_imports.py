from __future__ import annotations

from pathlib import Path

import pytest

from hw2core.errors import UserError
from hw2core.runs.code_hash import hash_modules

LAZY = "\n\ndef __getattr__(name):\n    return find(name)\n"
OWN = "hw2core.cnn.mine"


def follow(package: Path, text: str, **others: str) -> set[str]:
    """Return the modules that a network of this text imports, in a folder with other modules."""
    for name, code in {"mine": text, **others}.items():
        (package / "cnn" / f"{name}.py").write_text(code)
    return {name.removeprefix("hw2core.") for name in hash_modules([OWN])}


@pytest.mark.parametrize(
    "text",
    [
        "from hw2core.cnn import ResidualBlock",
        "from hw2core.cnn import ResidualBlock as Block",
        "from hw2core import cnn\nx = cnn.ResidualBlock",
        "from hw2core import cnn as c\nx = c.ResidualBlock.forward.__doc__",
        "import hw2core as hw2\nx = hw2.cnn.ResidualBlock(3)",
        "import hw2core.cnn\nx = hw2core.cnn.ResidualBlock",
        "import hw2core.cnn as c\nx = [c.ResidualBlock]",
        "import hw2core.layers\nx = hw2core.cnn.ResidualBlock",
        "from . import ResidualBlock",
        "from .. import cnn\nx = cnn.ResidualBlock",
        "from ..cnn import ResidualBlock",
        "def f():\n    from hw2core.cnn import ResidualBlock",
        "def f():\n    from hw2core import cnn\n    return lambda: cnn.ResidualBlock",
        "class A:\n    from hw2core import cnn\n    x = {1: f'{cnn.ResidualBlock}'}",
        "if x:\n    from hw2core import layers as c\nelse:\n    from hw2core import cnn as c\n"
        "x = c.ResidualBlock",
        "if not TYPE_CHECKING:\n    from hw2core.cnn.residual import ResidualBlock",
        "if not typing.TYPE_CHECKING:\n    from hw2core.cnn import ResidualBlock",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from hw2core.cnn import ResidualBlock",
        "if NO_TYPE_CHECKING:\n    from hw2core.cnn import ResidualBlock",
    ],
)
def test_a_name_of_a_package_that_imports_lazily_is_followed(package, text):
    found = follow(package, text)
    assert {"cnn", "cnn.mine", "cnn.residual"} <= found
    assert not {"cnn.yourcodenet", "trained", "analysis.report"} & found


@pytest.mark.parametrize(
    "text",
    [
        "from hw2core.cnn import *",
        "from . import *",
        "from hw2core import cnn\nx = getattr(cnn, name)",
        "import hw2core as hw2\nc = hw2.cnn\nx = c.ResidualBlock",
        "from hw2core import cnn\nx = cnn.NewBlock",
        "from hw2core.cnn import NewBlock",
        "from hw2core.cnn.blocks import cnn\nx = cnn[0]",
        "from hw2core.cnn.blocks import *\nx = cnn.ResidualBlock",
    ],
)
def test_where_the_source_does_not_tell_all_of_the_package_is_followed(package, text):
    found = follow(package, text, blocks="from hw2core import cnn\nx = cnn.ConvClassifier\n")
    assert {"cnn.blocks", "cnn.conv", "cnn.mine", "cnn.residual", "cnn.yourcodenet"} <= found
    assert not {"layers", "trained", "analysis.report"} & found


def test_the_whole_package_is_followed_where_it_is_passed_on(package):
    found = follow(package, "import hw2core\nx = vars(hw2core)")
    assert {"cnn.residual", "layers.mlp", "trained", "analysis.figures.style", "io"} <= found


@pytest.mark.parametrize(
    "text",
    [
        "from hw2core.cnn.blocks import ResidualBlock",
        "from hw2core.cnn.blocks import c\nx = c.ResidualBlock",
        "from hw2core.cnn import blocks\nx = blocks.c.ResidualBlock",
    ],
)
def test_what_another_module_passes_on_is_followed(package, text):
    passing = "from hw2core import cnn as c\nfrom hw2core.cnn import ResidualBlock\nx = c.MLP.y\n"
    assert "cnn.residual" in follow(package, text, blocks=passing)


def test_a_lazy_function_of_the_package_is_followed(package):
    assert "runs.weights" in follow(package, "from hw2core import load_network")
    assert "runs.weights" in follow(package, "import hw2core\nx = hw2core.load_network('a')")
    assert "runs.weights" not in follow(package, "import hw2core.layers\nx = hw2core.layers.MLP")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("_MODULE_OF = {'Block': 'block'}" + LAZY, ["block"]),
        ("_MODULE_OF = {'Block': 'blocks'}" + LAZY, ["block", "deep.other"]),
        ("_MODULE_OF = dict(Block=name)" + LAZY, ["block", "deep.other"]),
        ("_MODULE_OF = 3" + LAZY, ["block", "deep.other"]),
        (LAZY, ["block", "deep.other"]),
        ("__getattr__, __all__ = attach(__name__)", ["block", "deep.other"]),
        ("from hw2core.nets.block import Block", ["block"]),
        ("from .block import *", ["block"]),
        ("class Block: pass" + LAZY, []),
    ],
)
def test_an_own_package_is_followed_by_its_table_or_as_a_whole(package, text, named):
    (package / "nets" / "deep").mkdir(parents=True)
    (package / "nets" / ".ipynb_checkpoints").mkdir()
    for name in ("block", "deep/other", ".ipynb_checkpoints/block-checkpoint"):
        (package / "nets" / f"{name}.py").write_text("class Block: pass\n")
    (package / "nets" / "__init__.py").write_text(text)
    found = follow(package, "from hw2core.nets import Block")
    assert {name for name in found if name.startswith("nets.")} - {"nets.deep"} == {
        f"nets.{name}" for name in named
    }


@pytest.mark.parametrize(
    "text",
    [
        "from importlib import import_module\nx = import_module('hw2core.cnn.residual')",
        "import importlib as i\nx = i.import_module('hw2core.cnn').ResidualBlock",
        "import importlib\nx = importlib.import_module('.residual', __package__)",
        "x = __import__('hw2core.cnn.residual', fromlist=['ResidualBlock'])",
    ],
)
def test_an_import_by_a_call_is_followed(package, text):
    assert "cnn.residual" in follow(package, text)


@pytest.mark.parametrize(
    "text",
    [
        "from importlib import import_module\nx = import_module('torch.cnn.residual')",
        "from importlib import import_module\nx = import_module(3)",
        "from importlib import import_module\nx = import_module()",
        "if TYPE_CHECKING:\n    from hw2core.cnn import ResidualBlock",
        "if typing.TYPE_CHECKING:\n    from hw2core import cnn\nx: cnn.ResidualBlock",
        "from hw2core.cnn.nothing import ResidualBlock",
        "from hw2core.nothing import *",
        "from torch import cnn\nx = cnn.ResidualBlock",
        "from . import conv\nx = conv.ResidualBlock",
    ],
)
def test_what_is_not_imported_is_not_followed(package, text):
    assert not {"cnn.residual", "cnn.yourcodenet"} & follow(package, text)


def test_modules_that_pass_on_each_others_names_are_followed_once(package):
    circle = "from hw2core.cnn.{0} import *\nfrom hw2core.cnn.{0}.x import x\n"
    circle += "from hw2core.cnn.{0} import x as x, y as x, x as y\nz = x.y.z\nx.x.x.x\n"
    text = circle.format("blocks") + "from hw2core.cnn.mine import mine\nmine.mine.mine\n"
    found = follow(package, text, blocks=circle.format("mine"))
    assert {"cnn.blocks", "cnn.mine"} < found


def test_a_folder_without_init_is_followed(package):
    (package / "nets").mkdir()
    (package / "nets" / "mine.py").write_text("from . import other\nfrom .blocks import x\n")
    (package / "nets" / "other.py").write_text("")
    (package / "nets" / "blocks.py").write_text("x = 1\n")
    before = hash_modules(["hw2core.nets.mine"])
    names = {"hw2core", *("hw2core.nets" + end for end in ("", ".blocks", ".mine", ".other"))}
    assert set(before) == names
    (package / "nets" / "blocks.py").write_text("x = 2\n")
    after = hash_modules(["hw2core.nets.mine"])
    assert {name for name in names if before[name] != after[name]} == {"hw2core.nets.blocks"}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("from parts import SCALE", "parts.py"),
        ("import parts.scale as s", "parts/scale.py"),
        ("def f():\n    from parts import scale", "parts/scale.py"),
        ("import parts", "workflow_scripts/parts.py"),
        ("import parts", "parts/__init__.py"),
        ("import sys\nsys.path.append(folder)\nimport parts", "hw2core/cnn/parts.py"),
    ],
)
def test_a_module_beside_the_package_is_refused(package, text, path):
    """No hash covers it, so that a result would count as current after an edit of it."""
    file = package.parent / path
    file.parent.mkdir(exist_ok=True)
    file.write_text("SCALE = 1")
    problem = r"mine\.py: imports parts.*, which is not imported from hw2core: move it there"
    with pytest.raises(UserError, match=problem):
        follow(package, text)


def test_an_installed_package_may_have_the_name_of_a_module_beside_its_own(package):
    follow(package, "import torch", torch="")
