"""What each change makes Snakemake do again: the table in docs/reproducibility.md."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from checkout import NUM_RUNS, TINY, read_only

from hw2core.runs.files import hash_content

pytestmark = pytest.mark.workflow

SCRIPT = "workflow_scripts/train.py"
ONE_RUN = {"train": 1, "evaluate": 1}
OVER_ALL = {"study_figures": 1, "written_report": 1, "explore_page": 1}
FIGURES = {"experiment_figures": 3, **OVER_ALL}
AFTER_ALL = {"experiment_figures": 3, "tables": 1, **OVER_ALL}
AFTER_ONE_EXPERIMENT = {"experiment_figures": 1, "tables": 1, **OVER_ALL}


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


def test_a_run_that_was_made_again_leaves_nothing_to_do(study):
    """What Snakemake records with figures is the content of results when they were drawn."""
    for path in (study / "results/exp2_L4_K4").iterdir():
        path.unlink()
    study.snakemake()
    assert study.plan() == {}


def test_what_is_stale_stays_until_it_is_replaced(study):
    """A job that fails at once loses nothing: the edit that made it stale may be undone."""
    files = sorted((study / "results/exp2_L4_K4").iterdir())
    before = [path.read_bytes() for path in files]
    for source, line in (
        ("hw2core/engine/optim.py", "import copy\n"),
        ("hw2core/evaluation.py", "import torch\n"),
    ):
        study.edit(source, line, f"{line}raise RuntimeError\n")
        output = study.snakemake("results/exp2_L4_K4", succeeds=False)
        assert "RuntimeError" in output
        assert "Restored previous version of" in output
        assert [path.read_bytes() for path in files] == before
        assert study.plan("results/exp2_L4_K4")["evaluate"] == 1  # what failed is still to be done
        study.edit(source, f"{line}raise RuntimeError\n", line)
        assert study.plan("results/exp2_L4_K4") == {}


def test_a_seed_has_one_way_to_be_written(study):
    for seed in ("00", "\u0663", "9" * 30):
        path = f"results/exp2_L4_K4/seed{seed}.json"
        assert "no target of this name" in study.snakemake("-n", path, succeeds=False)


def test_snakemakes_own_report_shows_the_figures_with_captions(study):
    study.snakemake("--report", "snakemake_report.html")
    page = (study / "snakemake_report.html").read_text(encoding="utf-8")
    assert "The whole study" in page
    assert "exp1_1_curves.svg" in page
    assert "study_cost.svg" in page
    assert "What each figure shows is explained in the written report" in page


def test_a_caption_of_a_figure_or_a_text_only_writes_the_report_again(study):
    study.edit("report/captions/figure.rst", "is explained in", "means is in")
    assert study.plan() == {"written_report": 1}
    study.edit("search/README.md", "hyper-parameters were chosen", "they were chosen")
    assert study.plan() == {"written_report": 1}
    assert study.plan() == {"written_report": 1}


def test_of_a_published_record_only_its_table_writes_the_report_again(study):
    record = study / "report/reference"
    (record / "figures").mkdir(parents=True)
    for name in ("study.yaml", "report.html", "figures/study_cost.png"):
        (record / name).write_text("x\n")
    assert study.plan() == {}
    (record / "summary.csv").write_text("x\n")
    assert study.plan() == {"written_report": 1}


def test_touching_any_source_trains_nothing(study):
    later = time.time() + 60
    for folder in ("hw2core", "workflow_scripts", "rules", "report", "profiles"):
        for path in (study / folder).rglob("*.*"):
            os.utime(path, (later, later))
    for path in ("Snakefile", "config.yaml"):
        os.utime(study / path, (later, later))
    assert study.plan() == {}


def test_a_comment_or_docstring_trains_nothing(study):
    study.edit(
        "hw2core/engine/run.py", "EVALUATION_BATCH = 500", "EVALUATION_BATCH = 500  # images"
    )
    study.edit("hw2core/training.py", "Trainers: epochs", "The trainers: epochs")
    with (study / "config.yaml").open("a") as config:
        config.write("# a comment\n")
    assert study.plan() == {}


def test_reworded_messages_train_nothing(study):
    study.edit("hw2core/runs/log.py", "train loss {train", "training loss {train")
    study.edit("hw2core/data/split.py", "must be >= 1, got", "must be at least 1, got")
    study.edit("hw2core/engine/cuda_graph.py", "trains without", "does without")
    study.edit("hw2core/io.py", "free disk space or make", "free disk space, or make")
    study.edit("hw2core/config/errors.py", "must not be empty", "is empty")
    assert study.plan() == {}


def test_a_key_that_came_at_its_default_and_another_shell_command_train_nothing(study):
    study.edit(
        "hw2core/config/schema.py",
        "    deterministic: Flag = False",
        "    new_key: Flag = False\n    deterministic: Flag = False",
    )
    study.edit("rules/train.smk", " --seed {wildcards.seed}", "  --seed {wildcards.seed}")
    assert not {"train", "evaluate"} & study.plan().keys()


def test_a_copied_result_is_drawn_whatever_its_time(study):
    """A result that came with an old time, such as from a cluster, is shown."""
    path = study / "results/exp2_L4_K4/seed0.json"
    result = json.loads(path.read_text())
    result["timing"]["seconds"] += 1
    del result["digest"]
    path.write_text(json.dumps({"digest": hash_content(result), **result}))
    os.utime(path, (0, 0))
    assert study.plan() == AFTER_ONE_EXPERIMENT


def test_a_stale_result_is_trained_again_whatever_its_time(clone):
    """Archives whose bytes repeat give their files the time 0."""
    clone.overlay("exp2", training={"lr": 0.001})
    for path in (clone / "results/exp2_L4_K4").iterdir():
        os.utime(path, (0, 0))
    plan = clone.plan("results/exp2_L4_K4")
    assert (plan["train"], plan["evaluate"]) == (1, 1)


def test_a_new_metric_evaluates_again_and_trains_nothing(study):
    study.edit("hw2core/evaluation.py", "NUM_BINS = 15", "NUM_BINS = 10")
    assert study.plan() == {"evaluate": NUM_RUNS, **AFTER_ALL}
    study.snakemake()
    assert "Nothing to be done" in study.snakemake()


def test_a_result_without_weights_keeps_the_evaluation_it_came_with(study):
    for weights in (study / "results").rglob("*.safetensors"):
        weights.unlink()
    study.edit("hw2core/evaluation.py", "NUM_BINS = 15", "NUM_BINS = 10")
    assert study.plan() == {}
    later = time.time() + 60
    os.utime(study / "results/exp2_L4_K4/seed0.json", (later, later))
    assert "evaluate" not in study.plan()


def test_without_images_only_what_is_stale_is_trained(clone):
    """Images that are prepared for one run are no reason to train the others."""
    clone.overlay("exp2", training={"lr": 0.001})
    assert clone.plan("results/exp1_1", "results/exp2") == {
        **ONE_RUN,
        "prepare_data": 1,
        "experiment_figures": 2,
    }


def test_planning_changes_nothing_on_disk(study):
    """Not even with a stale result, an old and a future time, or a result that was copied."""
    study.overlay("exp2", training={"lr": 0.001})
    for path, then in (("results/exp1_1_L2_K4/seed0.json", 0), ("data", time.time() + 86_400)):
        os.utime(study / path, (then, then))
    before = list_states(study.folder)
    assert study.plan()["train"] == 1
    assert list_states(study.folder) == before


def test_a_checkout_that_cannot_be_written_can_be_planned(study, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(study / "results", work / "results")
    arguments = ["--directory", os.fspath(work), "--configfile", "config.yaml"]
    study.overlay("exp2", training={"lr": 0.001})
    with read_only(study.folder):
        plan = study.plan(*arguments)
    assert (plan["train"], plan["prepare_data"]) == (1, 1)


def list_states(folder):
    """Return time and content of every file that is not Snakemake's own."""
    paths = (path for path in folder.rglob("*") if ".snakemake" not in path.parts)
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in paths
        if "__pycache__" not in path.parts and path != folder
    }


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
    assert "Nothing to be done" in study.snakemake("results/exp1_2_L2_K4")
    # It is stale with the trained one, and with nothing else.
    config["experiments"]["exp1_1"]["training"] = {"lr": 0.001}
    twin["training"] = {"lr": 0.001}
    study.configure(config)
    assert study.plan("results/exp1_2_L2_K4") == {**ONE_RUN, "share_result": 1}
    # Another recipe makes it a run of its own.
    del config["experiments"]["exp1_1"]["training"]
    study.configure(config)
    assert study.plan("results/exp1_2_L2_K4") == ONE_RUN


