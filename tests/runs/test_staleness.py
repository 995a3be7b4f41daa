from __future__ import annotations

import copy
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from hw2core.config.spec import Experiment
from hw2core.errors import UserError
from hw2core.runs import files, paths, values
from hw2core.runs.files import write_evaluation
from hw2core.runs.staleness import (
    Identity,
    explain_evaluation,
    explain_result,
    refuse_mixed_images,
    warn_of_stale,
)

# The same accuracies on 40 test images.
OF_40 = {
    "num_images": 40,
    "confusion": [[20, *[0] * 9], [10, 10, *[0] * 8], *[[0] * 10] * 8],
}


@pytest.fixture
def identity(tiny_spec, in_folder) -> Identity:
    return Identity.of(tiny_spec, 0)


def change(config: dict, section: str, **values: object) -> dict:
    """Return a config with other values in a section; None takes a key away."""
    changed = copy.deepcopy(config)
    changed[section] |= values
    changed[section] = {k: v for k, v in changed[section].items() if v is not None}
    return changed


def test_stale_results_are_counted(tiny_spec, write_run, make_evaluation, caplog):
    other = tiny_spec.model_copy(update={"label": "other"})
    specs = {spec.name: spec for spec in (tiny_spec, other)}
    sizes = {name: spec.size for name, spec in specs.items()}
    experiment = Experiment("exp", "?", "x", "y", tuple(specs), (0, 1), sizes, specs=specs)

    def warn(experiment: Experiment) -> list[str]:
        caplog.clear()
        warn_of_stale([experiment], logging.getLogger())
        return [message.partition(" but")[0] for message in caplog.messages]

    for seed in (0, 1):
        write_run(seed=seed)
    assert warn(experiment) == []
    evaluation = make_evaluation(write_run(), code="0")
    write_evaluation(paths.evaluation_path(tiny_spec.name, 0), evaluation)
    assert warn(experiment) == ["1 result is stale"]
    recipe = tiny_spec.training.model_copy(update={"lr": 0.5})
    specs[tiny_spec.name] = tiny_spec.model_copy(update={"training": recipe})
    assert warn(experiment) == ["2 results are stale"]
    Path(paths.result_path(tiny_spec.name, 1)).unlink()
    assert warn(experiment) == ["1 result is stale"]
    assert warn(replace(experiment, specs={})) == []


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("training", {"cutout": None}),  # at its default, in a config that is older than the key
        ("architecture", {"batchnorm": None}),
    ],
)
def test_a_key_at_its_default_that_an_old_config_lacks_is_no_difference(
    tiny_spec, identity, make_result, section, values
):
    config = change(tiny_spec.describe(0), section, **values)
    assert not values.keys() & config[section].keys()
    config["training"]["clip_norm"] = None  # retired, where it made no difference
    assert identity.find_differences(make_result(config=config)) == []


def test_every_changed_key_but_names_is_named_with_both_values(tiny_spec, identity, make_result):
    other = tiny_spec.model_copy(update={"experiment": "a", "label": "b"})
    assert other.name == "a_b_L2_K8"
    assert identity.find_differences(make_result(spec=other)) == []
    assert Identity.of(other, 0).hash_parts() == identity.hash_parts()
    config = change(other.describe(0), "training", lr=0.5, cutout=4)
    config = change(config, "architecture", pool_every=2)
    assert identity.find_differences(make_result(config=config)) == [
        "architecture.pool_every: was 2, is 1",
        "training.cutout: was 4, is 0",
        "training.lr: was 0.5, is 0.003",
    ]
    second = Identity.of(tiny_spec, 1)
    assert second.find_differences(make_result()) == ["seed: was 0, is 1"]
    assert second.hash_parts()["spec_hash"] != identity.hash_parts()["spec_hash"]


def test_a_config_that_is_not_valid_any_more_is_a_difference(tiny_spec, identity, make_result):
    config = change(tiny_spec.describe(0), "training", clip_norm=1.0)
    (reason,) = identity.find_differences(make_result(config=config))
    assert "no longer valid" in reason
    assert "training.clip_norm" in reason


def test_changed_added_and_removed_modules_are_named(identity, make_result):
    code = {**identity.code, "hw2core.engine.run": "0", "hw2core.gone": "0"}
    del code["hw2core.training"]
    expected = ["code of hw2core.engine.run, hw2core.gone, hw2core.training changed"]
    assert identity.find_differences(make_result(code=code)) == expected
    assert identity.find_code_differences(make_result(code=code)) == expected
    assert identity.find_other_differences(make_result(code=code)) == []
    (reason,) = identity.find_code_differences(make_result(code={**code, "hw2core.older": "0"}))
    assert reason == "code of hw2core.engine.run, hw2core.gone and 2 more modules changed"


