"""Revalidation of results; that of a real study is in tests/workflow/test_revalidation.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hw2core.config.architectures import IN_SIZE
from hw2core.config.reading import read_config
from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT, STUDY_FILE, load_study
from hw2core.data.datasets import prepare
from hw2core.data.prepared import read_manifest
from hw2core.data.registry import DATA_SETS
from hw2core.engine.run import EVALUATION_BATCH, build_trainer
from hw2core.errors import UserError
from hw2core.runs import paths, revalidate, tiny
from hw2core.runs.code_hash import NETWORKS
from hw2core.runs.files import hash_content, read_result, read_run, write_result
from hw2core.runs.rebuild import check_network
from hw2core.runs.schema import RESULT_FORMAT, Epochs, Result
from hw2core.runs.staleness import Identity, explain_evaluation
from hw2core.runs.tiny import (
    BATCH_SIZE,
    BATCHES,
    IMAGES,
    find_difference,
    run_tiny,
    shrink_spec,
    word_spec,
)
from hw2core.runs.weights import write_weights

COMMIT, OLDER = "c" * 40, "a" * 40


def test_a_commit_named_by_a_result_is_never_an_option(tmp_path):
    """Its name is what somebody wrote: --remote=... would fetch and run another's code."""
    comparer = revalidate.Comparer(tmp_path, None, None)
    for name in ("--remote=/elsewhere", "--output=pwned", "-h", "", "HEAD-dirty", "0" * 40):
        with pytest.raises(UserError, match="not a commit of this repository"):
            comparer._unpack_commit(name)
    assert list(tmp_path.rglob("pwned")) == []


@pytest.fixture
def report(monkeypatch) -> list[str]:
    """What is reported, where every commit exists that is not dirty."""

    def unpack(self, name: str) -> tuple[str, Path]:
        if name.endswith("-dirty"):
            raise UserError(f"commit {name}: not a valid object name")
        return name, Path(name)

    monkeypatch.setattr(revalidate.Comparer, "_unpack_commit", unpack)
    return []


@pytest.fixture
def train_tiny(monkeypatch, make_result, make_evaluation):
    """Sets what tiny runs give: with the code of a commit, and with today's."""

    def use(old_code: dict[str, str], **old: object) -> list[Path]:
        calls = []

        def run(checkout: Path, spec: RunSpec, *_: Path) -> Result:
            calls.append(checkout)
            today = checkout == revalidate.CHECKOUT
            changes = {} if today else {**old, "code": {"hw2core.data.generated": "0", **old_code}}
            result = make_result(spec=spec, **changes)
            return result.model_copy(update={"test": make_evaluation(result)})

        monkeypatch.setattr(revalidate, "run_tiny", run)
        monkeypatch.setattr(revalidate, "check_network", lambda result, identity: None)
        return calls

    return use


def stale_code(spec: RunSpec) -> dict[str, str]:
    return {**Identity.of(spec, 0).code, "hw2core.engine.run": "0a"}


@pytest.fixture
def write_stale(tiny_spec, write_run, make_result):
    """Writes a result of the tiny run that is stale by code alone."""

    def write(commit: str | None = COMMIT, **changes: object):
        environment = make_result().environment.model_copy(update={"git_commit": commit})
        values = {"code": stale_code(tiny_spec), "code_hash": "0a", **changes}
        return write_run(environment=environment.model_dump(), **values)

    return write


def test_a_revalidated_result_keeps_all_but_its_hashes(tiny_spec, write_stale, train_tiny, report):
    before = write_stale()
    train_tiny(before.code)
    counts = revalidate.revalidate([(tiny_spec, 0), (tiny_spec, 1)], report.append)
    assert counts == {"revalidated": 1, "kept": 1}
    after = read_run(tiny_spec.name, 0)
    assert Identity.of(tiny_spec, 0).find_differences(after) == []
    assert after.test is not None
    hashes = {"code", "code_hash", "spec_hash", "revalidated"}
    assert after.model_dump(exclude=hashes) == before.model_dump(exclude=hashes)
    assert explain_evaluation(tiny_spec, 0) == []
    again = revalidate.revalidate([(tiny_spec, 0)], report.append)
    assert again == {"kept": 1}


