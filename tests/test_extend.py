"""Follows docs/extend.md word by word in a copy of the checkout."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkout import ROOT, Checkout, copy_sources

from hw2core.data.prepared import DataError

DOCUMENT = ROOT / "docs" / "extend.md"
STEP = re.compile(
    r"^(?:Write `(?P<file>\S+)`|In `(?P<edited>\S+)`, (?P<side>above|below) `(?P<line>[^\n]+)`"
    r"|Run(?:, [^\n]*)?):\n\n```\w+\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
TINY = {
    "data": {"name": "generated", "source_train": 2000, "source_test": 800, "train": 160}
    | {"validation": 80, "test": 60},
    "training": {"epochs": 2, "batch_size": 40, "translate": 0},
    "seeds": [0, 1],
    "study": {"only": ["exp3", "exp4", "exp5"]},
    "experiments": {
        "exp3": {
            "architecture": {"filters_per_layer": [4], "layers_per_block": 2, "pools": 1},
            "grid": {"training.lr": [0.01, 0.1]},
            "training": {"epochs": 15},  # of the budget of exp4, which its figure is to name
        },
        # Long enough to learn these images by heart: a claim is about runs that train.
        "exp4": {"training": {"epochs": 15, "batch_size": 20, "flip": False}},
        "exp5": {
            "architecture": {"kernel_size": 5, "dropout": 0.1, "activation_type": "gelu"},
            "training": {"optimizer": "adamw", "lr": 0.003, "schedule": "step"},
        },
    },
}
RUNS = ["exp3_lr0.01_L2_K4", "exp3_lr0.1_L2_K4", "exp4_dim8", "exp4_dim16", "exp5_L2_K8"]


def run_python(checkout: Checkout, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=checkout.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


HASHES = """
import json, sys
sys.path.insert(0, ".")
from hw2core.config.reading import read_config
from hw2core.config.study import load_study
from hw2core.runs.code_hash import hash_evaluation_code, hash_run_code
runs = load_study(read_config("config.yaml")).runs
found = {name: [spec.hash_identity(0), hash_run_code(spec)] for name, spec in runs.items()}
print(json.dumps(found | {"evaluation": hash_evaluation_code()}))
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A checkout with all recipes followed; the hashes of its runs before and after."""
    checkout = copy_sources(tmp_path_factory.mktemp("extend") / "checkout")
    for name in ("config.yaml", "schemas", "tests"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, checkout / name)
    before = json.loads(run_python(checkout, "-c", HASHES))
    for step in STEP.finditer(DOCUMENT.read_text(encoding="utf-8")):
        follow(step, checkout)
    return checkout, before, json.loads(run_python(checkout, "-c", HASHES))


def follow(step: re.Match[str], checkout: Checkout) -> None:
    code = step["code"]
    if step["file"]:
        assert not (checkout / step["file"]).exists()
        (checkout / step["file"]).write_text(code)
    elif step["edited"]:
        both = (step["line"] + "\n" + code, code + step["line"] + "\n")
        new = both[step["side"] == "above"]
        path = checkout / step["edited"]
        text = path.read_text()
        assert text.count(f"\n{step['line']}\n") == 1, step["line"]
        path.write_text(text.replace(f"\n{step['line']}\n", f"\n{new}"))
    else:
        program, *arguments = shlex.split(code)
        assert program == "python"
        run_python(checkout, *arguments)


def test_every_piece_of_code_is_a_step():
    text = DOCUMENT.read_text(encoding="utf-8")
    steps = list(STEP.finditer(text))
    assert len(steps) == text.count("\n```") / 2
    recipes = re.findall(r"^## (.*)", text, re.MULTILINE)
    things = ("experiment", "network", "data set", "figure", "claim", "finding")
    assert recipes == [f"Add a{'n' * (thing[0] == 'e')} {thing}" for thing in things]


def test_no_existing_run_becomes_stale(extended):
    _, before, after = extended
    assert len(before) > 60
    assert {name: after[name] for name in before} == before
    assert {"exp4_dim8", "exp5_L2_K8"} <= after.keys() - before.keys()


def test_what_is_added_is_in_the_hashes_of_its_own_runs_only(extended):
    _, _, after = extended
    owners = {"hw2core.cnn.mixer": {"exp4_dim8", "exp4_dim16"}, "hw2core.data.mine": {"exp5_L2_K8"}}
    for module, names in owners.items():
        assert {name for name, value in after.items() if module in value[1]} == names


def test_a_damaged_file_of_own_images_is_one_line(extended, tmp_path):
    spec = spec_from_file_location("mine", extended[0] / "hw2core/data/mine.py")
    spec.loader.exec_module(mine := module_from_spec(spec))
    path = tmp_path / "mine.npz"
    np.savez(path, images=np.zeros(1000, np.uint8), labels=np.zeros(1000, np.uint8))
    whole = path.read_bytes()
    flipped = whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]
    np.savez(path, images=np.uint8(0), labels=np.uint8(0))
    for damaged in (path.read_bytes(), b"", whole[:800], flipped, b"text", None):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"^\S+/mine.npz: cannot be read \([^\n]+\)$"):
            mine.read_mine(root=tmp_path, download_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.workflow
def test_the_recipes_are_trained_drawn_and_reported(extended, tmp_path):
    checkout, *_ = extended
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(300, dtype=np.uint8) % 4)
    tiny = TINY | {"data": TINY["data"] | {"root": str(tmp_path)}}
    (checkout / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    checkout.snakemake("--configfile", "config.yaml", "tiny.yaml")

    found = {path.parent.name for path in checkout.folder.glob("results/*/seed1.json")}
    assert found == set(RUNS)
    result = json.loads((checkout / "results/exp5_L2_K8/seed0.json").read_text())
    assert result["config"]["data"]["name"] == "mine"
    assert result["parameters"] == (25 * 3 * 8 + 8) + (25 * 8 * 8 + 8) + (8 * 8 * 8 * 4 + 4)
    own = json.loads((checkout / "results/exp5_L2_K8/seed0.test.json").read_text())
    assert [len(row) for row in own["confusion"]] == [4] * 4
    figures = {path.name for path in checkout.folder.glob("figures/*.svg")}
    names = {f"{name}_curves.svg" for name in ("exp3", "exp4", "exp5")}
    assert names | {"exp3_settings.svg", "exp4_settings.svg", "study_speed.svg"} <= figures
    assert not {name for name in figures if name.startswith(("exp1", "exp2", "part2"))}
    assert "training.lr" in (checkout / "figures/exp3_settings.svg").read_text()
    assert "exp4_dim16: " in (checkout / "figures/study_cost.svg").read_text()

    page = (checkout / "report/report.html").read_text()
    for text in ("Which learning rate suits", "trains fastest", "Wider mixers (4)"):
        assert text in page
    assert "<code>exp4_dim16</code> reaches" in page
    assert "Not shown, without L and K: exp4_dim8 and exp4_dim16." in page
    assert re.search("exp1_1|exp2_|Question \\d|public solutions|undecided", page) is None
    plan = checkout.plan("--configfile", "config.yaml", "tiny.yaml")
    assert not plan.keys() & {"train", "evaluate", "prepare_data"}

    code = """
import sys
sys.path.insert(0, ".")
import hw2core
network = hw2core.load_network("exp5_L2_K8", seed=1)
print(network.classes, len(network.classify(sys.argv[1])))
"""
    picture = Path(ROOT, "report/reference/data/cifar10/cat.png")
    assert run_python(checkout, "-c", code, str(picture)) == "('a', 'b', 'c', 'd') 4\n"
