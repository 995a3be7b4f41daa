"""What each change makes Snakemake do again: the table in docs/reproducibility.md."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from checkout import NUM_RUNS, TINY, count_jobs, read_only

from hw2core.pipeline import list_prepared
from hw2core.runs.files import hash_content

pytestmark = pytest.mark.workflow

ONE_RUN = {"train": 1, "evaluate": 1}
OVER_ALL = {"study_figures": 1, "written_report": 1, "explore_page": 1}
FIGURES = {"experiment_figures": 3, **OVER_ALL}
AFTER_ALL = {"experiment_figures": 3, "tables": 1, **OVER_ALL}
AFTER_ONE_EXPERIMENT = {"experiment_figures": 1, "tables": 1, **OVER_ALL}
RUN = "results/exp2_L4_K4"
SOURCE = "    source = {"
INVERT = "    arrays = arrays._replace(train_images=255 - arrays.train_images)\n"


@pytest.mark.smoke
def test_everything_is_made_and_a_second_run_does_nothing(study):
    for path in [
        "results/exp1_1_L2_K4/seed0.json",
        "results/exp1_1_L2_K4/seed0.safetensors",
        "results/exp1_1_L2_K4/seed0.test.json",
        "results/summary.csv",
        "results/epochs.csv",
        "figures/exp1_1_curves.svg",
        "figures/exp2_curves.png",
        "figures/study_cost.svg",
        "report/report.html",
        "report/report.pdf",
        "report/explore.html",
        "logs/train/exp2_L4_K4/seed0.log",
    ]:
        assert (study / path).stat().st_size > 0, path
    assert len((study / "results/summary.csv").read_text().splitlines()) == 1 + NUM_RUNS
    assert "Nothing to be done" in study.snakemake()


def test_one_changed_run_is_trained_alone_with_what_shows_it(study):
    backup = study.folder / "backup"
    shutil.copytree(study / "results", backup, copy_function=shutil.copy2)
    study.overlay("exp2", training={"lr": 0.001})
    # Neither an old nor a future time is a reason to make anything.
    for path, then in (("results/exp1_1_L2_K4/seed0.json", 0), ("data", time.time() + 86_400)):
        os.utime(study / path, (then, then))
    before = list_states(study.folder)
    output = study.snakemake("-n")
    assert list_states(study.folder) == before  # planning changes nothing on disk
    assert count_jobs(output) == {**ONE_RUN, **AFTER_ONE_EXPERIMENT}
    line = output.splitlines()[-1]  # the plan again, after the jobs
    assert line.startswith("1 run to train, about ")
    assert f" on this CPU (from {NUM_RUNS} finished runs); stale: " in line
    assert "; stale: training.lr: was 0.003, is 0.001 (1)." in line
    study.snakemake()
    result = json.loads((study / f"{RUN}/seed0.json").read_text())
    assert result["config"]["training"]["lr"] == 0.001
    # Snakemake records with figures the content of results when they were drawn.
    assert "Nothing to be done" in study.snakemake()
    shutil.copytree(backup, study / "results", copy_function=shutil.copy2, dirs_exist_ok=True)
    assert study.plan(RUN) == ONE_RUN  # a stale result that returns


def list_states(folder):
    """Return time and content of every file that is not Snakemake's own."""
    paths = (path for path in folder.rglob("*") if ".snakemake" not in path.parts)
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in paths
        if "__pycache__" not in path.parts and path != folder
    }


def test_what_is_stale_stays_until_it_is_replaced(study):
    """A job that fails at once loses nothing: the edit that made it stale may be undone."""
    files = sorted((study / RUN).iterdir())
    before = [path.read_bytes() for path in files]
    for source, line, planned in (
        ("hw2core/engine/optim.py", "import copy\n", ONE_RUN),
        ("hw2core/evaluation.py", "import torch\n", {"evaluate": 1}),
    ):
        study.edit(source, line, f"{line}raise RuntimeError\n")
        output = study.snakemake(RUN, succeeds=False)
        assert "RuntimeError" in output
        assert "Restored previous version of" in output
        assert [path.read_bytes() for path in files] == before
        assert study.plan(RUN) == planned  # what failed is still to be done
        study.edit(source, f"{line}raise RuntimeError\n", line)
    assert study.plan(RUN) == {}


