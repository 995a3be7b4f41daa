from __future__ import annotations

import copy

import pytest

from hw2core.config.errors import ConfigError
from hw2core.config.spec import RunSpec, upgrade_config
from hw2core.config.study import load_study

SECTIONS = ("model", "architecture", "training", "data")


def test_widths_are_repeated_not_interleaved(config):
    run = load_study(config).runs["exp1_3_L2_K64-128-256"]
    assert run.architecture.channels == [64, 64, 128, 128, 256, 256]


def test_shared_configurations_stay_separate_runs_of_the_same_training(config):
    runs = load_study(config).runs
    twins = runs["exp1_1_L2_K32"], runs["exp1_2_L2_K32"]
    assert twins[0] != twins[1]
    assert twins[0].hash_identity(0) == twins[1].hash_identity(0)
    assert twins[0].hash_identity(0) != twins[0].hash_identity(1)


@pytest.mark.parametrize(
    ("section", "change", "same"),
    [
        ("data", {"test": 40}, False),  # the evaluation is part of the result
        ("data", {"train": 50}, False),
        ("data", {"split_seed": 1}, False),
        ("training", {"momentum": 0.0, "average": 0.0}, True),  # the defaults
        ("training", {"lr": 0.2}, False),
        ("training", {"deterministic": True}, False),
        ("architecture", {"batchnorm": False}, True),
        ("architecture", {"batchnorm": True}, False),
    ],
)
def test_the_identity_is_what_decides_the_result(small, section, change, same):
    before = load_study(small).runs["one_L2_K8"].hash_identity(0)
    small["experiments"]["one"].setdefault(section, {}).update(change)
    assert (load_study(small).runs["one_L2_K8"].hash_identity(0) == before) is same


def test_canonical_json_round_trips_and_holds_nothing_of_the_machine(small):
    before = load_study(small).runs["one_L2_K8"].hash_identity(0)
    small["data"]["root"] = "/somewhere/else"
    spec = load_study(small).runs["one_L2_K8"]
    assert spec.hash_identity(0) == before
    assert "somewhere" not in spec.to_json()
    again = RunSpec.model_validate_json(spec.to_json())
    assert again.to_json() == spec.to_json()
    assert again.name == spec.name
    assert type(again.architecture) is type(spec.architecture)
    reordered = dict(reversed(list(small.items())))
    assert load_study(reordered).runs["one_L2_K8"].to_json() == spec.to_json()


def test_pools_and_the_pool_every_they_stand_for_are_the_same_spec(small):
    by_every = load_study(small).runs["one_L2_K8"]
    small["experiments"]["one"]["architecture"] = {"hidden_dims": [], "pools": 1}
    assert load_study(small).runs["one_L2_K8"].to_json() == by_every.to_json()


def test_every_spec_comes_back_from_its_text_and_from_its_result(config):
    for spec in load_study(config).runs.values():
        assert RunSpec.model_validate_json(spec.to_json()) == spec
        described = spec.describe(3)
        assert list(described) == ["name", "experiment", *SECTIONS, "seed"]
        assert described["seed"] == 3
        assert RunSpec.from_config(described) == spec


@pytest.mark.parametrize(
    ("experiment", "label", "name"),
    [
        ("mine", "", "mine_L2_K8"),
        ("mine_L2_K8", "", "mine_L2_K8"),  # as the course names its own runs
        ("mineL2_K8", "", "mineL2_K8_L2_K8"),
        ("one_two", "a_b", "one_two_a_b_L2_K8"),
        ("one", "_", "one___L2_K8"),
    ],
)
def test_a_name_has_each_part_once_and_survives_a_result(small, experiment, label, name):
    small["experiments"] = {experiment: small["experiments"]["one"] | {"runs": {label: {}}}}
    (spec,) = load_study(small).runs.values()
    assert spec.name == name
    assert RunSpec.from_config(spec.describe(0)) == spec


def test_a_result_under_a_name_of_another_experiment_is_refused(small):
    config = load_study(small).runs["one_L2_K8"].describe(0) | {"name": "two_L2_K8"}
    with pytest.raises(ConfigError, match=r"seed0\.json: name: 'two_L2_K8': not a run"):
        RunSpec.from_config(config, "seed0.json")


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({}, "experiment: missing"),
        ({"training": 1, "data": None}, "training: 1: must be a mapping"),
    ],
)
def test_a_damaged_config_is_refused_line_by_line(config, line):
    with pytest.raises(ConfigError, match=line):
        RunSpec.from_config(config)


@pytest.fixture
def old(small) -> dict:
    """The config of a result of the version that had ``clip_norm`` and ``pool``."""
    config = load_study(small).runs["one_L2_K8"].describe(0)
    config["training"]["clip_norm"] = None
    config["data"]["pool"] = config["data"].pop("source_train")
    config["data"]["test_pool"] = config["data"].pop("source_test")
    return config


def test_the_config_of_an_old_result_is_brought_up_to_date(small, old):
    before = copy.deepcopy(old)
    spec = load_study(small).runs["one_L2_K8"]
    assert upgrade_config(old) == spec.describe(0)
    assert old == before
    assert RunSpec.from_config(old) == spec
    assert upgrade_config(spec.describe(0)) == spec.describe(0)


def test_a_retired_key_that_made_a_difference_is_refused(old):
    old["training"]["clip_norm"] = 1.0
    with pytest.raises(ConfigError) as caught:
        RunSpec.from_config(old)
    assert caught.value.lines == ["config: training.clip_norm: unknown key"]


def test_sizes_are_those_that_config_yaml_asks_for_whatever_is_laid_over_it(config):
    asked = load_study(config)
    config["data"] |= {"train": 5_000}
    config["experiments"]["exp3"] = config["experiments"]["exp2"]
    study = load_study(config).compare_sizes(asked)
    run = "exp2_L3_K32-64-128"
    assert study.runs[run].size == ("cifar10", 20, 5_000, 6_000, 10_000)
    assert study.experiments["exp2"].sizes[run] == ("cifar10", 20, 20_000, 6_000, 10_000)
    # A run that config.yaml does not have is of the size that it asks for itself.
    assert study.experiments["exp3"].sizes["exp3_L3_K32-64-128"].train == 5_000
