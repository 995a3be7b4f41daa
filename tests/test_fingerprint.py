from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hw2core import fingerprint
from hw2core.architectures import MODELS
from hw2core.fingerprint import hash_modules
from hw2core.staleness import RUNNER

BEFORE = '''
"""Docstring."""
from __future__ import annotations
import os  # a comment

class A:
    """Docstring."""
    def f(self, x: int = 1) -> str:
        """Docstring."""
        return f"{x!r:>{4}}" + "y"
'''


def hash_text(tmp_path: Path, text: str) -> str:
    file = tmp_path / "module.py"
    file.write_text(text)
    fingerprint._read_module.cache_clear()
    return fingerprint._read_module(file, 0)[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Docstring."""', '"""Another."""'),
        ('    """Docstring."""\n    def', "    def"),
        ("  # a comment", ""),
        ("import os", "\n\nimport os"),
        ('f"{x!r:>{4}}" + "y"', "(f'{x!r:>{4}}'\n            + 'y')"),
    ],
)
def test_what_cannot_change_a_number_leaves_the_hash(tmp_path, old, new):
    assert old in BEFORE
    assert hash_text(tmp_path, BEFORE) == hash_text(tmp_path, BEFORE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [("= 1", "= 2"), ('"y"', '"z"'), ("import os", "import re"), ("!r", "!s"), (">{4}", ">{5}")],
)
def test_what_can_change_a_number_changes_the_hash(tmp_path, old, new):
    assert old in BEFORE
    assert hash_text(tmp_path, BEFORE) != hash_text(tmp_path, BEFORE.replace(old, new))


def test_a_string_that_is_no_docstring_counts(tmp_path):
    assert hash_text(tmp_path, 'x = "a"\n') != hash_text(tmp_path, 'x = "b"\n')


def test_hash_is_the_same_on_every_version_of_python(tmp_path):
    # Pinned: another Python (a laptop's 3.12, a cluster's 3.11) must find results current.
    assert hash_text(tmp_path, BEFORE) == "beb4750553bd9ca6"


def list_entries(model: str) -> list[str]:
    entry = MODELS[model]
    return [RUNNER, *(path.split(":")[0] for path in (entry.implementation, entry.half.trainer))]


def closure(model: str) -> set[str]:
    return set(hash_modules(list_entries(model)))


def test_a_plain_run_does_not_depend_on_the_custom_network():
    assert "hw2core.cnn.conv" in closure("cnn")
    assert not closure("cnn") & {"hw2core.cnn.yourcodenet", "hw2core.cnn.residual"}
    assert "hw2core.cnn.yourcodenet" in closure("ycn")
    assert "hw2core.cnn.yourcodenet" not in closure("resnet")


def test_neither_half_depends_on_the_other():
    assert not {name for name in closure("mlp") if ".cnn" in name or "torch_training" in name}
    scratch = {"hw2core.layers", "hw2core.optimizers", "hw2core.layer_training"}
    assert scratch <= closure("mlp")
    assert not scratch & closure("resnet")


def test_training_depends_on_nothing_that_cannot_change_a_number():
    rooms = {name.split(".")[1] for name in closure("resnet") if "." in name}
    assert not rooms & {"analysis", "artifacts", "spec", "study", "staleness", "plot"}


@pytest.mark.parametrize("model", MODELS)
def test_closure_is_what_training_really_imports(model):
    """Import the runner and the model in a fresh process and compare with what was read."""
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {list_entries(model)}];"
        "print(*[m for m in sys.modules if m.split('.')[0] == 'hw2core'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == closure(model)


def test_a_training_process_imports_no_plotting_and_no_torchvision():
    script = Path(__file__).parent.parent / "workflow_scripts" / "train.py"
    code = (
        f"import sys; sys.argv = [{str(script)!r}, '--help'];"
        f"source = open({str(script)!r}).read(); ns = {{'__name__': 'imported'}};"
        "exec(compile(source, 'train.py', 'exec'), ns);"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torchvision", "pandas", "seaborn", "matplotlib", "snakemake"}
    assert not heavy & set(done.stdout.split())


def test_an_unknown_module_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"hw2core\.nothing"):
        hash_modules(["hw2core.nothing"])
