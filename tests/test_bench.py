"""Runs each measuring script once and small, without regard to its figures."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

ROOT = Path(__file__).parent.parent
NEEDS_CHROMIUM = pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "chromium-browser"))), reason="there is no chromium"
)


def run_script(name: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "bench" / name), "--quick", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "HW2_DATA"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_rows(output: str) -> list[list[str]]:
    """Return the cells of the rows of the Markdown tables, without their heads."""
    lines = output.splitlines()
    tables = [i for i, line in enumerate(lines) if line.startswith("|---")]
    rows = []
    for start in tables:
        for line in lines[start + 1 :]:
            if not line.startswith("|"):
                break
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_figures_of_the_readme_are_those_of_its_tables_and_of_the_published_page():
    text = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"## `python bench/loader.py`.*?(?=\n## )", text, re.DOTALL)
    ways = [row for row in read_rows(section) if row[1].startswith("torchvision")]
    faster = [
        min(float(row[3]) for row in ways if row[0] == kind)
        for kind in ("none", "flip, translate 4")
    ]
    assert "Target met: {:.0f} and {:.0f} times".format(*faster) in section
    (size,) = (float(row[1]) for row in read_rows(text) if row[0] == "the published study")
    page = ROOT / "report" / "reference" / "explore.html"
    assert page.stat().st_size / 1e6 == pytest.approx(size, rel=0.3)


@pytest.mark.bench
@pytest.mark.parametrize(
    ("script", "arguments", "names"),
    [
        (
            "loader.py",
            [],
            ["hw2core, resident", "torchvision, 0 workers", "torchvision, 2 workers"],
        ),
        ("train.py", ["--no-augment"], ["augmentation off"]),
        ("train.py", ["--profile"], ["convolution_backward"]),
        ("precision.py", [], ["exp1_1_L4_K32"]),
        pytest.param("explore.py", [], ["2 runs"], marks=NEEDS_CHROMIUM),
    ],
)
def test_a_script_runs_and_reports_on_what(script, arguments, names):
    output = run_script(script, *arguments)
    assert "generated images" in output or script == "explore.py"
    assert "torch " in output  # the machine and its versions
    assert all(name in output for name in names)
    assert read_rows(output) or "--profile" in arguments


@pytest.mark.bench
def test_no_training_is_faster_than_its_roof():
    for _ in range(3):  # other processes, while the roof's rates are measured, lower the roof
        output = run_script("train.py")
        assert "exp1_1_L2_K32" in output
        ratio, by_layer = map(float, read_rows(output)[-1][-2:])
        assert ratio >= by_layer
        if by_layer > 1:
            return
    pytest.fail(f"three times faster than the roof: {by_layer}")


# An activation is 4 bytes, or 2; a parameter is 4 in both.
@pytest.mark.parametrize(
    ("precision", "traffic", "by_layer"),
    [
        ("fp32", 448 + 448 + 128 + 256, 1728 + 448 + 192 + 256),
        ("bf16", 224 + 224 + 64 + 256, 1728 + 224 + 192 + 256),
    ],
)
def test_a_roof_counts_arithmetic_and_traffic_layer_by_layer(
    monkeypatch, precision, traffic, by_layer
):
    monkeypatch.syspath_prepend(ROOT / "bench")
    roofline = importlib.import_module("roofline")
    # 16 numbers become 32, 8 and 4; 20 + 36 parameters; 576 + 64 FLOPs forward.
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 4, 2))
    rates = roofline.Rates(flops=1, bytes=1)
    roof = roofline.find_roof(network, (1, 4, 4), 7, rates, precision)
    assert roof == (3 * (576 + 64), traffic, by_layer)
    assert roof.seconds == 3 * (576 + 64)


@pytest.mark.bench
@pytest.mark.slow
def test_a_generated_study_is_drawn_from_made_up_results():
    output = run_script("scaling.py", "--parts", "study", "memory")
    assert output.count("at most") == 4
