from __future__ import annotations

import copy

import pytest

from hw2core.config.errors import ConfigError
from hw2core.config.study import load_study


@pytest.mark.parametrize(
    ("convs", "least"), [(16, 3), (12, 3), (24, 5), (27, 5), (32, 6), (36, 7), (5, 1)]
)
def test_at_most_five_pools(small, convs, least):
    experiment = small["experiments"]["one"]
    experiment["grid"] = {"filters_per_layer": [[8]], "layers_per_block": [convs]}
    experiment["architecture"]["pool_every"] = least
    assert load_study(small).runs
    if least > 1:
        experiment["architecture"]["pool_every"] = least - 1
        with pytest.raises(ConfigError, match=f"pool_every must be at least {least}"):
            load_study(small)


# (path of the key to set, wrong value, what the line must name)
WRONG = [
    (["data", "source_train"], 104, ["data.source_train", "multiple of 10"]),
    (["training", "lr"], -0.1, ["training.lr", "-0.1", "greater than 0"]),
    (["training", "lr"], "fast", ["training.lr", "'fast'", "number"]),
    (["training", "lr"], float("nan"), ["training.lr", "finite"]),
    (["training", "epochs"], 0, ["training.epochs", "0", "at least 1"]),
    (["training", "epochs"], 2.5, ["training.epochs", "2.5", "whole number"]),
    (["training", "batch_size"], True, ["training.batch_size", "whole number"]),
    (["training", "optimizer"], "sdg", ["training.optimizer", "'sdg'", "'sgd'"]),
    (["training", "momentum"], 1.0, ["training.momentum", "1.0", "less than 1"]),
    (["training", "weight_decay"], -1, ["training.weight_decay", "-1", "at least 0"]),
    (["training", "nesterov"], True, ["training.nesterov", "momentum"]),
    (["training", "clip_norm"], 1.0, ["training.clip_norm", "unknown key"]),
    (["training", "learning_rate"], 0.1, ["training.learning_rate", "unknown key", "lr"]),
    (["data", "name"], "imagenet", ["data.name", "'imagenet'", "'cifar10', 'cifar100', 'svhn'"]),
    (["data", "train"], 99, ["data.train", "99 + 20", "100"]),
    (["data", "test"], 51, ["data.test", "at most 50"]),
    (["seeds"], [0, 0], ["seeds", "twice"]),
    (["seeds"], [], ["seeds", "at least 1"]),
    (["seeds"], [-1], ["seeds.0", "-1", "at least 0"]),
    (["experimets"], {}, ["experimets", "unknown key", "experiments"]),
    (["seeds"], [2**64], ["seeds.0", str(2**64), "at most 4294967295"]),
    (["seeds"], [*range(1001)], ["seeds", "at most 1000 entries"]),
    (["data", "split_seed"], 2**64, ["data.split_seed", "at most 4294967295"]),
    (["data", "source_train"], 10**9, ["data.source_train", "at most 1000000"]),
    (["data", "root"], "/a\0b", ["data.root", "control characters"]),
    (["data", "root"], "a" * 5000, ["data.root", "at most 1000 characters"]),
    (["training", "translate"], 40, ["training.translate", "40", "less than 32"]),
    (["training", "cutout"], 40, ["training.cutout", "40", "at most 32"]),
    (["training", "epochs"], 10**9, ["training.epochs", "1000000000", "at most 10000"]),
    (["training", "batch_size"], 10**400, ["training.batch_size", "at most 1000000"]),
    (["training", "lr"], 1e308, ["training.lr", "1e+308", "at most 1e+20"]),
    (["training", "weight_decay"], 1e308, ["training.weight_decay", "at most 1000"]),
    (["training", "decay"], 0.5, ["training.decay", "0.5", "no effect with optimizer: sgd"]),
    (["training", "gamma"], 0.5, ["training.gamma", "no effect with schedule: constant"]),
    (["training", "milestones"], [0.5], ["training.milestones: [0.5]", "must be [0.5, 0.75]"]),
    (["training", "milestones"], [0.5, 0.5], ["training.milestones: [0.5, 0.5]: must rise"]),
    (["training", "milestones"], [0.5, 1.0], ["training.milestones.1", "1.0", "less than 1"]),
    (["training", "schedule"], "linear", ["training.schedule", "'cosine'", "'step'"]),
    (
        ["experiments", "one", "architecture", "kernel_size"],
        4,
        ["experiments.one.architecture.kernel_size: 4: must be odd"],
    ),
    (
        ["experiments", "one", "architecture", "activation_type"],
        "swish",
        ["experiments.one.architecture.activation_type", "'swish'", "'silu'"],
    ),
    (["training", "warmup"], 0.5, ["training.warmup", "no effect with schedule: constant"]),
    (
        ["experiments", "one", "training"],
        {"optimizer": "adamw", "momentum": 0.9},
        ["experiments.one.training.momentum", "0.9", "no effect with optimizer: adamw", "be 0.0"],
    ),
    (["experiments", "one", "question"], "a" * 140_000, ["question", "at most 2000 characters"]),
    (["experiments", "one", "fixed"], "a\0b", ["experiments.one.fixed", "control characters"]),
    (["experiments", "one", "varies"], "\x1b[31m", ["varies", "'\\x1b[31m'", "control"]),
    (["experiments", "one", "grid", "layers_per_block"], [], ["layers_per_block", "at least 1"]),
    (
        ["experiments", "one", "grid"],
        {"layers_per_block": [*range(1, 201)], "filters_per_layer": [[k] for k in range(1, 201)]},
        ["experiments.one.grid", "40,000 runs", "at most 10,000"],
    ),
    (
        ["experiments", "one", "grid", "layers_per_block"],
        [10**9],
        ["experiments.one.grid.layers_per_block", "at most 1000"],
    ),
    (
        ["experiments", "one", "grid", "filters_per_layer"],
        [[8, 10**6]],
        ["experiments.one.grid.filters_per_layer.1", "1000000", "at most 10000"],
    ),
    (
        ["experiments", "one", "grid"],
        {"layers_per_block": [1000], "filters_per_layer": [[8, 8]]},
        ["experiments.one.grid.layers_per_block", "2000 convolutions", "at most 1000"],
    ),
    (["experiments", "one", "runs"], {"a" * 300: {}}, ["experiments.one.runs.aaa", "at most 99"]),
    (
        ["experiments", "one"],
        {
            "question": "?",
            "varies": "?",
            "fixed": "?",
            "model": "cnn",
            "architecture": {"hidden_dims": [], "pools": 1, "layers_per_block": 1},
            "grid": {"filters_per_layer": [[10_000] * 40]},
        },
        ["experiments.one: 'one_L1_K10000-", "150 letters"],
    ),
    (["experiments", "one", "runs"], {0: {}, "0": {}}, ["experiments.one.runs", "0 is given as"]),
    (["experiments", "one", "data"], {"root": "/x"}, ["experiments.one.data.root", "'/x'", "None"]),
    (["experiments", "one", "model"], "vgg", ["experiments.one.model", "'vgg'", "cnn"]),
    (["experiments", "one", "question"], "", ["experiments.one.question", "empty"]),
    (["experiments", "one", "vary"], "x", ["experiments.one.vary", "unknown key", "varies"]),
    (
        ["experiments", "one", "grid", "layers_per_block"],
        [12],
        ["experiments.one.architecture.pool_every", "empty feature map"],
    ),
    (
        ["experiments", "one", "grid", "layers_per_block"],
        [2, 2],
        ["experiments.one", "'one_L2_K8'", "twice"],
    ),
    (
        ["experiments", "one", "grid", "filters"],
        [[1]],
        ["experiments.one.grid.filters", "unknown key", "filters_per_layer"],
    ),
    (
        ["experiments", "one", "grid", "filters_per_layer"],
        [[0]],
        ["experiments.one.grid.filters_per_layer.0", "at least 1"],
    ),
    (
        ["experiments", "one", "architecture", "shortcuts"],
        True,
        ["experiments.one.architecture.shortcuts", "unknown key"],
    ),
    (
        ["experiments", "one", "architecture", "pools"],
        2,
        ["experiments.one.architecture.pool_every", "either"],
    ),
    (
        ["experiments", "one", "runs"],
        {"a;b": {}},
        ["experiments.one.runs.a;b", "letters"],
    ),
    (
        ["experiments", "one", "runs"],
        {"a": {"training": {"lr": 0}}},
        ["experiments.one.runs.a.training.lr", "0", "greater than"],
    ),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG, ids=lambda v: str(v)[:40])