def test_a_current_result_needs_no_twin(study):
    """Whatever becomes of the other run: it leaves the study, or a new one comes first."""
    config = copy.deepcopy(TINY)
    twin = copy.deepcopy(config["experiments"]["exp2"])
    config["experiments"]["exp3"] = twin
    study.configure(config)
    study.snakemake("results/exp3_L4_K4")
    evaluation = (study / "results/exp3_L4_K4/seed0.test.json").read_bytes()
    for weights in (study / "results").rglob("*.safetensors"):
        weights.unlink()
    del config["experiments"]["exp2"]
    study.configure(config)
    assert study.plan("results/exp3_L4_K4") == {}
    config["experiments"] = {"exp0": copy.deepcopy(twin), **config["experiments"]}
    study.configure(config)
    assert study.plan("results/exp3_L4_K4") == {}
    assert (study / "results/exp3_L4_K4/seed0.test.json").read_bytes() == evaluation


def test_what_is_forced_and_cannot_be_made_again_is_not_deleted(study):
    result, evaluation = (study / f"results/exp2_L4_K4/seed0{x}" for x in (".json", ".test.json"))
    shutil.rmtree(study / "data")
    output = study.snakemake("-R", "train", "--", "results/exp2_L4_K4", succeeds=False)
    assert "data/generated_240_60/manifest.json: missing" in output
    result.with_suffix(".safetensors").unlink()
    output = study.snakemake("-R", "evaluate", "--", "results/exp2_L4_K4", succeeds=False)
    assert "results/exp2_L4_K4/seed0.safetensors: missing" in output
    assert result.exists()
    assert evaluation.exists()


