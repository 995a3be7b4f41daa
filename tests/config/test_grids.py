"""Grids over settings: what they expand to, and how their runs are named."""

from __future__ import annotations

import pytest
import yaml

from hw2core.config.grids import list_points, space_by_ratio
from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT, load_study


@pytest.fixture
def expand(small, load):
    """Returns the runs of the small study with another grid, given as YAML."""
    small["experiments"]["one"]["architecture"] |= {"filters_per_layer": [8], "layers_per_block": 2}
    small["experiments"]["one"]["grid"] = []
    return lambda grid, rest="": load(f"experiments: {{one: {{grid: {grid}{rest}}}}}")


def test_what_a_grid_varies_is_in_the_name_and_in_the_run(expand):
    runs = expand("{training.lr: [0.01, 0.1], filters_per_layer: [[8], [16]]}")
    names = ["lr0.01_L2_K8", "lr0.01_L2_K16", "lr0.1_L2_K8", "lr0.1_L2_K16"]
    assert [run.name for run in runs] == [f"one_{name}" for name in names]
    assert [run.training.lr for run in runs] == [0.01, 0.01, 0.1, 0.1]


@pytest.mark.parametrize(
    ("grid", "name"),
    [
        ("{training.lr: [1e-5]}", "lr1e-5"),
        ("{training.lr: [1e20]}", "lr1e20"),
        ("{training.lr: [1.0]}", "lr1"),
        ("{training.batch_size: [64]}", "batch64"),
        ("{data.train: [40]}", "train40"),
        ("{batchnorm: [true]}", "bn-true"),
        ("{hidden_dims: [[64, 32]]}", "hidden64-32"),
        ("{hidden_dims: [[]]}", "hidden-none"),
        ("{training.optimizer: [adamw]}", "opt-adamw"),
        ("{training.early_stopping: [null]}", "patience-none"),
        # In one order, whichever the file has.
        ("{training.lr: [1], data.train: [40], dropout: [0]}", "dropout0_train40_lr1"),
        ("{data.train: [40], dropout: [0], training.lr: [1]}", "dropout0_train40_lr1"),
        # As YAML reads it: 1e-3 is text.
        ("{training.lr: {log: [1e-3, 1e-1, 3]}}", "lr0.001 lr0.01 lr0.1"),
        ("{data.train: {log: [5, 50, 2]}}", "train5 train50"),
        ("[{training.lr: [0.1]}, {training.weight_decay: [0.5]}]", "lr0.1 wd0.5"),
    ],
)
def test_names_of_settings(expand, grid, name):
    runs = expand(grid, ", model: resnet")
    assert [run.name for run in runs] == [f"one_{words}_L2_K8" for words in name.split()]
    for run in runs:
        assert RunSpec.from_config(run.describe(0)) == run


def test_labelled_runs_keep_their_settings(expand):
    labels = ", runs: {bn: {architecture: {batchnorm: true}}, plain: {}}"
    runs = expand("[{training.lr: [0.1]}, {training.weight_decay: [0.5]}]", labels)
    names = ["bn_lr0.1", "plain_lr0.1", "bn_wd0.5", "plain_wd0.5"]
    assert [run.name for run in runs] == [f"one_{name}_L2_K8" for name in names]


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


def test_points_are_in_the_order_of_the_file():
    points = list_points([{"training.lr": [1, 2], "batchnorm": [True, False]}])
    labels = ["bn-true_lr1", "bn-false_lr1", "bn-true_lr2", "bn-false_lr2"]
    assert [point.label for point in points] == labels


def test_the_search_of_rates_is_a_grid(config):
    search = yaml.safe_load((CHECKOUT / "search" / "part3_rates.yaml").read_text())
    study = load_study(config | {"experiments": search["experiments"]})
    assert list(study.runs)[:2] == ["exp0_plain_lr0.02_L2_K32", "exp0_plain_lr0.05_L2_K32"]
    assert len(study.runs) == 8
    assert all(e.settings == ("training.lr",) for e in study.experiments.values())
