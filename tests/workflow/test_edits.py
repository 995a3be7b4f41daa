"""Edits during training do not affect a study, and the next call sees them."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable

import pytest
from checkout import PARTS, TINY, Checkout

from hw2core.runs.code_hash import NETWORKS

pytestmark = pytest.mark.workflow

RUNS = ("exp1_1_L2_K4", "exp1_1_L4_K4")
TRACKED = (*PARTS, "config.yaml", ":!report/*.html", ":!report/*.pdf")


def type_half_a_line(checkout: Checkout) -> None:
    modules = ["hw2core/engine/run.py", "hw2core/pipeline.py", "workflow_scripts/train.py"]
    for path in [*modules, "config.yaml", "report/baselines.csv"]:
        (checkout / path).write_text((checkout / path).read_text() + "\ndef half(")


def check_out_another_branch(checkout: Checkout) -> None:
    checkout.git("checkout", "other")


def remove_all_sources(checkout: Checkout) -> None:
    checkout.git("rm", "-r", ".")


def commit(checkout: Checkout) -> str:
    """Commit the sources, and on the branch "other" what differs there; return the commit."""
    checkout.git("init", "--initial-branch=main")
    checkout.git("add", *TRACKED, ":(exclude)**/__pycache__/**")
    checkout.git("commit", "-m", "main")
    checkout.git("checkout", "-b", "other")
    config = copy.deepcopy(TINY)
    config["training"]["lr"] = 0.01
    checkout.configure(config)
    checkout.edit("hw2core/runs/files.py", "import json", "import json\n\nOTHER = 1")
    report = checkout / "hw2core/analysis/report.py"
    report.write_text(report.read_text() + "\n\nOTHER = 1\n")
    checkout.git("rm", "workflow_scripts/evaluate.py", "report/page.html.j2")
    checkout.git("commit", "-am", "other")
    checkout.git("checkout", "main")
    return checkout.git("rev-parse", "HEAD")


# What the next call trains; None where it cannot start.
@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        pytest.param(type_half_a_line, None, marks=pytest.mark.slow),
        pytest.param(remove_all_sources, None, marks=pytest.mark.slow),
        (check_out_another_branch, 2),
    ],
)
def test_runs_that_begin_after_an_edit_are_those_of_the_call(
    study, edit: Callable[[Checkout], None], expected: int | None
):
    head = commit(study)
    for path in (study / "results").glob("exp1_1_*/seed0.*"):
        path.unlink()
    logs = [study / f"logs/train/{run}/seed0.log" for run in RUNS]
    for log in logs:
        log.unlink()
    call = study.start("--cores", "1", *(f"results/{run}" for run in RUNS), "report")
    while not any(log.exists() for log in logs):  # one is running, the other is queued
        assert call.poll() is None, call.communicate()[0]
        time.sleep(0.05)
    edit(study)
    output, _ = call.communicate(timeout=300)
    assert call.returncode == 0, output

    results = [json.loads((study / f"results/{run}/seed0.json").read_text()) for run in RUNS]
    for result in results:
        assert result["environment"]["git_commit"] == head
        assert result["config"]["training"]["lr"] == TINY["training"]["lr"]
        assert (study / f"results/{result['config']['name']}/seed0.test.json").exists()
    for result in results:  # each network has arguments of its own
        del result["code"][NETWORKS]
    assert results[0]["code"] == results[1]["code"]
    if expected is None:
        study.snakemake("-n", "results/exp1_1", succeeds=False)
    else:
        assert study.plan("results/exp1_1")["train"] == expected
    study.git("checkout", "--force", "main")
    assert study.plan(*(f"results/{run}" for run in RUNS), "report") == {}
