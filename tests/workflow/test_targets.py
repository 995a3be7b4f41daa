"""Names of targets, and what Snakemake plans for them."""

from __future__ import annotations

import copy
import os
import re
import shlex
import shutil

import pytest
import yaml
from checkout import ROOT, TINY, copy_sources, count_jobs

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A fresh clone of the study as it is."""
    checkout = copy_sources(tmp_path_factory.mktemp("fresh") / "clone")
    shutil.copy2(ROOT / "config.yaml", checkout / "config.yaml")
    shutil.copytree(ROOT / "demo", checkout / "demo", ignore=shutil.ignore_patterns("output"))
    return checkout


PART_3 = [f"results/{name}" for name in ("exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2")]
# Shell completion adds a slash to the name of an existing folder.
SEVERAL = ["./results/exp1_5", "results/part2_optim/", "results/../results/part2_dropout_0.4"]
SEVERAL += ["results/exp1_1_L2_K32/", "./results/exp2_L3_K32-64-128/seed3.test.json"]


@pytest.mark.parametrize(
    ("arguments", "trainings", "shared", "figures"),
    [
        # Experiment 1.2 has six runs of 1.1 under other names.
        (PART_3, 28, 6, 5),
        ([*PART_3, "--config", "seeds=[0, 1, 2]"], 3 * 28, 3 * 6, 5),
        # 1.5, the ablation, whose whole network is that of exp2_L3, and part 2: seven runs of five
        # seeds, whatever the seeds of the others.
        ([], 28 + 16 + 8 + 35, 7, 5 + 2 + 3),
        (SEVERAL, 16 + 15 + 5 + 1 + 1, 0, 2),
        (["results/exp1_2_L2_K32", "figures/exp1_4_curves.svg"], 6 + 1, 1, 1),
        (["explore"], 0, 0, 0),
    ],
    ids=["part 3", "part 3, seeds", "all", "several", "twin", "explore"],
)
def test_planned_trainings(fresh, arguments, trainings, shared, figures):
    plan = fresh.plan(*arguments)
    assert plan["train"] == plan["evaluate"] == trainings
    assert plan["share_result"] == shared
    assert plan["experiment_figures"] == figures


def test_snakemakes_linter_finds_only_what_has_a_reason(fresh):
    process = fresh.start("--lint")
    output, _ = process.communicate(timeout=120)
    findings = re.findall(r"^    \* (.*?)(?: in line \d+)?[.:]*$", output, flags=re.MULTILINE)
    # The reasons are in Snakefile and rules/common.smk.
    assert set(findings) == {
        "Specify a conda environment or container for each rule",
        "Shell command directly uses variable CODE from outside of the rule",
    }


def test_every_run_and_experiment_is_a_target(fresh):
    rules = fresh.snakemake("--list-target-rules")
    for name in ("results/exp1_1_L16_K64", "results/exp2_L12_K32-64-128", "results/exp1_3"):
        assert f"{name}\n" in rules


def test_the_options_that_take_targets_take_them_in_the_same_forms(fresh):
    assert fresh.plan("--until", "./results/exp1_4/")["train"] == 6
    for option in ("--omit-from", "--until", "--forcerun"):
        refused = fresh.snakemake("-n", "tables", option, "results/exp1_44", succeeds=False)
        assert "results/exp1_44: no target of this name; did you mean results/exp1_4" in refused


def test_slurm_asks_for_two_cores_and_one_gpu(fresh, tmp_path):
    """In another folder, with the configuration of the checkout."""
    elsewhere = ["--directory", str(tmp_path / "elsewhere")]
    plan = fresh.snakemake("-n", "--profile", "slurm", "results/exp1_4", *elsewhere)
    assert count_jobs(plan)["train"] == 6
    assert "threads: 2" in plan
    assert "gres=gpu:1" in plan
    assert "6 runs to train, about" in plan
    assert "on a GPU, one run after the other (" in plan


def list_gpus(folder, monkeypatch, *lines):
    """Let an nvidia-smi of this test list GPUs."""
    (folder / "nvidia-smi").write_text("#!/bin/sh\n" + "".join(f"echo {line}\n" for line in lines))
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_small_runs_share_a_gpu(fresh, tmp_path, monkeypatch):
    list_gpus(tmp_path, monkeypatch, "GPU-1, 81559, Disabled")
    small = fresh.snakemake("-n", "--profile", "gpu", "results/exp1_1_L2_K32")
    assert "gpu_percent=10\n" in small
    assert "threads: 2" not in small
    wide = fresh.snakemake("-n", "--profile", "gpu", "results/exp1_2_L8_K256")
    assert "gpu_percent=100\n" in wide


def test_every_gpu_of_the_machine_is_offered(fresh, tmp_path, monkeypatch):
    list_gpus(tmp_path, monkeypatch, *(f"GPU-{k}, 81559, Disabled" for k in range(4)))
    images = ["--configfile", "config.yaml", "demo/study.yaml", "--directory", str(tmp_path)]
    fresh.snakemake("--profile", "gpu", *images, "data/generated_4000_1000/manifest.json")
    (log,) = tmp_path.glob(".snakemake/log/*.log")
    (offered,) = [line for line in log.read_text().splitlines() if "Provided resources" in line]
    assert "gpu_percent" in offered
    assert "400" in offered


def test_the_printed_command_lists_the_runs_of_the_call(fresh):
    values = ["--config", "seeds=[0, 1]", "training={epochs: 7}"]
    output = fresh.snakemake("-n", "results/exp1_4", *values)
    (command,) = set(
        re.findall("^12 runs to train, .* Each run: python (.*)", output, re.MULTILINE)
    )
    status = fresh.execute(*shlex.split(command), environment={})
    listed, _ = status.communicate(timeout=120)
    assert status.returncode == 1
    assert len(re.findall("^exp1_4_.* [01]  not trained", listed, re.MULTILINE)) == 12


def test_an_experiment_may_have_any_name(fresh, tmp_path):
    config = copy.deepcopy(TINY)
    config["experiments"]["none"] = config["experiments"].pop("exp2")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    plan = fresh.plan("results/none", "--directory", str(tmp_path))
    assert plan["train"] == plan["experiment_figures"] == 1
    assert plan["setting_figures"] == 0


def test_demo_trains_at_least_eight_runs_beside_the_study(fresh):
    assert fresh.plan("--profile", "demo")["train"] >= 8
    assert not (fresh / "demo/output/results").exists()
    assert not (fresh / "data").exists()


def test_a_wrong_configuration_is_one_line_before_any_job(fresh):
    wrong = "training={lr: -1}"
    output = fresh.snakemake("results/exp1_4", "--config", wrong, succeeds=False)
    (line,) = [line for line in output.splitlines() if "training.lr" in line]
    assert "config.yaml + --config: training.lr: -1: must be greater than 0.0" in line
    assert "Traceback" not in output
    assert not (fresh / "data").exists()


def test_a_run_is_reduced_if_it_is_smaller_than_in_the_config_yaml_of_its_folder(fresh, tmp_path):
    own = copy.deepcopy(TINY)
    own["training"]["epochs"] = 3  # neither the number of the checkout nor that of the call
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(own))
    (tmp_path / "short.yaml").write_text("training: {epochs: 1}")
    arguments = ["--configfile", str(tmp_path / "short.yaml"), "--directory", str(tmp_path)]
    output = fresh.snakemake("-n", "-p", *arguments, "results/exp2", "tables")
    assert '"sizes":{"exp2_L4_K4":["generated",3,' in output