def test_a_forced_run_is_evaluated_after_it_is_trained(study):
    """With room for both at once, an evaluation must not begin beside the training."""
    result, evaluation = (study / f"results/exp2_L4_K4/seed0{x}" for x in (".json", ".test.json"))
    before = evaluation.stat().st_mtime_ns
    study.snakemake("-F", "--cores", "4", "--", "results/exp2_L4_K4")
    assert before < result.stat().st_mtime_ns < evaluation.stat().st_mtime_ns


def test_a_stale_result_that_returns_from_a_backup_is_trained_again(study):
    backup = study.folder / "backup"
    shutil.copytree(study / "results", backup, copy_function=shutil.copy2)
    study.overlay("exp2", training={"lr": 0.001})
    study.snakemake("results/exp2_L4_K4")
    shutil.copytree(backup, study / "results", copy_function=shutil.copy2, dirs_exist_ok=True)
    assert study.plan("results/exp2_L4_K4") == ONE_RUN


def test_a_plotting_edit_draws_figures_and_trains_nothing(study):
    with (study / "hw2core/analysis/figures/curves.py").open("a") as source:
        source.write("\nUNUSED = 1\n")
    assert study.plan() == FIGURES


def test_the_custom_network_concerns_its_experiment_only(study):
    with (study / "hw2core/cnn/yourcodenet.py").open("a") as source:
        source.write("\nUNUSED = 1\n")
    assert study.plan() == {**ONE_RUN, **AFTER_ONE_EXPERIMENT}
    assert "run=exp2_L4_K4" in study.snakemake("-n")


def test_the_loop_concerns_every_run(study):
    study.edit("hw2core/engine/run.py", "PROBED_IMAGES = 64", "PROBED_IMAGES = 65")
    assert study.plan()["train"] == NUM_RUNS


