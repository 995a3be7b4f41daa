"""A notebook trains with the code of the files, or says which was edited after its import."""

import functools
import importlib
import re
import subprocess
import sys
from types import ModuleType
from unittest.mock import Mock

import pytest
import torch

from hw2core.errors import UserError
from hw2core.runs import code_hash, loaded
from hw2core.runs.code_hash import hash_image_code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package of two modules, of which this process has imported the first."""
    (tmp_path / "edited").mkdir()
    for name in ("__init__", "used", "unused"):
        (tmp_path / f"edited/{name}.py").write_text("SCALE = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loaded, "CHECKOUT", tmp_path)
    monkeypatch.setattr(loaded, "PACKAGE", "edited")
    monkeypatch.setattr(loaded, "_known", loaded._hash_files())
    importlib.import_module("edited.used")
    yield tmp_path / "edited"
    for name in ("edited", "edited.used", "edited.unused", "edited.wraps"):
        sys.modules.pop(name, None)


def test_an_imported_module_must_not_be_edited(folder):
    loaded.check_loaded()
    (folder / "used.py").write_text("SCALE = 3\n")
    for _ in range(2):
        with pytest.raises(UserError, match=r"^edited/used\.py: edited after it was imported; re"):
            loaded.check_loaded()
    # As the module may be a class elsewhere, loading it again does not help.
    importlib.reload(sys.modules["edited.used"])
    with pytest.raises(UserError):
        loaded.check_loaded()
    (folder / "used.py").write_text("SCALE = 2\n")
    loaded.check_loaded()


def test_a_module_may_be_edited_until_it_is_imported(folder):
    (folder / "unused.py").write_text("SCALE = 3\n")
    (folder / "new.py").write_text("SCALE = 3\n")
    (folder / ".#unused.py").symlink_to("user@host.1234")  # a lock of Emacs
    loaded.check_loaded()
    importlib.import_module("edited.unused")
    loaded.check_loaded()
    (folder / "unused.py").write_text("SCALE = 4\n")
    with pytest.raises(UserError, match=r"edited/unused\.py"):
        loaded.check_loaded()


@pytest.mark.parametrize("name", ["used.py", "tables/scale.json"])
def test_a_deleted_module_or_data_file_is_named(folder, name):
    (folder / "tables").mkdir()
    (folder / "tables" / "scale.json").write_text("2")
    loaded.check_loaded()
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"edited/{re.escape(name)}: edited after"):
        loaded.check_loaded()


SOURCE = """
from enum import Enum
from functools import cache
from unittest.mock import call

from torch.optim import Optimizer

from edited.wraps import square as squared, wrap


class Net:
    func = len

    def forward(self):
        pass


def scale():
    pass


def other():
    pass


class Lion(Optimizer):
    def __init__(self, params):
        super().__init__(params, {})

    def step(self):
        pass


def cached():
    pass


cached = cache(cached)


@wrap
def wrapped():
    pass


class Fast:
    def fast(self):
        pass

    def backward(self):
        pass


class Number(Enum):
    ONE = 1

    def __new__(cls, value):
        return object.__new__(cls)


class Patched:
    def backward(self):
        pass


def install(cls):
    cls.backward = other
    return cls


Patched = install(Patched)
for each in [Fast]:
    each.fast = other
for name in ["backward"]:
    setattr(Fast, name, other)
"""


WRAPS = """
from functools import partial

square = partial(pow, 2)


def wrap(function):
    return lambda: function()
"""
DECORATED = """
import torch

@torch.no_grad()
def scale():
    pass
"""


class Mine:
    def forward(self):
        return self


def run_cell(text):
    cell = {"__name__": "__main__"}
    exec(text, cell)
    return cell


def test_what_a_notebook_replaces_in_a_module_is_named(folder):
    (folder / "wraps.py").write_text(WRAPS)
    (folder / "unused.py").write_text(SOURCE)
    loaded.check_loaded()
    module = importlib.import_module("edited.unused")
    module.Lion([torch.zeros(1)])  # wraps its method
    wrapper = functools.wraps(module.scale)(lambda: module.Net())
    for owner, name, shown, value in [
        (module, "Net", "Net", Mine),
        (module, "Net", "Net", functools.partial(module.Net)),
        (module, "scale", "scale", Mine.forward),
        (module, "scale", "scale", wrapper),
        (module, "scale", "scale", functools.cache(wrapper)),
        (module, "scale", "scale", module.other),
        (module, "wrap", "wrap", functools.partial(module.wrap)),
        (module, "wrap", "wrap", run_cell("class Call:\n  __call__ = len")["Call"]()),
        (module, "wrap", "wrap", run_cell(DECORATED)["scale"]),
        (module, "scale", "scale", run_cell("class Call:\n  __call__ = len")["Call"]()),
        (module.Net, "forward", r"Net\.forward", Mine.forward),
        (module.Net, "forward", r"Net\.forward", functools.partialmethod(module.Net.forward)),
    ]:
        before = getattr(owner, name)
        setattr(owner, name, value)
        with pytest.raises(UserError, match=rf"^edited/unused\.py: {shown} was replaced after it"):
            loaded.check_loaded()
        setattr(owner, name, before)
        loaded.check_loaded()
    module.Net.backward = module.scale
    loaded.check_loaded()
    module.Net.backward = run_cell("def backward(self):\n    return self")["backward"]
    with pytest.raises(UserError, match=r"Net\.backward was replaced"):
        loaded.check_loaded()


def test_a_module_that_is_run_may_have_its_own_functions(folder, monkeypatch):
    """As ``python -m hw2core.experiments`` does."""
    (folder / "unused.py").write_text("def scale():\n    pass\n")
    module = ModuleType("__main__")
    module.__file__ = str(folder / "unused.py")
    exec((folder / "unused.py").read_text(), vars(module))
    monkeypatch.setattr(loaded, "_known", loaded._hash_files())
    monkeypatch.setitem(sys.modules, "__main__", module)
    loaded.check_loaded()


def test_hashes_are_those_of_todays_files(monkeypatch):
    before = hash_image_code("generated")
    hashes = {code_hash.REGISTRY: "", "a": "b"}
    monkeypatch.setattr(code_hash, "hash_modules", Mock(return_value=hashes))
    assert hash_image_code("generated") == before
    loaded.check_loaded()
    assert hash_image_code("generated") != before
    monkeypatch.undo()
    loaded.check_loaded()
    assert hash_image_code("generated") == before


CELL = """
import sys
from pathlib import Path
sys.path.insert(0, {package!r})
import hw2core.cnn.yourcodenet, hw2core.training, hw2core.layers.mlp
path = Path({package!r}, "hw2core/cnn/yourcodenet.py")
path.write_text(path.read_text().replace("def forward(", "def forward(  #\\n", {edits}))
from hw2core.runs.loaded import check_loaded
check_loaded()
"""


@pytest.mark.parametrize("edits", [0, 1])
def test_an_edit_between_the_imports_of_two_cells_is_noticed(package, edits):
    code = CELL.format(package=str(package.parent), edits=edits)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    message = "hw2core/cnn/yourcodenet.py: edited after it was imported"
    assert (message in done.stderr, done.returncode) == (bool(edits), edits), done.stderr
