from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from snakemake.utils import update_config

from hw2core.config_file import ConfigError, read_config, read_configs
from hw2core.spec import RunSpec, hash_config
from hw2core.study import load_study

CONFIG = Path(__file__).parent.parent / "config.yaml"

EXPECTED_NAMES = {
    *(f"exp1_1_L{depth}_K{width}" for width in (32, 64) for depth in (2, 4, 8, 16)),
    *(f"exp1_2_L{depth}_K{width}" for depth in (2, 4, 8) for width in (32, 64, 128, 256)),
    *(f"exp1_3_L{depth}_K64-128-256" for depth in (1, 2, 3, 4)),
    *(f"exp1_4_L{depth}_K32" for depth in (8, 16, 32)),
    *(f"exp1_4_L{depth}_K64-128-256" for depth in (2, 4, 8)),
    *(f"exp2_L{depth}_K32-64-128" for depth in (3, 6, 9, 12)),
}


@pytest.fixture
def config() -> dict:
    return read_config(CONFIG)


@pytest.fixture
def small() -> dict:
    """One experiment with one run."""
    return {
        "data": {"name": "generated", "pool": 100, "test_pool": 50, "train": 60, "validation": 20}
        | {"test": 50},
        "training": {
            "epochs": 1,
            "batch_size": 10,
            "optimizer": "sgd",
            "lr": 0.1,
            "weight_decay": 0,
            "schedule": "constant",
        },
        "seeds": [0],
        "experiments": {
            "one": {
                "question": "?",
                "varies": "nothing",
                "fixed": "all",
                "model": "cnn",
                "architecture": {"hidden_dims": [], "pool_every": 2},
                "grid": {"filters_per_layer": [[8]], "layers_per_block": [2]},
            }
        },
    }


def test_study_has_the_34_named_runs(config):
    study = load_study(config)
    own = [
        run for name in ("exp1_5", "exp2_ablation") for run in study.experiments[name].outline.runs
    ]  # the study's own questions
    cnn_names = [name for name in study.runs if name.startswith("exp") and name not in own]
    assert len(cnn_names) == 34
    assert set(cnn_names) == EXPECTED_NAMES


def test_the_ablation_takes_out_one_part_at_a_time(config):
    runs = load_study(config).experiments["exp2_ablation"].runs
    full, *others = [run.describe(0) for run in runs]
    for other in others:
        changed = [
            part
            for part in ("model", "architecture", "training", "data")
            if other[part] != full[part]
        ]
        assert len(changed) == 1, other["name"]


def test_each_remedy_changes_the_untreated_nets_in_one_thing(config):
    study = load_study(config)
    treated = study.experiments["exp1_5"].runs
    assert len(treated) == 16
    for run in treated:
        _, _, remedy, depth, width = run.name.split("_")
        plain = study.runs[f"exp1_1_{depth}_{width}"]
        plain_values, own_values = plain.describe(0), run.describe(0)
        changed = {
            f"{part}.{key}"
            for part in ("architecture", "training", "data")
            for key in plain_values[part].keys() & own_values[part].keys()
            if plain_values[part][key] != own_values[part][key]
        }
        expected = {"he": "architecture.initialization", "bn": "architecture.batchnorm"}
        expected["warmup"] = "training.warmup"
        assert changed == ({expected[remedy]} if remedy in expected else set())
        assert run.model == ("resnet" if remedy == "residual" else "cnn")


def test_widths_are_repeated_not_interleaved(config):
    run = load_study(config).runs["exp1_3_L2_K64-128-256"]
    assert run.architecture.channels == [64, 64, 128, 128, 256, 256]


def test_shared_configurations_stay_separate_runs_of_the_same_training(config):
    runs = load_study(config).runs
    twins = runs["exp1_1_L2_K32"], runs["exp1_2_L2_K32"]
    assert twins[0] != twins[1]
    assert hash_config(twins[0].describe(0)) == hash_config(twins[1].describe(0))
    assert hash_config(twins[0].describe(0)) != hash_config(twins[0].describe(1))


def test_only_width_or_depth_varies_within_the_plain_experiments(config):
    study = load_study(config)
    for name in ("exp1_1", "exp1_2"):
        others = {
            json.dumps([r.training.model_dump(), r.data.model_dump(), r.architecture.hidden_dims])
            for r in study.experiments[name].runs
        }
        pools = {
            len(r.architecture.channels) // r.architecture.pool_every
            for r in study.experiments[name].runs
        }
        assert len(others) == 1
        assert pools == {2}


def test_files_are_laid_over_each_other_as_snakemake_does():
    paths = [CONFIG, CONFIG.parent / "demo" / "study.yaml"]
    expected, above = map(read_config, paths)
    update_config(expected, above)
    assert read_configs(paths) == expected
    assert read_configs(paths[:1]) == read_config(CONFIG)


