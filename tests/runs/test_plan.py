from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw2core.config.spec import RunSpec
from hw2core.errors import UserError
from hw2core.runs import paths, plan
from hw2core.runs.plan import (
    LossError,
    Training,
    check_replacing,
    describe_outputs,
    describe_plan,
    describe_size,
    find_start,
    format_status_command,
    refuse_loss,
    refuse_no_gpu,
    refuse_no_limit,
    refuse_no_threads,
    refuse_unknown,
)
from hw2core.runs.selection import UnknownName

NAME = "tiny_L2_K8"
RESULT = paths.result_path(NAME, 0)


@pytest.fixture
def study_of(tiny_values):
    """Builds the tiny study with other values in one section."""

    def build(section="training", **changes):
        values = {**tiny_values, section: tiny_values[section] | changes}
        spec = RunSpec.model_validate(values)
        experiment = SimpleNamespace(pairs=lambda: [(NAME, 0), (NAME, 1)])
        return SimpleNamespace(runs={NAME: spec}, experiments={"tiny": experiment})

    return build


@pytest.mark.parametrize(
    ("section", "changes", "loses"),
    [
        ("training", {"epochs": 2}, True),
        ("data", {"train": 200}, True),
        ("data", {"validation": 50}, True),
        ("data", {"test": 50}, True),
        # More of one makes up for less of the other to nobody.
        ("data", {"train": 200, "validation": 200}, True),
        ("training", {"batches": 1}, True),
        ("training", {"batches": 99}, False),
        ("training", {"early_stopping": 1}, True),
        ("training", {"early_stopping": 3}, False),
        ("training", {"epochs": 4, "early_stopping": 3}, False),
        ("training", {"epochs": 4}, False),
        ("training", {"lr": 0.1}, False),
        ("data", {"train": 250, "validation": 100, "split_seed": 1}, True),
        ("data", {"source_train": 500, "train": 400}, False),
        ("architecture", {"hidden_dims": [2]}, False),
    ],
)
def test_a_smaller_run_never_replaces_a_larger_one(write_run, study_of, section, changes, loses):
    write_run()
    study = study_of(section, **changes)
    if loses:
        with pytest.raises(LossError, match=f"{RESULT} .* would be replaced by a smaller run"):
            refuse_loss(study, [RESULT])
    else:
        refuse_loss(study, [RESULT])


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_what_cannot_be_read_at_the_moment_is_not_replaced(
    write_run, study_of, monkeypatch, suffix
):
    write_run()
    unreadable = str(Path(RESULT).with_suffix(suffix))

    def open_file(path, *arguments, opened=Path.open, **options):
        if str(path) == unreadable:
            raise PermissionError(errno.EACCES, "Permission denied", unreadable)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_file)
    with pytest.raises(
        LossError, match=rf"^{unreadable}: cannot be read \(Permission denied\), but"
    ):
        refuse_loss(study_of("training", lr=0.1), [RESULT])


@pytest.mark.parametrize("name", ["generated", "cifar100"])
def test_other_images_never_replace_real_ones(write_run, study_of, tiny_spec, name):
    real = tiny_spec.describe(0)
    sizes = {"source_train": 50_000, "source_test": 10_000}
    real["data"] = real["data"] | sizes | {"name": "cifar10"}
    write_run(config=real)
    with pytest.raises(LossError, match=rf"of cifar10.* run on other images .*images of {name}"):
        refuse_loss(study_of("data", **sizes, name=name), [RESULT])


def test_real_images_replace_generated_ones(write_run, study_of):
    write_run()
    sizes = {"source_train": 50_000, "source_test": 10_000}
    refuse_loss(study_of("data", **sizes, name="cifar10"), [RESULT])


def test_a_larger_result_that_arrived_meanwhile_stays(write_run, study_of):
    smaller = study_of(epochs=1).runs[NAME]
    check_replacing(RESULT, smaller)
    write_run()
    with pytest.raises(LossError, match=f"{RESULT} .*smaller run.*; nothing is replaced"):
        check_replacing(RESULT, smaller)


def test_the_refusal_counts_what_would_be_lost_and_names_ways_out(write_run, study_of):
    write_run()
    write_run(seed=1)
    missing = paths.result_path(NAME, 2)
    evaluations = [paths.evaluation_path(NAME, seed) for seed in (0, 1)]
    planned = [RESULT, paths.result_path(NAME, 1), missing, *evaluations, "report/report.html"]
    with pytest.raises(LossError) as error:
        refuse_loss(study_of(epochs=1), planned[:3])
    assert str(error.value) == (
        f"{RESULT} (3 epochs, 300 + 100 + 100 images of generated) would be replaced by a smaller "
        "run (1 epoch, 300 + 100 + 100 images of generated), and so would 1 more; nothing was "
        "started. To keep what is there, use --profile quick or --directory ELSEWHERE; to replace "
        "it, delete it first"
    )


def test_a_part_of_the_images_and_early_stopping_are_in_the_words_of_a_size(study_of):
    size = study_of(batches=1, early_stopping=1).runs[NAME].size
    assert describe_size(size) == (
        "3 epochs, 300 + 100 + 100 images of generated, 16 per epoch, early stopping after 1"
    )


def test_a_job_needs_a_thread():
    refuse_no_threads([("train", 1), ("evaluate", 2)])
    with pytest.raises(UserError, match="--set-threads evaluate=0: must be at least 1"):
        refuse_no_threads([("train", 1), ("evaluate", 0)])