def test_images_are_prepared_again_before_the_runs_and_stay_until_they_have_been_read(study):
    """New code of the images makes their runs stale as well; another data set in the list none."""
    files = [study / path for path in list_prepared("generated_240_60")]
    before = [path.read_bytes() for path in files]
    source = "hw2core/data/generated.py"
    study.edit(source, "import math\n", "import math\nraise RuntimeError\n")
    assert study.plan(RUN) == {"prepare_data": 1, **ONE_RUN}
    study.snakemake(RUN, succeeds=False)
    assert [path.read_bytes() for path in files] == before
    assert study.plan(RUN) == {"prepare_data": 1, **ONE_RUN}
    study.edit(source, "import math\nraise RuntimeError\n", "import math\n")
    study.edit("hw2core/data/registry.py", "DATA_SETS = {", 'MORE = "mine"\nDATA_SETS = {')
    assert study.plan(RUN, "--config", "seeds=[1]") == ONE_RUN
    files[1].unlink()  # a manifest alone, as in the published results
    assert study.plan(RUN, "--config", "seeds=[1]") == {"prepare_data": 1, **ONE_RUN}
    assert "report/explore.html" in study.snakemake("explore")
    study.edit(source, "NOISE = 8", "NOISE = 9")
    study.snakemake(RUN)
    assert files[1].read_bytes() != before[1]
    assert study.plan(RUN) == {}


def test_an_edit_of_the_preparation_makes_results_wait_for_the_images(study):
    """New runs are not shown beside old ones on other images."""
    result = study / f"{RUN}/seed0.json"
    before = result.read_bytes()
    source, line = "hw2core/data/prepared.py", "import numpy as np\n"
    study.edit(source, line, f"{line}\nEDITED = 1\n")
    assert study.plan(RUN) == {"prepare_data": 1, **ONE_RUN}
    assert "its images are the same as before -> " in study.snakemake(RUN)
    assert result.read_bytes() == before
    assert study.plan(RUN) == {}
    study.edit("hw2core/data/datasets.py", SOURCE, f"{INVERT}{SOURCE}")
    assert study.plan("results/exp1_1", "--config", "seeds=[0,1]")["train"] == 4
    study.snakemake(RUN)
    assert json.loads(result.read_text())["data_sha256"] != json.loads(before)["data_sha256"]
    assert study.plan(RUN) == {}


def test_a_result_that_is_older_than_its_images_is_trained_again_by_force(clone):
    (manifest, *_) = list_prepared("generated_240_60")
    assert clone.plan("--config", "training={lr: 0.1}", "--", RUN)  # leaves a notice
    clone.snakemake(manifest)
    assert clone.plan(RUN) == {}
    for forced in "train", f"{RUN}/seed0.json":  # its weights may be others then
        assert clone.plan("-R", forced, "--", RUN) == {"train": 1, "evaluate": 1}
    weights = clone / f"{RUN}/seed0.safetensors"
    weights.rename(clone / "away")
    asked = f"{RUN}/seed0.safetensors", f"{RUN}/seed0.test.json"
    assert clone.plan(*asked) == {"train": 1, "evaluate": 1}
    assert clone.plan(RUN) == {}
    (clone / "away").rename(weights)
    output = clone.snakemake("-R", "train", "--set-threads", "train=1", "--", RUN)
    assert "validation accuracy" in output
    assert "the same as before" not in output
    assert clone.plan(RUN) == {}


def test_no_evaluation_stays_beside_a_result_that_is_trained_again(study):
    """Weights may be the same again after an edit that changes what evaluation gives."""
    study.snakemake("-R", "train", "--until", "train", "--", RUN)
    assert not (study / f"{RUN}/seed0.test.json").exists()
    assert study.plan(RUN) == {"evaluate": 1}


def test_a_call_that_waits_for_no_lock_leaves_what_another_forces(study):
    mark = study / ".snakemake/stale/results_exp2_L4_K4_seed0.json.forced"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    (study / ".snakemake/locks").mkdir(exist_ok=True)
    (study / ".snakemake/locks/0.output.lock").write_text(f"{RUN}/seed0.json\n")
    study.overlay("exp2", training={"lr": 0.1})
    assert "locked" in study.snakemake(RUN, succeeds=False)
    assert mark.exists()
    study.snakemake("--unlock")
    study.snakemake(RUN)
    assert not mark.exists()


def test_snakemakes_own_report_shows_the_figures_with_captions(study):
    study.snakemake("--report", "snakemake_report.html")
    page = (study / "snakemake_report.html").read_text(encoding="utf-8")
    assert "The whole study" in page
    assert "exp1_1_curves.svg" in page
    assert "study_cost.svg" in page
    assert "What each figure shows is explained in the written report" in page


