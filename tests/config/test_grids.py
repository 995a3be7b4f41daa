"""Grids over settings: what they expand to, and how their runs are named."""

from __future__ import annotations

import pytest
import yaml

from hw2core.config.errors import ConfigError
from hw2core.config.grids import list_points, space_by_ratio
from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT, load_study


def expand(small: dict, grid: str, **experiment: object) -> list[RunSpec]:
    """Return the runs of the small study with another grid, given as YAML."""
    one = small["experiments"]["one"]
    one |= {"grid": yaml.safe_load(grid), **experiment}
    one["architecture"] |= {"filters_per_layer": [8], "layers_per_block": 2}
    return list(load_study(small).runs.values())


def refuse(small: dict, grid: str, **experiment: object) -> str:
    with pytest.raises(ConfigError) as caught:
        expand(small, grid, **experiment)
    (line,) = caught.value.lines
    return line.removeprefix("config.yaml: experiments.one.")


def test_what_a_grid_varies_is_in_the_name_and_in_the_run(small):
    runs = expand(small, "{training.lr: [0.01, 0.1], filters_per_layer: [[8], [16]]}")
    assert [run.name for run in runs] == [
        "one_lr0.01_L2_K8",
        "one_lr0.01_L2_K16",
        "one_lr0.1_L2_K8",
        "one_lr0.1_L2_K16",
    ]
    assert [run.training.lr for run in runs] == [0.01, 0.01, 0.1, 0.1]
    assert load_study(small).experiments["one"].settings == ("training.lr",)


@pytest.mark.parametrize(
    ("grid", "name"),
    [
        ("{training.lr: [1e-5]}", "one_lr1e-5_L2_K8"),
        ("{training.lr: [1]}", "one_lr1_L2_K8"),
        ("{training.batch_size: [64]}", "one_batch64_L2_K8"),
        ("{data.train: [40]}", "one_train40_L2_K8"),
        ("{batchnorm: [true]}", "one_bn-true_L2_K8"),
        ("{hidden_dims: [[64, 32]]}", "one_hidden64-32_L2_K8"),
        ("{hidden_dims: [[]]}", "one_hidden-none_L2_K8"),
        ("{training.optimizer: [adamw]}", "one_opt-adamw_L2_K8"),
        ("{training.early_stopping: [null]}", "one_patience-none_L2_K8"),
        # In one order, whichever the file has.
        ("{training.lr: [1], data.train: [40], dropout: [0]}", "one_dropout0_train40_lr1_L2_K8"),
        ("{data.train: [40], dropout: [0], training.lr: [1]}", "one_dropout0_train40_lr1_L2_K8"),
    ],
)
def test_names_of_settings(small, grid, name):
    (run,) = expand(small, grid, model="resnet")
    assert run.name == name
    assert RunSpec.from_config(run.describe(0)) == run


def test_labelled_runs_and_several_grids_keep_their_settings(small):
    grid = "[{training.lr: [0.1]}, {training.weight_decay: [0.5]}]"
    runs = expand(small, grid, runs={"bn": {"architecture": {"batchnorm": True}}, "plain": {}})
    names = ["one_bn_lr0.1", "one_plain_lr0.1", "one_bn_wd0.5", "one_plain_wd0.5"]
    assert [run.name for run in runs] == [f"{name}_L2_K8" for name in names]
    assert load_study(small).experiments["one"].settings == ("training.lr", "training.weight_decay")


@pytest.mark.parametrize(
    ("ends", "values"),
    [
        ((1e-3, 1e-1, 5), [0.001, 0.00316, 0.01, 0.0316, 0.1]),
        ((0.1, 0.001, 3), [0.1, 0.01, 0.001]),
        ((100, 50_000, 3), [100, 2240, 50_000]),
        ((1, 1000.0, 4), [1, 10.0, 100.0, 1000.0]),
    ],
)
def test_numbers_of_equal_ratios(ends, values):
    found = space_by_ratio(*ends)
    assert found == values
    assert all(isinstance(value, int) for value in found) == isinstance(ends[1], int)