def test_what_another_call_revalidates_meanwhile_is_kept(
    tiny_spec, write_stale, train_tiny, report, monkeypatch
):
    train_tiny(write_stale().code)
    compare = revalidate.Comparer.compare

    def compare_beside_another(self, result, identity):
        note = compare(self, result, identity)
        with monkeypatch.context() as patch:
            patch.setattr(revalidate.Comparer, "compare", compare)
            assert revalidate.revalidate([(tiny_spec, 0)], report.append) == {"revalidated": 1}
        return note

    monkeypatch.setattr(revalidate.Comparer, "compare", compare_beside_another)
    assert revalidate.revalidate([(tiny_spec, 0)], report.append) == {"kept": 1}
    assert len(read_run(tiny_spec.name, 0).revalidated) == 1


def test_code_that_a_commit_does_not_have_is_refused(tiny_spec, write_stale, train_tiny, report):
    stale = write_stale(commit="c-dirty")
    train_tiny({**stale.code, "hw2core.engine.optim": "0c"})
    assert revalidate.revalidate([(tiny_spec, 0)], report.append, COMMIT) == {"refused": 1}
    assert f"the code of {COMMIT} did not make it" in report[0]
    assert read_result(paths.result_path(tiny_spec.name, 0)).revalidated == []
    train_tiny(stale.code)
    assert revalidate.revalidate([(tiny_spec, 0)], report.append, COMMIT) == {"revalidated": 1}


@pytest.mark.parametrize("module", ["hw2core.data.generated", "hw2core.data.arrays"])
def test_a_changed_reader_has_to_generate_the_images_of_the_result(
    tiny_spec, write_stale, train_tiny, report, module
):
    """Both tiny runs are trained on images that today's code prepares."""
    prepared = prepare(tiny_spec.data, Path("prepared"))
    code = stale_code(tiny_spec) | {module: "0f"}
    calls = train_tiny(write_stale(code=code, data_sha256="0e").code)
    assert revalidate.revalidate([(tiny_spec, 0)], report.append) == {"refused": 1}
    assert report[0].endswith(f"{module}: the generated images are others; train again")
    assert calls == []
    write_stale(code=code, data_sha256=read_manifest(prepared).sha256)
    assert revalidate.revalidate([(tiny_spec, 0)], report.append) == {"revalidated": 1}, report


@pytest.mark.parametrize("module", ["hw2core.data.generated", "hw2core.data.arrays"])
def test_the_code_that_reads_original_files_has_to_be_equal(
    tiny_spec, write_stale, train_tiny, report, monkeypatch, module
):
    """A tiny run may have its modules, but its images are generated."""
    entry = DATA_SETS["generated"]._replace(sizes=(400, 100), files=("mine.npz",))
    monkeypatch.setitem(DATA_SETS, "mine", entry)
    spec = tiny_spec.model_copy(update={"data": tiny_spec.data.model_copy(update={"name": "mine"})})
    calls = train_tiny(write_stale(spec=spec, code=stale_code(spec) | {module: "0f"}).code)
    assert revalidate.revalidate([(spec, 0)], report.append) == {"refused": 1}
    assert report[0].endswith(f"{module}: reads the images, and changed; train again")
    assert calls == []
    write_stale(spec=spec, code=stale_code(spec) | {"hw2core": "0f"})
    train_tiny({**stale_code(spec), "hw2core": "0f"})
    assert revalidate.revalidate([(spec, 0)], report.append) == {"revalidated": 1}, report


def test_the_arguments_that_made_a_result_have_to_be_those_of_its_commit(
    tiny_spec, write_stale, train_tiny, report, monkeypatch
):
    """Of a dirty commit, as they may not be; of other classes, tiny runs do not have them."""
    stale = write_stale()
    train_tiny({**stale.code, NETWORKS: "0b"})
    assert revalidate.revalidate([(tiny_spec, 0)], report.append) == {"refused": 1}
    assert "did not make it" in report[0]
    monkeypatch.setitem(DATA_SETS, "four", DATA_SETS["generated"]._replace(num_classes=4))
    data = tiny_spec.data.model_copy(update={"name": "four"})
    spec = tiny_spec.model_copy(update={"data": data})
    for arguments, outcome in (("0b", "refused"), (None, "revalidated")):
        code = stale_code(spec) | ({NETWORKS: arguments} if arguments else {})
        train_tiny(write_stale(spec=spec, code=code).code)
        assert revalidate.revalidate([(spec, 0)], report.append) == {outcome: 1}, report
    assert report[1].endswith("class or arguments of the network changed; train again")