def test_one_changed_run_is_trained_alone_with_what_shows_it(study):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp2"]["training"] = {"lr": 0.001}
    study.configure(config)
    assert study.plan() == {**ONE_RUN, **AFTER_ONE_EXPERIMENT}
    study.snakemake()
    result = json.loads((study / "results/exp2_L4_K4/seed0.json").read_text())
    assert result["config"]["training"]["lr"] == 0.001
    assert "Nothing to be done" in study.snakemake()


def test_a_run_taken_out_only_redraws(study):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp1_1"]["grid"]["layers_per_block"] = [2]
    study.configure(config)
    assert study.plan() == AFTER_ONE_EXPERIMENT


def test_a_new_experiment_needs_only_configuration(study):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp3"] = copy.deepcopy(config["experiments"]["exp1_4"])
    config["experiments"]["exp3"]["runs"] = {"bn": {"architecture": {"batchnorm": True}}}
    study.configure(config)
    assert study.plan("results/exp3") == {**ONE_RUN, "experiment_figures": 1}
    assert study.plan() == {**ONE_RUN, **AFTER_ONE_EXPERIMENT}


def test_results_that_came_with_a_clone_are_not_trained_again(clone):
    assert "train" not in clone.plan()


def test_a_stale_result_that_came_with_a_clone_is_trained_again_and_says_why(clone):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp1_4"]["training"] = {"lr": 0.001}
    clone.configure(config)
    assert clone.plan("results/exp1_4_L4_K4")["train"] == 1
    assert ask_status(clone, "exp1_4", "exp2") == {
        "exp1_4_L4_K4": "stale training.lr: was 0.003, is 0.001",
        "exp2_L4_K4": "current",
    }
    clone.snakemake("results/exp1_4_L4_K4")
    assert clone.plan("results/exp1_4_L4_K4") == {}


def test_status_knows_a_study_laid_over_the_configuration_in_a_folder_of_its_own(clone):
    (clone / "more.yaml").write_text("experiments: {exp2: {training: {lr: 0.001}}}")
    (clone / "apart").mkdir()
    (clone / "results").rename(clone / "apart" / "results")
    laid_over = ["--configfile", "config.yaml", "more.yaml"]
    assert ask_status(clone, "exp1_4", "exp2", *laid_over, "--directory", "apart") == {
        "exp1_4_L4_K4": "current",
        "exp2_L4_K4": "stale training.lr: was 0.003, is 0.001",
    }


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


def test_a_damaged_result_is_trained_again(clone):
    path = clone / "results/exp2_L4_K4/seed0.json"
    path.write_bytes(path.read_bytes()[:100])
    assert clone.plan("results/exp2_L4_K4")["train"] == 1


def test_a_deleted_result_is_trained_again(study):
    (study / "results/exp2_L4_K4/seed0.json").unlink()
    assert study.plan("results/exp2_L4_K4") == ONE_RUN


@pytest.mark.parametrize("victim", ["the training", "everything"])
def test_a_run_killed_midway_is_finished_by_the_next_call(study, victim):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp2"]["training"] = {"epochs": 200}
    study.configure(config)
    log = study / "logs/train/exp2_L4_K4/seed0.log"
    log.unlink()
    process = study.start("results/exp2_L4_K4", start_new_session=True)
    deadline = time.time() + 120
    while "epoch" not in (log.read_text() if log.exists() else ""):
        assert time.time() < deadline, process.communicate()[0]
        time.sleep(0.05)
    if victim == "everything":
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        study.snakemake("--unlock")
    else:
        children = psutil.Process(process.pid).children(recursive=True)
        (training,) = (
            child for child in children if any(part.endswith(SCRIPT) for part in child.cmdline())
        )
        training.kill()
        process.communicate()
    config["experiments"]["exp2"]["training"] = {"epochs": 3}
    study.configure(config)
    study.snakemake("results/exp2_L4_K4")
    result = json.loads((study / "results/exp2_L4_K4/seed0.json").read_text())
    assert len(result["epochs"]["train_loss"]) == 3
    assert "Nothing to be done" in study.snakemake("results/exp2_L4_K4")
