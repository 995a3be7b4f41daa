from __future__ import annotations

import copy

import pytest

from hw2core.config.errors import ConfigError
from hw2core.config.fields import KEYWORDS
from hw2core.config.spec import RunSpec, upgrade_config
from hw2core.config.study import load_study

SECTIONS = ("model", "architecture", "training", "data")


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


def test_neither_the_machine_nor_how_the_file_is_written_is_in_the_canonical_json(small):
    before = load_study(small).runs["one_L2_K8"].to_json()
    small["data"]["root"] = "/somewhere/else"
    small["experiments"]["one"]["architecture"] = {"pools": 1, "hidden_dims": []}
    (spec,) = load_study(dict(reversed(small.items()))).runs.values()
    assert spec.to_json() == before


def test_keys_newer_than_published_results_are_not_in_those_of_their_defaults(config):
    described = load_study(config).runs["exp1_1_L2_K32"].describe(0)
    newer = {"dropout", "kernel_size", *KEYWORDS, "milestones", "gamma"}
    assert not newer & (described["architecture"].keys() | described["training"].keys())


def test_every_spec_comes_back_from_its_text_and_from_its_result(config):
    for spec in load_study(config).runs.values():
        assert RunSpec.model_validate_json(spec.to_json()) == spec
        described = spec.describe(3)
        assert list(described) == ["name", "experiment", *SECTIONS, "seed"]
        assert described["seed"] == 3
        assert RunSpec.from_config(described) == spec


def test_a_result_of_before_may_have_what_a_configuration_may_no_longer_have(small):
    small["experiments"]["one"] |= {
        "model": "resnet",
        "architecture": {"pool_every": 1, "hidden_dims": []},
    }
    described = load_study(small).runs["one_L2_K8"].describe(0)
    described["architecture"]["batchnorm"] = True
    assert RunSpec.from_config(described).architecture.batchnorm
    small["experiments"]["one"]["architecture"]["batchnorm"] = True
    problem = r"batchnorm: true: has no effect in .* \(layers_per_block: 2, pool_every: 1\);"
    with pytest.raises(ConfigError, match=problem):
        load_study(small)


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


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"name": "two_L2_K8"}, "name: 'two_L2_K8': not a run of experiment 'one'"),
        ({"experiment": None}, "experiment: None: must be text"),
        ({"training": 1}, "training: 1: must be a mapping"),
        ({"training": {}}, "training.epochs: missing"),
    ],
)
def test_a_damaged_config_is_refused_line_by_line(small, changes, line):
    config = load_study(small).runs["one_L2_K8"].describe(0) | changes
    with pytest.raises(ConfigError, match=rf"seed0\.json: {line}"):
        RunSpec.from_config(config, "seed0.json")


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