def test_what_cannot_be_read_is_not_lost(write_run, study_of):
    write_run()
    Path(RESULT).write_text('{"format": 3}')
    refuse_loss(study_of(epochs=1), [RESULT])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "not a result of this project") for text in ("{}", "[1]", '{"format": "npz"}')),
        ('{"format": 99, "digest": ""}', "format 99"),
    ],
)
def test_what_this_version_did_not_write_is_lost(write_run, study_of, text, reason):
    write_run()
    Path(RESULT).write_text(text)
    with pytest.raises(LossError, match=f"{RESULT}: {reason}.*nothing was started"):
        refuse_loss(study_of(), [RESULT])


def test_the_plan_says_how_many_how_long_and_why_again(write_run, study_of, monkeypatch):
    write_run()
    trainings = [Training(NAME, seed, 1, 0.5) for seed in (0, 1)]
    where = {"has_gpu": False, "status": "python workflow_scripts/status.py"}
    line = describe_plan(study_of(lr=0.1), trainings, on_cluster=False, **where)
    assert line.startswith("2 runs to train, about ")
    assert "; stale: training.lr: was 0.003, is 0.1 (1)." in line
    assert line.endswith("python workflow_scripts/status.py")
    line = describe_plan(study_of(), trainings[1:], on_cluster=True, **where)
    assert line.startswith("1 run to train, about ")
    assert " on a GPU, one run after the other (from rates measured on an NVIDIA" in line
    assert "not resumed" not in line
    monkeypatch.setenv("HW2_DEVICE", "cpu")
    line = describe_plan(study_of(), trainings[1:], on_cluster=True, **where)
    assert " on this CPU, one run after the other (from rates measured on an" in line
    monkeypatch.setattr(plan, "explain_unused", lambda spec, seed, threads: f"threads {threads}")
    line = describe_plan(study_of(), trainings, on_cluster=False, **where)
    assert "; not resumed from their checkpoints: threads 1 (2)." in line


@pytest.mark.parametrize(
    ("configs", "values", "folder", "options"),
    [
        (["config.yaml"], [], ".", ""),
        (["config.yaml"], ["seeds=[0, 1]", "a=b"], ".", " --config 'seeds=[0, 1]' a=b"),
        (["../../config.yaml", "../study.yaml"], [], "demo/output", None),
        (["config.yaml"], [], "mine", " --configfile mine/config.yaml --directory mine"),
    ],
)
def test_the_command_for_the_states_is_that_of_the_call(
    tmp_path, monkeypatch, configs, values, folder, options
):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setenv("PWD", "/elsewhere")
    assert find_start(None) == str(tmp_path / folder)
    assert find_start(Path(folder) if folder != "." else None) == str(tmp_path)
    command = format_status_command(configs, values, checkout=str(tmp_path), start=str(tmp_path))
    if options is None:
        options = " --configfile config.yaml demo/study.yaml --directory demo/output"
    assert command == f"python workflow_scripts/status.py{options}"


def test_the_files_that_were_asked_for_are_named_as_paths_from_the_call(tmp_path, monkeypatch):
    (tmp_path / "demo/output").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "demo/output")
    files = ["figures/a.svg", "figures/a.png", "report/report.pdf"]
    files += [f"results/x{place}/seed0.json" for place in range(5)]
    line = describe_outputs(files, start=str(tmp_path))
    assert line == (
        "Output: demo/output/figures/a.png, demo/output/report/report.pdf, demo/output/results/"
    )
    assert describe_outputs([], start=str(tmp_path)) == ""


def test_an_unknown_target_is_answered_with_similar_ones():
    known = ["results/exp1_1", "results/exp1_1_L2_K32", "figures"]
    refuse_unknown([], known)
    with pytest.raises(UnknownName) as error:
        refuse_unknown(["exp1_1", "results/exp1_1_L3_K32"], known)
    assert str(error.value) == (
        "exp1_1: no target of this name; did you mean results/exp1_1?\n"
        "results/exp1_1_L3_K32: no target of this name; did you mean results/exp1_1_L2_K32 or "
        "results/exp1_1?"
    )


def test_a_training_on_a_cluster_needs_a_time_limit():
    refuse_no_limit([120, 1, 0.5 + 1])
    for limit in None, 0, 0.5:
        with pytest.raises(
            UserError, match=rf"runtime: {limit} for rule train: must be at least 1"
        ):
            refuse_no_limit([120, limit])


def test_a_training_on_a_cluster_requests_a_gpu_unless_its_device_is_named(monkeypatch):
    monkeypatch.delenv("HW2_DEVICE", raising=False)
    extra = ("--gpus=1", "--gres=gpu:1", "--signal=TERM@60 -G 1", "--gpus-per-node=1")
    requests = [{"gres": "shard:4"}, {"gpu": 1}, *({"slurm_extra": text} for text in extra)]
    refuse_no_gpu(requests)
    none = [{}, {"gres": ""}, {"gpu": 0}, {"slurm_extra": "--signal=TERM@60", "runtime": 5}]
    for given in none:
        with pytest.raises(UserError, match=r"^rule train requests no GPU .--set-resources"):
            refuse_no_gpu([*requests, given])
    monkeypatch.setenv("HW2_DEVICE", "cpu")
    refuse_no_gpu(none)