def test_a_wrong_value_gives_one_line_that_names_the_key(small, path, value, words):
    target = small
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ConfigError) as caught:
        load_study(small, "study.yaml")
    assert len(caught.value.lines) == 1, caught.value.lines
    for word in ["study.yaml: ", *words]:
        assert word in caught.value.lines[0]


@pytest.mark.parametrize(
    ("section", "key"), [("training", "batch_size"), ("data", "train"), ("data", "validation")]
)
def test_batch_normalisation_of_one_image_is_refused(small, section, key):
    small[section][key] = 1
    assert load_study(small).runs
    small["experiments"]["one"]["architecture"]["batchnorm"] = True
    with pytest.raises(ConfigError, match=f"{section}.{key}: 1: .*at least 2 images"):
        load_study(small)


def test_names_that_differ_only_in_case_are_refused(small):
    one = small["experiments"]["one"]
    one["runs"] = {"a": {}, "A": {}}
    with pytest.raises(ConfigError, match=r"'one_A_L2_K8': .* as 'one_a_L2_K8'"):
        load_study(small)
    del one["runs"]
    small["experiments"]["ONE"] = copy.deepcopy(one)
    with pytest.raises(ConfigError) as caught:
        load_study(small)
    assert [line.split(": ")[1:3] for line in caught.value.lines] == [
        ["experiments.ONE", "'ONE_L2_K8'"],
        ["experiments.ONE", "'ONE'"],
    ]