def test_what_changes_no_number_trains_nothing(study):
    """Times, comments, docstrings, the wording of messages; of a published record all but one."""
    study.edit(
        "hw2core/engine/run.py", "EVALUATION_BATCH = 500", "EVALUATION_BATCH = 500  # images"
    )
    study.edit("hw2core/training.py", "Trainers: epochs", "The trainers: epochs")
    study.edit("hw2core/runs/log.py", "train loss {train", "training loss {train")
    study.edit("hw2core/data/split.py", "must be >= 1, got", "must be at least 1, got")
    study.edit("hw2core/engine/cuda_graph.py", "no CUDA graph: {reason}", "no graph: {reason}")
    study.edit("hw2core/io.py", "free disk space or make", "free disk space, or make")
    study.edit("hw2core/config/errors.py", "must not be empty", "is empty")
    with (study / "config.yaml").open("a") as config:
        config.write("# a comment\n")
    record = study / "report/reference"
    (record / "figures").mkdir(parents=True)
    for name in ("study.yaml", "report.html", "figures/study_cost.png"):
        (record / name).write_text("x\n")
    later = time.time() + 60
    for folder in ("hw2core", "workflow_scripts", "rules", "report", "profiles"):
        for path in (study / folder).rglob("*.*"):
            os.utime(path, (later, later))
    for path in ("Snakefile", "config.yaml"):
        os.utime(study / path, (later, later))
    assert study.plan() == {}
    # What the report is made from.
    study.edit("report/captions/figure.rst", "is explained in", "means is in")
    study.edit("search/README.md", "learning rates were chosen", "they were chosen")
    (record / "summary.csv").write_text("x\n")
    assert study.plan() == {"written_report": 1}


def test_an_edit_of_figures_or_of_a_key_at_its_default_trains_nothing(study):
    with (study / "hw2core/analysis/figures/curves.py").open("a") as source:
        source.write("\nUNUSED = 1\n")
    assert study.plan() == FIGURES
    study.edit(
        "hw2core/config/schema.py",
        "    deterministic: Flag = False",
        "    new_key: Flag = False\n    deterministic: Flag = False",
    )
    study.edit("rules/train.smk", " --seed {wildcards.seed}", "  --seed {wildcards.seed}")
    assert not {"train", "evaluate"} & study.plan().keys()


def test_a_new_metric_evaluates_again_and_trains_nothing(study):
    study.edit("hw2core/evaluation.py", "NUM_BINS = 15", "NUM_BINS = 10")
    assert study.plan() == {"evaluate": NUM_RUNS, **AFTER_ALL}
    study.snakemake()
    assert study.plan() == {}
    # Without its weights, a result keeps the evaluation that it came with.
    for weights in (study / "results").rglob("*.safetensors"):
        weights.unlink()
    study.edit("hw2core/evaluation.py", "NUM_BINS = 10", "NUM_BINS = 15")
    assert study.plan() == {}
    later = time.time() + 60
    os.utime(study / f"{RUN}/seed0.json", (later, later))
    assert "evaluate" not in study.plan()


def test_each_experiment_is_made_and_drawn_for_its_own_changes(study):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp1_1"]["grid"]["layers_per_block"] = [2]  # a run is taken out
    config["experiments"]["exp3"] = copy.deepcopy(config["experiments"]["exp1_4"])
    config["experiments"]["exp3"]["runs"] = {"bn": {"architecture": {"batchnorm": True}}}
    study.configure(config)
    with (study / "hw2core/cnn/yourcodenet.py").open("a") as source:  # of exp2 only
        source.write("\nUNUSED = 1\n")
    # A result that was copied, with an old time, is shown.
    path = study / "results/exp1_4_L4_K4/seed0.json"
    result = json.loads(path.read_text())
    result["timing"]["seconds"] += 1
    del result["digest"]
    path.write_text(json.dumps({"digest": hash_content(result), **result}))
    os.utime(path, (0, 0))
    output = study.snakemake("-n")
    assert count_jobs(output) == {
        **{"train": 2, "evaluate": 2, "experiment_figures": 4, "tables": 1},
        **OVER_ALL,
    }
    for run in ("exp2_L4_K4", "exp3_bn_L4_K4"):
        assert f"run={run}," in output
    assert study.plan("results/exp3") == {**ONE_RUN, "experiment_figures": 1}