def test_changed_data_are_noticed_once_they_are_prepared(identity, make_result):
    assert identity.data_sha256 is None
    assert identity.find_differences(make_result(data_sha256="abc")) == []
    changed = replace(identity, data_sha256="def")
    assert changed.find_differences(make_result(data_sha256="abc")) == ["the prepared data changed"]


@pytest.mark.parametrize("file", [paths.result_path, paths.weights_path])
def test_a_missing_or_damaged_run_is_not_current(tiny_spec, write_run, file):
    assert explain_result(tiny_spec, 0) == ["not trained yet"]
    write_run()
    assert explain_result(tiny_spec, 0) == []
    path = Path(file(tiny_spec.name, 0))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    (reason,) = explain_result(tiny_spec, 0)
    assert str(path) in reason


def test_a_damaged_manifest_makes_no_result_stale(tiny_spec, write_run):
    write_run()
    manifest = Path(paths.manifest_path(tiny_spec.data.folder))
    manifest.parent.mkdir(parents=True)
    for text in ("", "{", '{"format": 1, "sha256": "def"}'):
        manifest.write_text(text)
        assert explain_result(tiny_spec, 0) == []


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, []),
        (OF_40, ["data.test: was 40, is 100"]),  # a call stopped between the two
        ({"code": "0"}, ["the code of the evaluation changed"]),
        ({"code": None}, ["the code of the evaluation changed"]),
        ({"run_code": "0"}, ["the code of the run changed"]),
        ({"run_code": None}, []),  # by an older version
        ({"data_sha256": "0"}, ["the prepared data changed"]),
        ({"weights_sha256": "0"}, ["its weights are not those of the result"]),
    ],
)
def test_an_evaluation_is_current_until_what_it_depends_on_changes(
    tiny_spec, write_run, make_evaluation, changes, reasons
):
    evaluation = make_evaluation(write_run(), **changes)
    write_evaluation(paths.evaluation_path(tiny_spec.name, 0), evaluation)
    assert explain_evaluation(tiny_spec, 0) == reasons
    assert explain_result(tiny_spec, 0) == []


def test_another_accuracy_per_class_makes_evaluations_stale(tiny_spec, write_run, monkeypatch):
    """Its code is not hashed with that of the evaluation, but checks each that is read."""
    write_run()
    assert explain_evaluation(tiny_spec, 0) == []
    monkeypatch.setattr(values, "measure_class_accuracy", lambda confusion: [50.0] * len(confusion))
    (reason,) = explain_evaluation(tiny_spec, 0)
    assert "class_accuracy" in reason


def test_an_evaluation_that_cannot_be_made_again_is_current_unless_of_other_weights(
    tiny_spec, write_run, make_evaluation
):
    result = write_run(weights=False)
    assert explain_result(tiny_spec, 0) == explain_evaluation(tiny_spec, 0) == []
    path = paths.evaluation_path(tiny_spec.name, 0)
    write_evaluation(path, make_evaluation(result, **OF_40, code=None, data_sha256="0"))
    assert explain_evaluation(tiny_spec, 0) == []
    write_evaluation(path, make_evaluation(result, weights_sha256="0"))
    assert explain_evaluation(tiny_spec, 0) == ["its weights are not those of the result"]
    # An older result holds an evaluation of its own, which does not make the file a good one.
    files.write_single_file(
        paths.result_path(tiny_spec.name, 0), result, make_evaluation(result, weights_sha256=None)
    )
    assert explain_evaluation(tiny_spec, 0) == ["not the evaluation in the result"]
    Path(path).write_text("{")
    (reason,) = explain_evaluation(tiny_spec, 0)
    assert path in reason


def test_results_of_different_images_are_not_compared(make_result, specify):
    """As those of two people whose own data sets have one name; no images are prepared here."""
    ours, theirs = make_result(), make_result(seed=1, data_sha256="0e" * 32)
    other = specify().data.model_copy(update={"source_train": 500, "train": 400})
    elsewhere = make_result(
        spec=specify().model_copy(update={"data": other}), data_sha256="0d" * 32
    )
    refuse_mixed_images([ours, ours, elsewhere])
    with pytest.raises(UserError, match=r"seed0\.json and .*seed1\.json: trained on"):
        refuse_mixed_images([ours, elsewhere, theirs])