def test_experiments_that_no_command_line_holds_are_refused(small):
    one = small["experiments"]["one"]
    small["experiments"] = {f"e{n}": one | {"question": "'" * 2000} for n in range(12)}
    with pytest.raises(ConfigError, match=r"experiments: .* 12\d,\d* bytes .* at most 120,000"):
        load_study(small)
    del small["experiments"]["e0"]
    assert load_study(small).runs


def test_a_problem_of_many_runs_is_one_line_with_their_number(config):
    config["training"]["lr"] = -1
    config["experiments"]["part2_dropout"]["runs"][0.4] = {"model": "vgg"}
    with pytest.raises(ConfigError) as caught:
        load_study(config)
    assert caught.value.lines == [
        "config.yaml: training.lr: -1: must be greater than 0.0 (46 runs, first exp1_1_L2_K32)",
        "config.yaml: experiments.part2_dropout.runs.0.4.model: 'vgg': "
        "must be one of cnn, resnet, ycn, mlp",
    ]


ALL = "training.lr: 0: must be greater than 0.0 (4 runs, first one_a_L1_K8)"
EXPERIMENT = f"experiments.one.{ALL}"
RUN_A = f"experiments.one.{ALL.replace('4 runs', '2 runs')}"
RUN_B = f"experiments.one.runs.b.{ALL.replace('4 runs, first one_a', '2 runs, first one_b')}"


@pytest.mark.parametrize(("given", "lines"), [(1, [ALL]), (2, [EXPERIMENT]), (3, [RUN_A, RUN_B])])
def test_the_innermost_section_that_gives_the_key_is_named(small, given, lines):
    one = small["experiments"]["one"]
    one["runs"] = {"a": {}, "b": {}}
    one["grid"]["layers_per_block"] = [1, 2]
    for section in (small, one, one["runs"]["b"])[:given]:
        section["training"] = {**section.get("training", {}), "lr": 0}
    with pytest.raises(ConfigError) as caught:
        load_study(small)
    assert caught.value.lines == [f"config.yaml: {line}" for line in lines]


def test_a_missing_key_is_named(small):
    del small["training"]["epochs"]
    with pytest.raises(ConfigError, match=r"training\.epochs: missing"):
        load_study(small)


def test_an_experiment_named_like_a_run_is_refused(small):
    small["experiments"]["one_L2_K8"] = copy.deepcopy(small["experiments"]["one"])
    with pytest.raises(ConfigError, match="has a run of this name"):
        load_study(small)


def test_a_name_for_a_shell_is_refused(small):
    small["experiments"]["$(touch x)"] = small["experiments"].pop("one")
    with pytest.raises(ConfigError, match="a name has only letters"):
        load_study(small)


def test_all_problems_are_reported_at_once_and_each_once(config):
    config["training"]["lr"] = -1
    config["data"]["train"] = 60_000
    config["experiments"]["exp1_1"]["model"] = "vgg"
    with pytest.raises(ConfigError) as caught:
        load_study(config)
    keys = sorted(line.split(": ")[1] for line in caught.value.lines)
    assert keys == ["data.train", "experiments.exp1_1.model", "training.lr"]
