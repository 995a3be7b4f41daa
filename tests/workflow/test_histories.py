"""Whatever happened to results before, exactly those that are stale are planned."""

from __future__ import annotations

import copy
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from checkout import TINY

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

RUN = "results/exp2_L4_K4"
ONE_RUN = {"train": 1, "evaluate": 1}


def pack(folder: Path) -> None:
    subprocess.run(["tar", "-czf", "old.tgz", "results"], cwd=folder, check=True)


def restore(folder: Path, how: str) -> None:
    """Bring back the results in old.tgz: with their old times, new ones, or by renaming."""
    if how == "tar":
        subprocess.run(["tar", "-xzf", "old.tgz"], cwd=folder, check=True)
        return
    source = folder / "old"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    subprocess.run(["tar", "-xzf", "../old.tgz"], cwd=source, check=True)
    if how == "cp":
        subprocess.run(["cp", "-r", "old/results", "."], cwd=folder, check=True)
    for path in source.rglob("*") if how == "rsync" else ():  # which keeps times, and renames
        target = folder / path.relative_to(source)
        if path.is_file():
            shutil.copy2(path, target.with_suffix(".new"))
            target.with_suffix(".new").replace(target)


def test_a_stale_result_that_returns_is_trained_each_time(study):
    pack(study.folder)
    study.overlay("exp2", training={"lr": 0.001})
    for how in ("tar", "cp", "rsync"):
        study.snakemake(RUN)
        restore(study.folder, how)
        assert study.plan(RUN) == ONE_RUN, how
    study.configure(TINY)  # now the old code makes it stale
    with (study / "hw2core/cnn/yourcodenet.py").open("a") as source:
        source.write("\nUNUSED = 1\n")
    study.snakemake(RUN)
    assert study.plan(RUN) == {}
    restore(study.folder, "tar")
    assert study.plan(RUN) == ONE_RUN


def test_a_stale_evaluation_that_returns_is_made_each_time(study):
    pack(study.folder)
    study.edit("hw2core/evaluation.py", "NUM_BINS = 15", "NUM_BINS = 10")
    for how in ("tar", "rsync"):
        study.snakemake(RUN)
        restore(study.folder, how)
        assert study.plan(RUN) == {"evaluate": 1}, how


def test_what_is_made_from_results_is_made_again_when_it_returns(study):
    study.overlay("exp2", training={"lr": 0.001})
    made = ["figures/exp2_curves.svg", "report/report.html", "results/summary.csv"]
    old = {path: (study / path).read_bytes() for path in made}
    study.snakemake(*made)
    assert study.plan(*made) == {}
    for path, content in old.items():
        new = (study / path).read_bytes()
        (study / path).write_bytes(content)
        assert study.plan(*made) != {}, path
        (study / path).write_bytes(new)
        assert study.plan(*made) == {}, path
    study.snakemake(*made)
    shutil.rmtree(study / ".snakemake")
    planned = study.plan(*made)
    assert "train" not in planned
    assert {"tables", "experiment_figures", "study_figures", "written_report"} <= planned.keys()


def test_a_stale_twin_that_returns_is_shared_each_time(study):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp3"] = copy.deepcopy(config["experiments"]["exp2"])
    study.configure(config)
    twin = "results/exp3_L4_K4"
    study.snakemake(twin)
    pack(study.folder)
    for name in ("exp2", "exp3"):
        config["experiments"][name]["training"] = {"lr": 0.001}
    study.configure(config)
    study.snakemake(twin)
    subprocess.run(["tar", "-xzf", "old.tgz", twin], cwd=study.folder, check=True)
    assert study.plan(twin) == {"share_result": 1}
    restore(study.folder, "tar")
    assert study.plan(twin) == {**ONE_RUN, "share_result": 1}


@pytest.mark.parametrize("what", ["results", "images"])
def test_what_changes_while_a_page_is_drawn_is_drawn_again(study, what):
    page = "report/explore.html"
    if what == "images":
        (study / "data").rename(study / "elsewhere")
    study.snakemake(page)
    assert study.plan(page) == {}
    (study / page).unlink()
    log, result = study / "logs/explore_page.log", study / f"{RUN}/seed0.json"
    log.unlink()
    call = study.start(page)
    while not log.exists():
        assert call.poll() is None, call.communicate()[0]
        time.sleep(0.01)
    if what == "images":
        (study / "elsewhere").rename(study / "data")
    else:
        content = result.read_bytes()
        result.write_bytes(content + b"\n")
    output, _ = call.communicate(timeout=120)
    assert call.returncode == 0
    if what == "results":
        assert f"{page}: results changed while it was made; call again" in output
        result.write_bytes(content)
    assert study.plan(page) == {"explore_page": 1}
    study.snakemake(page)
    assert study.plan(page) == {}


def test_a_training_that_outlives_snakemake_counts(study):
    """Its files are whole, whatever Snakemake noted when it started the job."""
    result, log = study / f"{RUN}/seed0.json", study / "logs/train/exp2_L4_K4/seed0.log"
    result.unlink()
    log.unlink()
    call = study.start(RUN)
    while not log.exists():
        assert call.poll() is None, call.communicate()[0]
        time.sleep(0.05)
    call.kill()
    end = time.monotonic() + 60
    while not result.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    call.communicate()
    study.snakemake("--unlock")
    assert "train" not in study.plan(RUN)