def test_todays_network_has_to_be_that_of_the_result(tiny_spec, make_result, in_folder):
    trainer = build_trainer(tiny_spec, torch.device("cpu"), num_steps=1)
    costs = trainer.count_costs(IN_SIZE)._asdict()
    identity, weights = Identity.of(tiny_spec, 0), Path(paths.weights_path(tiny_spec.name, 0))
    check_network(make_result(**costs), identity)
    parameters = costs["parameters"]
    with pytest.raises(UserError, match=f"other parameters: was 10, is {parameters}; train"):
        check_network(make_result(**costs | {"parameters": 10}), identity)
    write_weights(weights, trainer.get_weights())
    check_network(make_result(**costs), identity)
    write_weights(weights, {"a": torch.ones(3)})
    with pytest.raises(UserError, match="not the weights of a cnn network"):
        check_network(make_result(**costs), identity)


def test_a_second_refactoring_is_compared_with_the_code_that_trained(
    tiny_spec, write_stale, train_tiny, report
):
    note = {"commit": OLDER, "date": "2026-01-31", "compared": "a network"}
    write_stale(commit="c-dirty", revalidated=[note])
    train_tiny({"hw2core.engine.run": "0d"})
    assert revalidate.revalidate([(tiny_spec, 0)], report.append) == {"revalidated": 1}
    notes = read_result(paths.result_path(tiny_spec.name, 0)).revalidated
    assert [note.commit for note in notes] == [OLDER, OLDER]


def test_a_named_commit_takes_the_place_of_one_that_is_gone(
    tiny_spec, write_stale, train_tiny, report
):
    note = {"commit": "gone-dirty", "date": "2026-01-31", "compared": "a network"}
    stale = write_stale(revalidated=[note])
    train_tiny(stale.code)
    assert revalidate.revalidate([(tiny_spec, 0)], report.append) == {"refused": 1}
    train_tiny({**stale.code, "hw2core.engine.optim": "0c"})
    assert revalidate.revalidate([(tiny_spec, 0)], report.append, COMMIT) == {"refused": 1}
    assert f"the code of {COMMIT} did not make it" in report[-1]
    train_tiny(stale.code)
    assert revalidate.revalidate([(tiny_spec, 0)], report.append, COMMIT) == {"revalidated": 1}
    notes = read_result(paths.result_path(tiny_spec.name, 0)).revalidated
    assert [note.commit for note in notes] == ["gone-dirty", COMMIT]


def test_a_commit_that_is_compared_again_is_not_that_of_newer_results(
    tiny_spec, write_stale, make_result, make_evaluation, report, monkeypatch
):
    """They were trained after the revalidation, by the commit that they name."""
    note = {"commit": OLDER, "date": "2026-01-31", "compared": "a network"}
    code = write_stale(commit=OLDER, revalidated=[note]).code
    write_stale(seed=1)
    codes = {Path(OLDER): {**code, "hw2core.engine.run": "0d"}, Path(COMMIT): code}

    def run(checkout: Path, spec: RunSpec, *_: object) -> Result:
        changes = {"code": codes[checkout]} if checkout in codes else {}
        result = make_result(spec=spec, **changes)
        return result.model_copy(update={"test": make_evaluation(result)})

    monkeypatch.setattr(revalidate, "run_tiny", run)
    monkeypatch.setattr(revalidate, "check_network", lambda result, identity: None)
    pairs = [(tiny_spec, 0), (tiny_spec, 1)]
    assert revalidate.revalidate(pairs, report.append) == {"revalidated": 2}, report


def test_a_named_commit_changes_nothing_for_results_whose_own_is_there(
    tiny_spec, write_stale, train_tiny, report
):
    note = {"commit": OLDER, "date": "2026-01-31", "compared": "a network"}
    write_stale(revalidated=[note])
    train_tiny({"hw2core.engine.run": "0d"})
    assert revalidate.revalidate([(tiny_spec, 0)], report.append, COMMIT) == {"revalidated": 1}


