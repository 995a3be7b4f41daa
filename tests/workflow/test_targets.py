"""Names of targets, and what Snakemake plans for them."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from checkout import ROOT, TINY, copy_sources

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A fresh clone of the study as it is."""
    checkout = copy_sources(tmp_path_factory.mktemp("fresh") / "clone")
    shutil.copy2(ROOT / "config.yaml", checkout / "config.yaml")
    shutil.copytree(ROOT / "demo", checkout / "demo", ignore=shutil.ignore_patterns("output"))
    return checkout


PART_3 = [f"results/{name}" for name in ("exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2")]
# Seven runs with five seeds each, whatever the seeds of the others.
PART_2_TRAININGS, PART_2_FIGURES = 35, 3
REMEDY_TRAININGS = 16  # exp1_5
ABLATION_TRAININGS = 8  # exp2_ablation: its whole network is that of exp2_L3
ALL_TRAININGS = 28 + REMEDY_TRAININGS + ABLATION_TRAININGS + PART_2_TRAININGS
ALL_FIGURES = 5 + 2 + PART_2_FIGURES


@pytest.mark.parametrize(
    ("arguments", "trainings", "figures"),
    [
        (PART_3, 28, 5),
        ([*PART_3, "--config", "seeds=[0, 1, 2]"], 3 * 28, 5),
        ([], ALL_TRAININGS, ALL_FIGURES),
        (["figures"], ALL_TRAININGS, ALL_FIGURES),
        (["explore"], 0, 0),
        (["results/exp1_5"], REMEDY_TRAININGS, 1),
        (["results/part2_optim"], 15, 1),
        (["results/part2_overfit"], 5, 1),
        (["results/part2_dropout_0.4"], 5, 0),
        (["results/exp1_4"], 6, 1),
        (["results/exp1_4/"], 6, 1),
        (["results/exp1_1_L2_K32"], 1, 0),
        (["results/exp1_1_L2_K32/"], 1, 0),
        (["results/exp1_1_L2_K32", "--config", "seeds=[0, 1, 2]"], 3, 0),
        (["--profile", "slurm", "results/exp1_4"], 6, 1),
    ],
    ids=str,
)
def test_planned_trainings(fresh, arguments, trainings, figures):
    plan = fresh.plan(*arguments)
    assert plan["train"] == plan["evaluate"] == trainings
    assert plan["experiment_figures"] == figures


def test_34_results_are_28_trainings(fresh):
    """Experiment 1.2 has six runs of 1.1 under other names."""
    assert fresh.plan(*PART_3)["share_result"] == 6
    alone = fresh.plan("results/exp1_2_L2_K32")
    assert (alone["train"], alone["evaluate"], alone["share_result"]) == (1, 1, 1)


def test_snakemakes_linter_finds_only_what_has_a_reason(fresh):
    process = fresh.start("--lint")
    output, _ = process.communicate(timeout=120)
    findings = re.findall(r"^    \* (.*?)(?: in line \d+)?[.:]*$", output, flags=re.MULTILINE)
    # The reasons are in Snakefile and rules/common.smk.
    assert set(findings) == {
        "Specify a conda environment or container for each rule",
        "Shell command directly uses variable CODE from outside of the rule",
    }


def test_another_folder_gets_the_configuration_of_the_checkout(fresh, tmp_path):
    plan = fresh.plan("--directory", str(tmp_path / "elsewhere"), "results/exp1_4")
    assert plan["train"] == 6


def test_every_run_and_experiment_is_a_target(fresh):
    rules = fresh.snakemake("--list-target-rules")
    for name in ("results/exp1_1_L16_K64", "results/exp2_L12_K32-64-128", "results/exp1_3"):
        assert f"{name}\n" in rules
        assert f"{name}/\n" in rules


def test_slurm_asks_for_two_cores_and_one_gpu(fresh):
    plan = fresh.snakemake("-n", "--profile", "slurm", "results/exp1_1_L2_K32")
    assert "threads: 2" in plan
    assert "gres=gpu:1" in plan


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


def test_demo_trains_at_least_eight_runs_beside_the_study(fresh):
    assert fresh.plan("--profile", "demo")["train"] >= 8
    assert not (fresh / "demo/output/results").exists()
    assert not (fresh / "data").exists()


def test_a_wrong_configuration_is_one_line_before_any_job(fresh):
    wrong = "training={lr: -1}"
    output = fresh.snakemake("results/exp1_4", "--config", wrong, succeeds=False)
    (line,) = [line for line in output.splitlines() if "training.lr" in line]
    assert "config.yaml: training.lr: -1: must be greater than 0.0" in line
    assert "Traceback" not in output
    assert not (fresh / "data").exists()


def test_a_name_given_twice_is_refused(tmp_path):
    checkout = copy_sources(tmp_path / "clone")
    checkout.configure(TINY)
    with (checkout / "config.yaml").open("a") as config:
        config.write("seeds: [1]\n")
    output = checkout.snakemake("-n", succeeds=False)
    assert "the key 'seeds' is given twice" in output


def test_missing_data_are_one_clear_error(fresh, tmp_path):
    output = fresh.snakemake(
        "results/exp1_1_L2_K32",
        "--config",
        f"data={{root: {tmp_path}/nowhere}}",
        "--directory",
        str(tmp_path / "work"),
        "--configfile",
        os.fspath(fresh / "config.yaml"),
        succeeds=False,
    )
    assert "nowhere" in output
    assert "Traceback" not in output
    assert not (tmp_path / "work/data/cifar10/manifest.json").exists()
