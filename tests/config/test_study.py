from __future__ import annotations

import json

import pytest

from hw2core.config.errors import ConfigError
from hw2core.config.networks import KEYWORDS
from hw2core.config.reading import read_configs
from hw2core.config.spec import dump_experiments, parse_experiments
from hw2core.config.study import STUDY_FILE, load_experiments, load_study

EXPECTED_NAMES = {
    *(f"exp1_1_L{depth}_K{width}" for width in (32, 64) for depth in (2, 4, 8, 16)),
    *(f"exp1_2_L{depth}_K{width}" for depth in (2, 4, 8) for width in (32, 64, 128, 256)),
    *(f"exp1_3_L{depth}_K64-128-256" for depth in (1, 2, 3, 4)),
    *(f"exp1_4_L{depth}_K32" for depth in (8, 16, 32)),
    *(f"exp1_4_L{depth}_K64-128-256" for depth in (2, 4, 8)),
    *(f"exp2_L{depth}_K32-64-128" for depth in (3, 6, 9, 12)),
}


def test_study_has_the_34_named_runs(config):
    study = load_study(config)
    own = [
        run for name in ("exp1_5", "exp2_ablation") for run in study.experiments[name].runs
    ]  # the study's own questions
    cnn_names = [name for name in study.runs if name.startswith("exp") and name not in own]
    assert len(cnn_names) == 34
    assert set(cnn_names) == EXPECTED_NAMES


def test_the_ablation_takes_out_one_part_at_a_time(config):
    study = load_study(config)
    full, *others = [study.runs[run].describe(0) for run in study.experiments["exp2_ablation"].runs]
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
    for run in map(study.runs.get, treated):
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


def test_only_width_or_depth_varies_within_the_plain_experiments(config):
    study = load_study(config)
    for name in ("exp1_1", "exp1_2"):
        runs = [study.runs[run] for run in study.experiments[name].runs]
        others = {
            json.dumps([r.training.model_dump(), r.data.model_dump(), r.architecture.hidden_dims])
            for r in runs
        }
        pools = {len(r.architecture.channels) // r.architecture.pool_every for r in runs}
        assert len(others) == 1
        assert pools == {2}


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
    assert study.experiments["exp3"].runs == (
        "exp3_L8_K32",
        "exp3_L10_K32",
        "exp3_L8_K48",
        "exp3_L10_K48",
    )
    assert study.runs["exp3_L10_K32"].architecture.pool_every == 3
    assert study.runs["exp3_L10_K32"].architecture.build_arguments()["batchnorm"] is True


def test_several_grids_are_a_union(config):
    names = load_study(config).experiments["exp1_4"].runs
    assert names[0] == "exp1_4_L8_K32"
    assert names[-1] == "exp1_4_L8_K64-128-256"


def test_numeric_labels_are_words(small):
    small["experiments"]["one"]["runs"] = {0: {}, 0.4: {}}
    assert list(load_study(small).runs) == ["one_0_L2_K8", "one_0.4_L2_K8"]


def test_numbers_that_yaml_or_a_command_line_takes_for_words_are_numbers(small):
    small["training"] |= {"lr": "1e-3", "epochs": "2"}
    small["seeds"] = ["0", "1"]
    study = load_study(small)
    training = study.runs["one_L2_K8"].training
    assert (training.lr, training.epochs) == (0.001, 2)
    assert study.experiments["one"].seeds == (0, 1)


def test_twins_differ_in_name_only(config):
    study = load_study(config)
    twins = study.find_twins()
    assert twins.pop(("exp2_ablation_full_L3_K32-64-128", 0)) == "exp2_L3_K32-64-128"
    assert twins == {
        (f"exp1_2_L{depth}_K{width}", 0): f"exp1_1_L{depth}_K{width}"
        for depth in (2, 4, 8)
        for width in (32, 64)
    }
    course = [name for name in study.runs if name in EXPECTED_NAMES]
    assert len(course) - len(twins) == 28


@pytest.mark.parametrize(
    ("second", "twins"),
    [
        ({"training": {"lr": 0.1}}, {("one_b_L2_K8", 0): "one_a_L2_K8"}),
        ({"training": {"lr": 0.2}}, {}),
        ({"data": {"test": 49}}, {}),  # trained alike, evaluated differently
        ({"data": {"split_seed": 1}}, {}),
        ({"model": "resnet"}, {}),
    ],
)
def test_twins_are_found_by_what_they_are(small, second, twins):
    small["experiments"]["one"]["runs"] = {"a": {}, "b": second}
    assert load_study(small).find_twins() == twins


def test_a_twin_needs_its_seed_to_be_planned_for_the_first_run(small):
    one = small["experiments"]["one"]
    small["experiments"] = {"one": one | {"seeds": [0, 1]}, "two": one | {"seeds": [1, 2]}}
    small["experiments"]["three"] = one | {"seeds": [2]}
    assert load_study(small).find_twins() == {
        ("two_L2_K8", 1): "one_L2_K8",
        ("three_L2_K8", 2): "two_L2_K8",
    }


def test_experiments_round_trip_as_canonical_json(config):
    experiments = load_experiments()
    assert experiments == list(load_study(config).experiments.values())
    assert parse_experiments(dump_experiments(experiments)) == experiments
    dropout = experiments[-1]
    assert list(dropout.pairs())[4:6] == [("part2_dropout_0", 4), ("part2_dropout_0.4", 0)]


def test_a_run_has_the_images_that_it_names(small):
    """Others were once recorded and not used."""
    small["experiments"]["one"]["runs"] = {
        "own": {},
        "more": {"data": {"source_train": 200, "train": 150}},
        "real": {"data": {"name": "svhn", "train": 46_000, "validation": 500}},
        "hundred": {"data": {"name": "cifar100"}},
    }
    own, more, real, hundred = load_study(small).runs.values()
    folders = [run.data.folder for run in (own, more, real, hundred)]
    assert folders == ["generated_100_50", "generated_200_50", "svhn", "cifar100"]
    assert (real.data.source_train, real.data.source_test) == (73_257, 26_032)
    arguments = [run.architecture.build_arguments(run.data.num_classes) for run in (real, hundred)]
    assert [each["out_classes"] for each in arguments] == [10, 100]
    assert len({run.hash_identity(0) for run in (own, more, real, hundred)}) == 4


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"name": "svhn", "source_train": 100}, "source_train: SVHN has 73257 + 26032 images"),
        (
            {"name": "svhn", "train": 46_600},
            "train: train + validation = 46600 + 20 must be at most 46590",
        ),
        ({"root": "/x"}, "root: '/x': must be that of the study, None"),
    ],
)
def test_images_that_a_data_set_does_not_have_are_refused(small, data, line):
    small["experiments"]["one"]["data"] = data
    with pytest.raises(ConfigError) as caught:
        load_study(small)
    assert caught.value.lines[0].startswith(f"config.yaml: experiments.one.data.{line}")