def test_a_wrong_commit_of_one_result_is_not_used_for_others(
    tiny_spec, write_stale, train_tiny, report, monkeypatch
):
    train_tiny(write_stale(commit=OLDER).code)
    write_stale(seed=1)
    run = revalidate.run_tiny

    def fail(checkout: Path, *arguments: object) -> Result:
        if checkout == Path(OLDER):
            raise UserError("train.py ends with status 1")
        return run(checkout, *arguments)

    monkeypatch.setattr(revalidate, "run_tiny", fail)
    counts = revalidate.revalidate([(tiny_spec, 0), (tiny_spec, 1)], report.append)
    assert counts == {"refused": 1, "revalidated": 1}
    assert f"commit {OLDER}: train.py ends with status 1; name the commit" in report[0]


def test_results_of_the_same_code_are_compared_once(specify, write_stale, train_tiny, report):
    short, long = specify(), specify(epochs=5)
    long = long.model_copy(update={"experiment": "long"})
    spec = {"config": long.describe(0), "spec_hash": long.hash_identity(0)}
    calls = train_tiny(write_stale().code)
    write_stale(seed=1, commit=OLDER)
    weights = Path(paths.weights_path(long.name, 0))
    weights.parent.mkdir()
    shutil.copy(paths.weights_path(short.name, 0), weights)
    write_result(paths.result_path(long.name, 0), write_stale(**spec))
    write_stale()
    pairs = [(short, 0), (short, 1), (long, 0)]
    assert revalidate.revalidate(pairs, report.append) == {"revalidated": 3}
    assert [path.name for path in calls] == [COMMIT, revalidate.CHECKOUT.name]
    for seed, line in enumerate(report[:2]):
        assert line.startswith(
            f"revalidated: tiny_L2_K8 seed {seed}: tiny_L2_K8 (cnn, adamw, fp32), seed 1"
        )


def test_other_differences_than_code_are_left_alone(tiny_spec, write_stale, report):
    write_stale(data_sha256="0e")
    training = tiny_spec.training.model_copy(update={"lr": 0.5})
    spec = tiny_spec.model_copy(update={"training": training})
    counts = revalidate.revalidate([(spec, 0)], report.append)
    assert (counts, report) == ({"kept": 1}, [])
    Path(paths.result_path(tiny_spec.name, 0)).write_text("{")
    assert revalidate.revalidate([(tiny_spec, 0)], report.append) == counts


def test_code_that_is_not_found_or_cannot_train_is_refused(
    tiny_spec, write_stale, report, monkeypatch
):
    def fail(*_: object) -> Result:
        raise UserError("train.py ends with status 1: no")

    monkeypatch.setattr(revalidate, "run_tiny", fail)
    write_stale()
    pairs = [(tiny_spec, 0), (tiny_spec, 1)]
    write_stale(seed=1, commit="c-dirty", code_hash="0b")
    assert revalidate.revalidate(pairs, report.append) == {"refused": 2}
    assert report == [
        f"refused: tiny_L2_K8 seed 0: commit {COMMIT}: train.py ends with status 1: no; "
        f"{revalidate.WAY_OUT}",
        "refused: tiny_L2_K8 seed 1: commit c-dirty: not a valid object name",
    ]
    with pytest.raises(UserError, match="commit c-dirty: not a valid"):
        revalidate.revalidate(pairs, report.append, "c-dirty")