def test_merge_order_is_defaults_experiment_grid_run(small):
    small["training"]["lr"] = 0.1
    experiment = small["experiments"]["one"]
    experiment["training"] = {"lr": 0.2, "momentum": 0.5}
    experiment["runs"] = {"a": {}, "b": {"training": {"lr": 0.3}}}
    runs = load_study(small).runs
    assert list(runs) == ["one_a_L2_K8", "one_b_L2_K8"]
    assert (runs["one_a_L2_K8"].training.lr, runs["one_b_L2_K8"].training.lr) == (0.2, 0.3)
    assert runs["one_b_L2_K8"].training.momentum == 0.5


def test_a_new_experiment_needs_only_configuration(config):
    config["experiments"]["exp3"] = {
        "question": "Does batch normalisation help?",
        "varies": "batch normalisation",
        "fixed": "the rest",
        "model": "resnet",
        "architecture": {"pools": 4, "hidden_dims": [128], "batchnorm": True, "dropout": 0.1},
        "grid": [{"filters_per_layer": [[32], [48]], "layers_per_block": [8, 10]}],
    }
    study = load_study(config)
    assert [run.name for run in study.experiments["exp3"].runs] == [
        "exp3_L8_K32",
        "exp3_L10_K32",
        "exp3_L8_K48",
        "exp3_L10_K48",
    ]
    assert study.runs["exp3_L10_K32"].architecture.pool_every == 3
    assert study.runs["exp3_L10_K32"].architecture.build_arguments()["batchnorm"] is True


def test_several_grids_are_a_union(config):
    names = [run.name for run in load_study(config).experiments["exp1_4"].runs]
    assert names[0] == "exp1_4_L8_K32"
    assert names[-1] == "exp1_4_L8_K64-128-256"


def test_numeric_labels_are_words(small):
    small["experiments"]["one"]["runs"] = {0: {}, 0.4: {}}
    assert list(load_study(small).runs) == ["one_0_L2_K8", "one_0.4_L2_K8"]


def test_canonical_json_round_trips_and_holds_nothing_of_the_machine(small):
    small["data"]["root"] = "/somewhere/else"
    spec = load_study(small).runs["one_L2_K8"]
    assert "somewhere" not in spec.to_json()
    again = RunSpec.model_validate_json(spec.to_json())
    assert again.to_json() == spec.to_json()
    assert type(again.architecture) is type(spec.architecture)
    reordered = dict(reversed(list(small.items())))
    assert load_study(reordered).runs["one_L2_K8"].to_json() == spec.to_json()


def test_numbers_that_yaml_or_a_command_line_takes_for_words_are_numbers(small):
    small["training"] |= {"lr": "1e-3", "epochs": "2"}
    small["seeds"] = ["0", "1"]
    study = load_study(small)
    training = study.runs["one_L2_K8"].training
    assert (training.lr, training.epochs) == (0.001, 2)
    assert study.experiments["one"].outline.seeds == (0, 1)


def test_pools_and_the_pool_every_they_stand_for_are_the_same_spec(small):
    by_every = load_study(small).runs["one_L2_K8"]
    small["experiments"]["one"]["architecture"] = {"hidden_dims": [], "pools": 1}
    assert load_study(small).runs["one_L2_K8"].to_json() == by_every.to_json()


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
    (["data", "pool"], 104, ["data.pool", "multiple of 10"]),
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
    (["training", "learning_rate"], 0.1, ["training.learning_rate", "unknown key", "lr"]),
    (["data", "name"], "cifar100", ["data.name", "'cifar100'", "'cifar10'"]),
    (["data", "train"], 99, ["data.train", "99 + 20", "100"]),
    (["data", "test"], 51, ["data.test", "at most 50"]),
    (["seeds"], [0, 0], ["seeds", "twice"]),
    (["seeds"], [], ["seeds", "at least 1"]),
    (["seeds"], [-1], ["seeds.0", "-1", "at least 0"]),
    (["experimets"], {}, ["experimets", "unknown key", "experiments"]),
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
        ["experiments", "one", "architecture", "dropout"],
        True,
        ["experiments.one.architecture.dropout", "unknown key"],
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
    ("run", "data", "study_size"),
    [
        ("exp2_L3_K32-64-128", {}, True),
        ("exp2_L3_K32-64-128", {"train": 20_000}, True),
        ("exp2_L3_K32-64-128", {"train": 19_999}, False),
        ("exp2_L3_K32-64-128", {"validation": 5_999}, False),
        ("exp2_L3_K32-64-128", {"name": "generated"}, False),
        ("part2_dropout_0", {}, True),
        ("part2_dropout_0", {"name": "generated"}, False),
    ],
)
def test_results_on_less_than_the_study_asks_for_are_marked(config, run, data, study_size):
    config["data"] |= data
    assert load_study(config).runs[run].study_size is study_size


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is given twice"),
        ("a: [1\n", "line 2"),
        ("- 1\n", "mapping"),
    ],
)
def test_yaml_itself_is_checked(tmp_path, text, words):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_config(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_config(tmp_path / "nowhere.yaml")