@pytest.mark.parametrize("key", KEYWORDS)
def test_keywords_of_layers_are_for_run_experiment_alone(small, key):
    small["experiments"]["one"]["architecture"] |= {key: {"kernel_size": 3}}
    with pytest.raises(ConfigError) as caught:
        load_study(small)
    line = f"config.yaml: experiments.one.architecture.{key}: {{'kernel_size': 3}}: only run_exp"
    assert [x for x in caught.value.lines if x.startswith(line)]
    small["experiments"]["one"]["architecture"] = {"colour": 1}
    with pytest.raises(ConfigError) as caught:
        load_study(small)
    assert not [x for x in caught.value.lines if key in x]


def test_only_some_experiments_are_planned_where_the_file_says_so(config):
    config["study"] = {"only": ["exp1_2", "exp2"]}
    study = load_study(config)
    assert list(study.experiments) == ["exp1_2", "exp2"]
    assert len(study.runs) == 16
    # Their twins are in an experiment that is left out, so they are trained themselves.
    assert not study.find_twins()
    config["study"]["only"] = ["exp9"]
    with pytest.raises(ConfigError, match="only: 'exp9': no such experiment; there are exp1_1"):
        load_study(config)


def test_what_is_laid_over_experiments_that_are_not_there_is_one_line():
    """As quick/study.yaml over a config.yaml without some of the experiments."""
    config = read_configs([STUDY_FILE, STUDY_FILE.parent / "quick/study.yaml"])
    for key in ("question", "varies", "fixed", "model", "architecture", "grid", "runs"):
        for name in ("exp2", "part2_optim"):
            config["experiments"][name].pop(key, None)
    with pytest.raises(ConfigError) as error:
        load_study(config, "config.yaml + quick/study.yaml")
    assert str(error.value) == (
        "config.yaml + quick/study.yaml: experiments: exp2, part2_optim: without question, varies, "
        "fixed and model; a file that is laid over config.yaml can only change experiments that "
        "are there"
    )
