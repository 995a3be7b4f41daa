"""What a run inherits, and what of it another optimizer, schedule or data set leaves out."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("optimizer: adamw", {"optimizer": "adamw", "momentum": 0.0, "nesterov": False}),
        ("optimizer: sgd", {}),
        ("schedule: constant", {"schedule": "constant", "warmup": 0.25}),
        ("schedule: step", {"schedule": "step", "warmup": 0.25}),
    ],
)
def test_another_optimizer_or_schedule_needs_no_word_about_keys_of_the_first(
    small, load, text, changed
):
    small["training"] |= {"momentum": 0.9, "nesterov": True, "schedule": "one_cycle", "warmup": 0.1}
    (plain,) = load()
    (run,) = load(f"experiments: {{one: {{training: {{{text}}}}}}}")
    assert run.training == plain.training.model_copy(update=changed)
    key, value = text.split(": ")
    (run,) = load(f"experiments: {{one: {{grid: {{training.{key}: [{value}]}}}}}}")
    assert run.training == plain.training.model_copy(update=changed)


@pytest.mark.parametrize(
    ("section", "other", "first"),
    [
        ("training", "{optimizer: adamw}", "{optimizer: sgd}"),
        ("training", "{schedule: constant}", "{schedule: one_cycle}"),
        ("data", "{name: svhn, source_train: 73257}", "{name: generated}"),
    ],
)
def test_a_run_that_chooses_as_the_defaults_inherits_their_keys(small, load, section, other, first):
    small["training"] |= {"momentum": 0.9, "nesterov": True, "schedule": "one_cycle", "warmup": 0.1}
    (plain,) = load()
    (run,) = load(
        f"experiments: {{one: {{{section}: {other}, runs: {{a: {{{section}: {first}}}}}}}}}"
    )
    assert getattr(run, section) == getattr(plain, section)


def test_defaults_are_overridden_by_experiment_grid_and_run(load):
    runs = load(
        "experiments: {one: {training: {lr: 0.2, momentum: 0.5}, grid: {data.train: [40]},"
        " runs: {a: {}, b: {training: {lr: 0.3}, data: {test: 9}}}}}"
    )
    assert [run.name for run in runs] == ["one_a_train40_L2_K8", "one_b_train40_L2_K8"]
    assert [(run.training.lr, run.training.momentum) for run in runs] == [(0.2, 0.5), (0.3, 0.5)]
    assert [(run.data.train, run.data.test) for run in runs] == [(40, 50), (40, 9)]


def test_another_data_set_has_its_own_size(load):
    """Others were once recorded and not used."""
    runs = load(
        "experiments: {one: {runs: {own: {}, more: {data: {source_train: 200, train: 150}},"
        " real: {data: {name: svhn, train: 46000, validation: 500}},"
        " hundred: {data: {name: cifar100}}}}}"
    )
    folders = ["generated_100_50", "generated_200_50", "svhn", "cifar100"]
    assert [run.data.folder for run in runs] == folders
    assert (runs[2].data.source_train, runs[2].data.source_test) == (73_257, 26_032)
    assert [run.data.num_classes for run in runs] == [10, 10, 10, 100]
    assert len({run.hash_identity(0) for run in runs}) == 4
