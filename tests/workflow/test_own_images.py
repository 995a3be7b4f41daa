"""Runs on images of one's own: when they are prepared again, and the runs trained again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import TINY, Checkout, copy_sources

pytestmark = pytest.mark.workflow

READER = '''"""Read images of my own."""

import numpy as np

from hw2core.data.arrays import Arrays


def read_mine(*, root, download_dir):
    """Read mine.npz."""
    with np.load(root / "mine.npz") as file:
        images, labels = file["images"], file["labels"]
    return Arrays(images[:240], labels[:240], images[240:], labels[240:], ("a", "b"))
'''
ENTRY = """DATA_SETS = {
    "mine": DataSet("Mine", "hw2core.data.mine:read_mine", (240, 60), 2, files=("mine.npz",)),
"""
RUN = "results/exp1_4_L4_K4"
PREPARED = {"prepare_data": 1, "train": 1, "evaluate": 1}


@pytest.fixture
def originals(tmp_path) -> Path:
    """The folder of the original images."""
    folder = tmp_path / "originals"
    folder.mkdir()
    write_originals(folder, seed=0)
    return folder


@pytest.fixture
def own(originals, tmp_path) -> Checkout:
    """A study of one run on images of one's own."""
    checkout = copy_sources(tmp_path / "own")
    (checkout / "hw2core/data/mine.py").write_text(READER)
    checkout.edit("hw2core/data/registry.py", "DATA_SETS = {\n", ENTRY)
    sizes = {"name": "mine", "train": 160, "validation": 80, "test": 60}
    experiments = {"exp1_4": TINY["experiments"]["exp1_4"]}
    data = {**sizes, "root": str(originals)}
    checkout.configure({**TINY, "data": data, "experiments": experiments})
    checkout.snakemake(RUN)
    return checkout


def write_originals(folder: Path, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "mine.npz", images=images, labels=np.arange(300, dtype=np.uint8) % 2)


def read_own_result(own: Checkout) -> dict:
    return json.loads((own / f"{RUN}/seed0.json").read_text())


def ask_status(own: Checkout) -> str:
    command = [sys.executable, "workflow_scripts/status.py"]
    return subprocess.run(command, cwd=own.folder, capture_output=True, text=True).stdout


def test_own_images_that_are_missing_are_prepared_before_a_result_counts_as_current(
    own, originals, tmp_path, monkeypatch
):
    other = tmp_path / "other"
    other.mkdir()
    write_originals(other, seed=2)
    monkeypatch.setenv("HW2_DATA", str(other))  # data.root comes first
    before = read_own_result(own)
    assert own.plan(RUN) == {}
    shutil.rmtree(own / "data")
    assert "stale        data/mine: its images are not prepared yet" in ask_status(own)
    assert own.plan(RUN) == PREPARED
    assert "its images are the same as before -> " in own.snakemake(RUN)
    assert read_own_result(own) == before
    assert own.plan(RUN) == {}
    assert "the same as before" not in own.snakemake("-R", "train", "--", RUN)  # by force

    shutil.rmtree(own / "data")
    away = originals.rename(originals.with_name("away"))
    assert own.plan(RUN) == {}  # results can be unpacked and drawn without the images
    away.rename(originals)
    write_originals(originals, seed=1)
    assert own.plan(RUN) == PREPARED
    own.snakemake(RUN)
    after = read_own_result(own)
    assert after["data_sha256"] != before["data_sha256"]
    assert own.plan(RUN) == {}

    # The preparation is edited, and makes the same images.
    own.edit(
        "hw2core/data/datasets.py", "import numpy as np\n", "import numpy as np\n\nEDITED = 1\n"
    )
    assert own.plan(RUN) == PREPARED
    own.snakemake(RUN)
    assert read_own_result(own) == after
    assert own.plan(RUN) == {}


def test_a_wrong_entry_is_one_line_before_any_job(own):
    own.edit("hw2core/data/registry.py", 'files=("mine.npz",)', 'files=("mine.npz")')
    output = own.snakemake("-n", RUN, succeeds=False)
    (line,) = (line for line in output.splitlines() if "files='mine.npz'" in line)
    assert "data.name: 'mine': its entry in hw2core/data/registry.py has files=" in line
    assert "Traceback" not in output
