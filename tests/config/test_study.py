from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from hw2core.config.errors import ConfigError
from hw2core.config.reading import read_configs
from hw2core.config.spec import Experiment, RunSpec, dump_experiments
from hw2core.config.study import STUDY_FILE, load_experiments, load_study

EXPECTED_NAMES = {
    *(f"exp1_1_L{depth}_K{width}" for width in (32, 64) for depth in (2, 4, 8, 16)),
    *(f"exp1_2_L{depth}_K{width}" for depth in (2, 4, 8) for width in (32, 64, 128, 256)),
    *(f"exp1_3_L{depth}_K64-128-256" for depth in (1, 2, 3, 4)),
    *(f"exp1_4_L{depth}_K32" for depth in (8, 16, 32)),
    *(f"exp1_4_L{depth}_K64-128-256" for depth in (2, 4, 8)),
    *(f"exp2_L{depth}_K32-64-128" for depth in (3, 6, 9, 12)),
}
OWN = ("exp1_5", "exp2_ablation")  # the study's own questions


def find_differences(*runs: RunSpec) -> set[str]:
    """Return the keys, as ``section.key``, that runs have in common and in which they differ."""
    found: dict[str, list[object]] = {}
    for run in runs:
        described = run.describe(0)
        found.setdefault("model", []).append(run.model)
        for section in ("architecture", "training", "data"):
            for key, value in described[section].items():
                found.setdefault(f"{section}.{key}", []).append(value)
    return {key for key, values in found.items() if any(value != values[0] for value in values)}


def test_study_has_the_34_named_runs(config):
    study = load_study(config)
    own = {run for name in OWN for run in study.experiments[name].runs}
    names = [name for name in study.runs if name.startswith("exp") and name not in own]
    assert len(names) == 34
    assert set(names) == EXPECTED_NAMES


def test_the_ablation_takes_out_one_part_at_a_time(config):
    study = load_study(config)
    full, *others = (study.runs[run] for run in study.experiments["exp2_ablation"].runs)
    for other in others:
        sections = {key.partition(".")[0] for key in find_differences(full, other)}
        assert len(sections) == 1, other.name


def test_each_remedy_changes_the_untreated_networks_in_one_thing(config):
    study = load_study(config)
    remedies = {
        "he": "architecture.initialization",
        "bn": "architecture.batchnorm",
        "warmup": "training.warmup",
        "residual": "model",
    }
    treated = [study.runs[run] for run in study.experiments["exp1_5"].runs]
    assert len(treated) == 16
    for run in treated:
        plain = study.runs[f"exp1_1_{run.architecture.name_suffix}"]
        assert find_differences(plain, run) == {remedies[run.label]}