def test_a_checkout_that_cannot_be_written_can_be_planned(study, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(study / "results", work / "results")
    arguments = ["--directory", os.fspath(work), "--configfile", "config.yaml"]
    study.overlay("exp2", training={"lr": 0.001})
    with read_only(study.folder):
        plan = study.plan(*arguments)
    assert (plan["train"], plan["prepare_data"]) == (1, 1)


def test_runs_that_differ_in_name_only_are_trained_once(study):
    config = copy.deepcopy(TINY)
    twin = copy.deepcopy(config["experiments"]["exp1_1"])
    twin["grid"] = {"filters_per_layer": [[4], [6]], "layers_per_block": [2]}
    config["experiments"]["exp1_2"] = twin
    study.configure(config)
    assert study.plan("results/exp1_2") == {**ONE_RUN, "share_result": 1, "experiment_figures": 1}
    study.snakemake("results/exp1_2_L2_K4")
    ours, theirs = (
        json.loads((study / f"results/{run}/seed0.json").read_text())
        for run in ("exp1_2_L2_K4", "exp1_1_L2_K4")
    )
    assert ours["config"]["name"] == "exp1_2_L2_K4"
    assert ours["same_as"] == "exp1_1_L2_K4"
    assert ours["epochs"] == theirs["epochs"]
    for suffix in (".safetensors", ".test.json"):
        assert (study / f"results/exp1_2_L2_K4/seed0{suffix}").exists()
    # A current result needs no twin: one leaves the study, another comes first.
    first = config["experiments"].pop("exp1_1")
    experiments = config["experiments"]
    config["experiments"] = {"exp0": copy.deepcopy(twin), **experiments}
    study.configure(config)
    assert study.plan("results/exp1_2_L2_K4") == {}
    # It is stale with the trained one, and with nothing else.
    config["experiments"] = {"exp1_1": first, **experiments}
    first["training"] = twin["training"] = {"lr": 0.001}
    study.configure(config)
    assert study.plan("results/exp1_2_L2_K4") == {**ONE_RUN, "share_result": 1}
    # Another recipe makes it a run of its own.
    del first["training"]
    study.configure(config)
    assert study.plan("results/exp1_2_L2_K4") == ONE_RUN


def test_what_is_forced_and_cannot_be_made_again_is_not_deleted(study):
    result, evaluation = (study / f"{RUN}/seed0{x}" for x in (".json", ".test.json"))
    shutil.rmtree(study / "data")
    output = study.snakemake("-R", "train", "--", RUN, succeeds=False)
    assert "data/generated_240_60/manifest.json: missing" in output
    result.with_suffix(".safetensors").unlink()
    output = study.snakemake("-R", "evaluate", "--", RUN, succeeds=False)
    assert "results/exp2_L4_K4/seed0.safetensors: missing" in output
    assert result.exists()
    assert evaluation.exists()


def test_a_forced_run_is_evaluated_after_it_is_trained(study):
    """With room for both at once, an evaluation must not begin beside the training."""
    result, evaluation = (study / f"{RUN}/seed0{x}" for x in (".json", ".test.json"))
    before = evaluation.stat().st_mtime_ns
    study.snakemake("-F", "--cores", "4", "--", RUN)
    assert before < result.stat().st_mtime_ns < evaluation.stat().st_mtime_ns


def test_of_results_that_came_with_a_clone_only_what_is_stale_is_trained(clone):
    """Images that are prepared for one run are no reason to train the others."""
    clone.overlay("exp2", training={"lr": 0.001})
    for path in (clone / RUN).iterdir():  # as in archives whose bytes repeat
        os.utime(path, (0, 0))
    expected = {**ONE_RUN, "prepare_data": 1, "experiment_figures": 3}
    assert clone.plan("results/exp1_1", "results/exp1_4", "results/exp2") == expected
    assert ask_status(clone, "exp1_4", "exp2") == {
        "exp1_4_L4_K4": "current",
        "exp2_L4_K4": "stale training.lr: was 0.003, is 0.001",
    }
    clone.snakemake(RUN)
    assert clone.plan(RUN) == {}


def test_status_knows_a_study_laid_over_the_configuration_in_a_folder_of_its_own(clone):
    (clone / "more.yaml").write_text("experiments: {exp2: {training: {lr: 0.001}}}")
    (clone / "apart").mkdir()
    (clone / "results").rename(clone / "apart" / "results")
    laid_over = ["--configfile", "config.yaml", "more.yaml"]
    assert ask_status(clone, "exp1_4", "exp2", *laid_over, "--directory", "apart") == {
        "exp1_4_L4_K4": "current",
        "exp2_L4_K4": "stale training.lr: was 0.003, is 0.001",
    }


def test_the_states_of_a_study_in_a_folder_of_its_own_are_those_of_its_configuration(clone):
    """By the command that Snakemake itself prints, too; no other config.yaml is merged into it."""
    own = copy.deepcopy(TINY) | {"experiments": {"mine": TINY["experiments"]["exp2"]}}
    (clone / "own").mkdir()
    (clone / "own/config.yaml").write_text(yaml.safe_dump(own))
    output = clone.snakemake("-n", "--directory", "own", "results/mine")
    command = output.splitlines()[-1].partition("Each run: python workflow_scripts/status.py ")[2]
    assert command == "--configfile own/config.yaml --directory own"
    for arguments in (command.split(), ["--directory", "own"], ["mine", "--directory", "own"]):
        states = ask_status(clone, *arguments)
        assert list(states) == ["mine_L4_K4"]
        assert states["mine_L4_K4"].startswith("not trained")


def ask_status(clone, *arguments):
    """Return what status.py prints of each run, without accuracies."""
    done = subprocess.run(
        [sys.executable, "workflow_scripts/status.py", *arguments],
        cwd=clone.folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    *runs, _ = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    return {name: " ".join(rest.split("test accuracy")[0].split()) for name, _, rest in runs}