def test_an_old_result_is_converted_and_its_evaluation_gets_a_file(train_tiny, report, in_folder):
    document = json.loads(Path(__file__).with_name("format2.json").read_text())
    name, seed = document["config"]["name"], document["config"]["seed"]
    spec = RunSpec.from_config(document["config"])
    metadata = document["metadata"]
    metadata["code"]["hw2core.data.generated"] = Identity.of(spec, seed).code[
        "hw2core.data.generated"
    ]
    del metadata["digest"]
    metadata["digest"] = hash_content(document)
    path = Path(paths.result_path(name, seed))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    old = read_result(path)
    train_tiny(old.code)
    counts = revalidate.revalidate([(spec, seed)], report.append, COMMIT)
    assert counts == {"revalidated": 1}, report
    assert json.loads(path.read_text())["format"] == RESULT_FORMAT
    result = read_run(name, seed)
    assert Identity.of(spec, seed).find_differences(result) == []
    assert result.config == spec.describe(seed)
    assert (result.test, result.test.code) == (old.test, None)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_every_run_of_the_study_has_a_tiny_version(make_result, monkeypatch, has_bf16):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bf16})
    bf16 = make_result().environment.model_copy(update={"precision": "bf16"}).model_dump()
    for spec in load_study(read_config(STUDY_FILE)).runs.values():
        changes = {} if spec.model == "mlp" else {"environment": bf16}
        tiny = shrink_spec(make_result(spec=spec, **changes))
        assert tiny.training.precision == ("bf16" if changes and has_bf16 else "fp32")
        assert (tiny.training.epochs, tiny.data.name) == (2, "generated")
        kept = {"schedule", "optimizer", "flip", "translate", "cutout", "label_smoothing"}
        assert tiny.training.model_dump(include=kept) == spec.training.model_dump(include=kept)
        rates = [
            x.lr / x.batch_size if x.optimizer == "sgd" else x.lr
            for x in (tiny.training, spec.training)
        ]
        assert rates[0] == pytest.approx(rates[1])
        assert (tiny.training.average > 0) == (spec.training.average > 0)
        assert tiny.architecture == spec.architecture


def test_code_before_the_evaluation_script_gets_the_names_that_it_reads(tiny_spec, tmp_path):
    old, new = (
        json.loads(word_spec(tiny_spec, tmp_path)),
        json.loads(word_spec(tiny_spec, CHECKOUT)),
    )
    assert RunSpec.model_validate(new) == tiny_spec
    assert (old["name"], old["data"]["pool"], old["data"]["test_pool"]) == ("tiny_L2_K8", 400, 100)
    assert "source_train" not in old["data"]


@pytest.fixture
def make_tiny(make_result, make_evaluation) -> Callable[..., Result]:
    """Builds what a tiny run gives, with other fields of its evaluation and of its result."""

    def make(test: dict[str, object] | None = None, **changes: object) -> Result:
        epochs = {key: [55.0, 55.0] for key in Epochs.model_fields}
        result = make_result(**{"epochs": epochs, **changes})
        return result.model_copy(update={"test": make_evaluation(result, **(test or {}))})

    return make


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, None),
        ({"parameters": 11}, "parameters: was 10, is 11"),
        ({"best_epoch": 2}, "best epoch: was 1, is 2"),
        ({"weights_sha256": "a"}, "hash of the weights: was None, is a"),
        ({"test": {"loss": 0.25}}, "test loss: was 0.5, is 0.25"),
        ({"test": {"calibration_error": 4.0}}, "calibration error: was 3.0, is 4.0"),
        ({"test": {"mistakes": []}}, "mistakes: was [Mistake(index=3, label=1, predicted=0, "),
        ({"test": {"mistakes": [], "code": "0a"}}, None),
    ],
)
def test_the_first_difference_is_named(changes, place, make_tiny):
    found = find_difference(make_tiny(), make_tiny(**changes))
    assert (found or "").startswith(place or "")
    assert (found is None) == (place is None)


def test_a_loss_that_is_not_finite_is_no_comparison(make_tiny):
    epochs = {key: [55.0, 55.0] for key in Epochs.model_fields} | {"train_loss": [55.0, None]}
    found = find_difference(make_tiny(epochs=epochs), make_tiny(epochs=epochs))
    assert found.startswith("train_loss of the tiny run: not finite")


def test_a_tiny_run_is_trained_with_seed_1(tiny_spec, monkeypatch, tmp_path):
    def stop(checkout: Path, script: str, *options: str | Path) -> None:
        raise UserError(f"{script} {options[2:4]}")

    monkeypatch.setattr(tiny, "_run_script", stop)
    with pytest.raises(UserError, match=r"train\.py \('--seed', '1'\)"):
        run_tiny(CHECKOUT, tiny_spec, tmp_path / "manifest.json", tmp_path)


def test_an_evaluation_of_a_tiny_run_has_several_batches_and_a_short_one():
    for images in (IMAGES.validation, IMAGES.test):
        assert EVALUATION_BATCH < images < 2 * EVALUATION_BATCH
    assert IMAGES.train > BATCH_SIZE * BATCHES
    assert IMAGES.train % BATCH_SIZE