@pytest.mark.parametrize("name", ["exp1_1", "exp1_2"])
def test_only_width_or_depth_varies_within_the_plain_experiments(config, name):
    study = load_study(config)
    runs = [study.runs[run] for run in study.experiments[name].runs]
    keys = {"filters_per_layer", "layers_per_block", "pool_every"}
    assert find_differences(*runs) == {f"architecture.{key}" for key in keys}
    assert {len(r.architecture.channels) // r.architecture.pool_every for r in runs} == {2}


def test_labels_and_numbers_may_be_written_as_either(small, load):
    small["experiments"]["one"]["runs"] = {0: {}, 0.4: {}}
    runs = load("{training: {lr: '1e-3', epochs: '2'}, seeds: ['3']}")
    assert [run.name for run in runs] == ["one_0_L2_K8", "one_0.4_L2_K8"]
    assert (runs[0].training.lr, runs[0].training.epochs) == (0.001, 2)


def test_a_command_line_gives_flags_and_null_as_text(small, load):
    small["training"] |= {"flip": False, "early_stopping": 2, "batches": 3}
    entry = small["experiments"]["one"]
    entry["grid"] = entry.get("grid", {}) | {
        "batchnorm": ["false", "True"],
        "training.batches": ["null", "2"],
    }
    small["study"] = {"only": "null"}
    small["experiments"]["one"]["seeds"] = "null"
    small["data"]["root"] = "null"
    runs = load("{training: {flip: 'true', early_stopping: 'null'}}")
    assert {run.training.flip for run in runs} == {True}
    assert {run.training.early_stopping for run in runs} == {None}
    assert {run.architecture.batchnorm for run in runs} == {False, True}
    assert {run.training.batches for run in runs} == {None, 2}


def test_twins_differ_in_name_only(config):
    study = load_study(config)
    twins = study.find_twins()
    assert twins.pop(("exp2_ablation_full_L3_K32-64-128", 0)) == "exp2_L3_K32-64-128"
    assert twins == {
        (f"exp1_2_L{depth}_K{width}", 0): f"exp1_1_L{depth}_K{width}"
        for depth in (2, 4, 8)
        for width in (32, 64)
    }


@pytest.mark.parametrize(
    ("second", "twins"),
    [
        ("training: {lr: 0.1}", {("one_b_L2_K8", 0): "one_a_L2_K8"}),
        ("training: {lr: 0.2}", {}),
        ("data: {test: 49}", {}),  # trained alike, evaluated differently
        ("data: {split_seed: 1}", {}),
        ("model: resnet", {}),
    ],
)
def test_twins_are_found_by_what_they_are(change, second, twins):
    text = f"experiments: {{one: {{runs: {{a: {{}}, b: {{{second}}}}}}}}}"
    assert load_study(change(text)).find_twins() == twins


def test_a_twin_needs_its_seed_to_be_planned_for_the_first_run(small):
    one = small["experiments"]["one"]
    seeds = {"one": ["0", 1], "two": [1, 2], "three": [2]}
    small["experiments"] = {name: one | {"seeds": given} for name, given in seeds.items()}
    study = load_study(small)
    assert study.experiments["one"].seeds == (0, 1)
    assert study.find_twins() == {
        ("two_L2_K8", 1): "one_L2_K8",
        ("three_L2_K8", 2): "two_L2_K8",
    }


def test_experiments_round_trip_as_canonical_json(config):
    experiments = load_experiments()
    assert experiments == list(load_study(config).experiments.values())
    text = dump_experiments(experiments)
    assert TypeAdapter(list[Experiment]).validate_json(text, strict=True) == experiments
    dropout = experiments[-1]
    assert list(dropout.pairs())[4:6] == [("part2_dropout_0", 4), ("part2_dropout_0.4", 0)]


def test_only_some_experiments_are_planned_where_the_file_says_so(config):
    config["study"] = {"only": ["exp1_2", "exp2"]}
    study = load_study(config)
    assert list(study.experiments) == ["exp1_2", "exp2"]
    assert len(study.runs) == 16
    # Their twins are in an experiment that is left out, so they are trained themselves.
    assert not study.find_twins()


def test_some_runs_are_trained_with_the_first_seed_only_where_the_file_says_so(config):
    config |= {
        "seeds": [3, 4],
        "study": {"first_seed_only": ["exp1_2_L8_K256", "exp2_L3_K32-64-128"]},
    }
    experiments = load_study(config).experiments
    assert [pair for pair in experiments["exp1_2"].pairs() if pair[0] == "exp1_2_L8_K256"] == [
        ("exp1_2_L8_K256", 3)
    ]
    assert len(list(experiments["exp1_2"].pairs())) == 2 * 12 - 1
    assert len(list(experiments["exp2"].pairs())) == 2 * 4 - 1
    assert len(list(experiments["exp1_1"].pairs())) == 2 * 8


def test_sizes_are_those_that_config_yaml_asks_for_whatever_is_laid_over_it(config):
    asked = load_study(config)
    config["data"] |= {"train": 5_000}
    config["experiments"]["exp3"] = config["experiments"]["exp2"]
    config["experiments"]["exp1_1"]["grid"]["filters_per_layer"] = [[16]]
    study = load_study(config).compare_sizes(asked)
    run = "exp2_L3_K32-64-128"
    assert study.runs[run].size == ("cifar10", 20, 5_000, 6_000, 10_000, 5_000, 20)
    assert study.experiments["exp2"].sizes[run] == asked.runs[run].size
    # A run that config.yaml does not have is compared with the others of its experiment.
    assert study.experiments["exp1_1"].sizes["exp1_1_L2_K16"].train == 20_000
    # A run of an experiment that config.yaml does not have is of the size that it asks for itself.
    assert study.experiments["exp3"].sizes["exp3_L3_K32-64-128"].train == 5_000


def test_what_is_laid_over_experiments_that_are_not_there_is_one_line():
    """As quick/study.yaml over a config.yaml without some of the experiments."""
    config = read_configs([STUDY_FILE, STUDY_FILE.parent / "quick/study.yaml"])
    for key in ("question", "varies", "fixed", "model", "architecture", "grid", "runs"):
        for name in ("exp2", "part2_optim"):
            config["experiments"][name].pop(key, None)
    line = "^config.yaml: experiments: exp2, part2_optim: without question, varies, fixed and model"
    with pytest.raises(ConfigError, match=line) as caught:
        load_study(config)
    assert len(caught.value.lines) == 1