def test_log_is_a_list_of_numbers(small):
    # As YAML reads it: 1e-3 is text.
    runs = expand(small, "{training.lr: {log: [1e-3, 1e-1, 3]}, data.train: {log: [5, 50, 2]}}")
    assert [run.training.lr for run in runs] == [0.001, 0.001, 0.01, 0.01, 0.1, 0.1]
    assert [run.data.train for run in runs[:2]] == [5, 50]
    assert runs[2].name == "one_train5_lr0.01_L2_K8"


@pytest.mark.parametrize(
    ("grid", "line"),
    [
        ("{lr: [0.1]}", "grid.lr: unknown key; allowed: "),
        ("{training.rate: [0.1]}", "grid.training.rate: unknown key; allowed: "),
        ("{train.lr: [0.1]}", "grid.train.lr: unknown key of a grid; its keys are those of the "),
        ("{training.lr: [0.1, -1]}", "grid.training.lr: -1: must be greater than 0"),
        ("{training.lr: []}", "grid.0.training.lr: []: must have at least 1 entries"),
        ("{training.lr: 0.1}", "grid.0.training.lr: 0.1: must be a list"),
        ("{training.lr: {log: [0.1, 1]}}", "grid.0.training.lr: must be a list, or {log: [FIRST"),
        ("{training.lr: {log: [0, 1, 3]}}", "grid.0.training.lr: must be a list, or {log: "),
        ("{training.lr: {log: [0.1, 1, 1]}}", "grid.0.training.lr: must be a list, or {log: "),
        ("{training.lr: {log: [0.1, 1, true]}}", "grid.0.training.lr: must be a list, or {log: "),
        ("{training.lr: {lin: [0.1, 1, 3]}}", "grid.0.training.lr: must be a list, or {log: "),
        ("{training.lr: [0.1, 1e-1]}", "'one_lr0.1_L2_K8': this run name is made twice"),
        ("{data.name: [imagenet]}", "grid.data.name: 'imagenet': must be one of 'cifar10', "),
    ],
)
def test_a_wrong_grid_is_one_line(small, grid, line):
    found = refuse(small, grid)
    assert found.removeprefix("config.yaml: experiments.one: ").startswith(line), found


def test_a_label_cannot_change_what_the_name_says(small):
    runs = {"fast": {"training": {"lr": 0.5}}}
    line = refuse(small, "{training.lr: [0.1, 0.2]}", runs=runs)
    assert line == "runs.fast.training.lr: the grid gives it; leave out one"


def test_names_that_differ_in_case_only_are_refused(small):
    runs = {"bn-True": {"architecture": {"batchnorm": True}}}
    one = small["experiments"]["one"]
    small["experiments"]["two"] = one | {"grid": []} | {"architecture": dict(one["architecture"])}
    small["experiments"]["two"]["architecture"] |= {"filters_per_layer": [8], "layers_per_block": 2}
    small["experiments"]["One"] = small["experiments"].pop("two") | {"runs": runs}
    with pytest.raises(ConfigError, match=r"'One_bn-True_L2_K8': on macOS and Windows, the"):
        expand(small, "{batchnorm: [true]}")


def test_points_are_in_the_order_of_the_file():
    points = list_points([{"training.lr": [1, 2], "batchnorm": [True, False]}])
    assert [point.label for point in points] == [
        "bn-true_lr1",
        "bn-false_lr1",
        "bn-true_lr2",
        "bn-false_lr2",
    ]


def test_the_search_of_rates_is_a_grid(config):
    search = yaml.safe_load((CHECKOUT / "search" / "part3_rates.yaml").read_text())
    study = load_study(config | {"experiments": search["experiments"]})
    assert list(study.runs)[:2] == ["exp0_plain_lr0.02_L2_K32", "exp0_plain_lr0.05_L2_K32"]
    assert len(study.runs) == 8
    assert all(e.settings == ("training.lr",) for e in study.experiments.values())
