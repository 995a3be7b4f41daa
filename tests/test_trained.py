"""Loading a trained network from a result folder, and the one that is published."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hw2core
from hw2core.config.spec import Experiment, RunSpec
from hw2core.config.study import CHECKOUT
from hw2core.data.loader import Loader
from hw2core.data.prepared import read_manifest
from hw2core.engine.run import build_trainer
from hw2core.errors import UserError
from hw2core.runs import loaded, paths
from hw2core.runs.code_hash import hash_run_code
from hw2core.runs.files import read_evaluation, read_result, write_result
from hw2core.runs.weights import check_weights, read_weights, write_weights
from hw2core.trained import load_network

PUBLISHED = CHECKOUT / paths.REFERENCE
RUN = "exp2_L6_K32-64-128"


@pytest.fixture(params=["cnn", "mlp"])
def study(request, tiny_values, tiny_manifest, tmp_path, make_result) -> tuple[Path, RunSpec]:
    """A folder with the weights and the result of a run, and the manifest of its images."""
    if request.param == "mlp":
        tiny_values |= {"model": "mlp", "architecture": {"hidden_dims": [8], "wstd": 0.02}}
        tiny_values["training"]["optimizer"] = "vanilla"
    spec, folder = RunSpec.model_validate(tiny_values), tmp_path / "study"
    weights = build_trainer(spec, torch.device("cpu"), num_steps=1).get_weights()
    hashes = {
        "weights_sha256": write_weights(folder / paths.weights_path(spec.name, 0), weights),
        "data_sha256": read_manifest(tiny_manifest).sha256,
    }
    write_result(folder / paths.result_path(spec.name, 0), make_result(spec, **hashes))
    (folder / "data" / spec.data.folder).mkdir(parents=True)
    shutil.copy(tiny_manifest, folder / paths.manifest_path(spec.data.folder))
    return folder, spec


def test_a_network_gives_the_logits_of_its_weights(study, tiny_data):
    folder, spec = study
    network = load_network(spec.name, folder=folder)
    mean, std = tiny_data.mean, tiny_data.std
    assert (network.mean, network.std, network.classes) == (mean, std, tiny_data.classes)
    trainer = build_trainer(spec, torch.device("cpu"), 1)
    trainer.load_weights(read_weights(folder / paths.weights_path(spec.name, 0)))
    images, labels = tiny_data.test_images[:5], tiny_data.test_labels[:5]
    expected, _ = trainer.compute_logits(Loader(images, labels, batch_size=5, mean=mean, std=std))
    pictures = [Image.fromarray(np.array(image)) for image in images]
    found = network.compute_logits(torch.cat([*map(network.normalise, pictures)]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    shares = network.classify(pictures[0].resize((80, 50)).convert("L"))
    assert set(shares) == set(tiny_data.classes)
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_loading_leaves_the_random_numbers_of_a_notebook(study):
    folder, spec = study
    before = torch.get_rng_state()
    load_network(spec.name, folder=folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_other_code_of_the_network_are_loaded_with_a_warning(study):
    folder, spec = study
    path = folder / paths.result_path(spec.name, 0)
    code = hash_run_code(spec)
    module = spec.implementation.partition(":")[0]
    changed = {**code, "hw2core.config.networks": "0", "hw2core.gone": "0"}
    del changed[module]  # the network was in another module then
    for found, warned in ((code, 0), (changed, 1)):
        write_result(path, read_result(path).model_copy(update={"code": found}))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_network(spec.name, folder=folder)
        lines = [str(x.message) for x in caught if "code of" in str(x.message)]
        assert len(lines) == warned
    (named,) = re.findall(r"seed0\.json: code of (.+) changed since the network", lines[0])
    assert named == ", ".join(sorted(["hw2core.config.networks", module]))


def test_a_network_that_was_edited_after_its_import_is_not_used(study, monkeypatch):
    folder, spec = study
    load_network(spec.name, folder=folder)
    monkeypatch.setitem(loaded._known, CHECKOUT / "hw2core/trained.py", b"before")
    with pytest.raises(UserError, match=r"^hw2core/trained\.py: edited after it was imported"):
        load_network(spec.name, folder=folder)


def test_a_picture_is_turned_as_its_exif_says_and_keeps_its_16_bits(tmp_path):
    network = load_network(RUN, folder=PUBLISHED)
    grey = Image.open(PUBLISHED / "data/cifar10/cat.png").convert("L")
    expected = network.normalise(grey)
    deep = np.asarray(grey).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert torch.equal(network.normalise(tmp_path / "deep.png"), expected)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    grey.rotate(90).save(tmp_path / "turned.png", exif=orientation)
    assert torch.equal(network.normalise(tmp_path / "turned.png"), expected)
    for wide in (deep.astype(np.int32), deep.astype(np.float32) / 65535):
        with pytest.raises(UserError, match="pixels of 32 bits"):
            network.classify(Image.fromarray(wide))


def test_the_folder_may_be_that_of_the_results_or_the_working_one(study, monkeypatch):
    folder, spec = study
    assert load_network(spec.name, folder=folder / "results").classes
    monkeypatch.chdir(folder)
    assert hw2core.load_network(spec.name).result.name == spec.name


def test_from_another_folder_the_results_of_the_checkout_come_before_the_published(
    study, monkeypatch, tmp_path
):
    folder, spec = study
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hw2core.trained.CHECKOUT", folder)
    monkeypatch.setattr("hw2core.trained.PUBLISHED", tmp_path)
    assert load_network(spec.name).result.name == spec.name


def test_a_run_that_shares_a_result_has_the_weights_of_the_other(study):
    folder, spec = study
    path, weights = (
        folder / name(spec.name, 0) for name in (paths.result_path, paths.weights_path)
    )
    (folder / "results/other").mkdir()
    shutil.move(weights, folder / "results/other")
    write_result(path, read_result(path).model_copy(update={"same_as": "other"}))
    assert load_network(spec.name, folder=folder).result.same_as == "other"


def test_a_renamed_run_has_its_network_and_a_copied_result_none(study, monkeypatch):
    folder, spec = study
    renamed = spec.model_copy(update={"experiment": "new"})
    (folder / "results" / spec.name).rename(folder / "results" / renamed.name)
    other = renamed.model_copy(
        update={"training": spec.training.model_copy(update={"batch_size": 8})}
    )
    for planned in (spec, other):
        experiment = Experiment("new", "?", "x", "y", (), (), {}, specs={planned.name: planned})
        monkeypatch.setattr("hw2core.trained.load_experiments", lambda e=experiment: [e])
        with pytest.raises(UserError, match=f"the result of another run, .* no {renamed.name} "):
            load_network(renamed.name, folder=folder)
    same = replace(experiment, specs={renamed.name: renamed})
    monkeypatch.setattr("hw2core.trained.load_experiments", lambda: [same])
    assert load_network(renamed.name, folder=folder).result.name == spec.name
    path = folder / paths.result_path(renamed.name, 0)
    path.rename(path.with_name("seed1.json"))
    with pytest.raises(UserError, match=rf"it has to be results/{spec.name}/seed0\.json"):
        load_network(renamed.name, 1, folder=folder)


def test_no_weights_are_called_damaged_where_torch_has_another_default(study):
    folder, spec = study
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(UserError, match=r"^torch\.set_default_dtype\(torch\.float64\): "):
            load_network(spec.name, folder=folder)
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_is_missing_or_not_of_the_result_is_one_line(study, monkeypatch, tmp_path):
    folder, spec = study
    monkeypatch.chdir(tmp_path)
    weights, path = (
        folder / name(spec.name, 0) for name in (paths.weights_path, paths.result_path)
    )
    content, result = weights.read_bytes(), read_result(path)

    def check_refused(problem: str, run: str = spec.name) -> None:
        with pytest.raises(UserError, match=problem) as caught:
            load_network(run, folder=folder)
        assert "\n" not in str(caught.value)

    those = rf"has weights of {RUN}; \S*/results has weights of {spec.name}$"
    check_refused(rf"results/exp9/seed0\.json: no such result; .*{those}", "exp9")
    weights.write_bytes(content[:-1] + b"x")
    check_refused(r"seed0\.safetensors: not the weights of its result, or damaged")
    weights.unlink()
    check_refused(r"seed0\.safetensors: no weights")
    sha256 = write_weights(weights, {"a": torch.zeros(3)})
    write_result(path, result.model_copy(update={"weights_sha256": sha256}))
    check_refused(rf"not the weights of a {spec.model} network")
    weights.write_bytes(content)
    write_result(path, result.model_copy(update={"weights_sha256": None}))
    assert load_network(spec.name, folder=folder)
    write_result(path, result.model_copy(update={"config": result.config | {"model": "vgg"}}))
    check_refused(r"seed0\.json: model: 'vgg'")
    write_result(path, result.model_copy(update={"data_sha256": "0"}))
    check_refused(r"manifest\.json: no manifest of the images of .*seed0")
    write_result(path, result)
    shutil.rmtree(folder / "data")
    check_refused(r"manifest\.json: no manifest of the images of .*seed0")


def test_the_published_network_is_that_of_the_published_result():
    network = load_network(RUN, folder=PUBLISHED)
    check_weights(PUBLISHED / paths.weights_path(RUN, 0), network.result)
    evaluation = read_evaluation(PUBLISHED / paths.evaluation_path(RUN, 0))
    assert evaluation.is_of(network.result)
    assert evaluation.accuracy == 87.99
    assert sum(p.numel() for p in network.model.parameters()) == network.result.parameters


def test_the_lines_of_the_readme_classify_a_picture(monkeypatch, capsys):
    monkeypatch.chdir(CHECKOUT)
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert 'network.normalise(picture),), "network.onnx")' in text
    (code,) = (part for part in text.split("```") if "load_network" in part)
    exec(code.removeprefix("python\n"), {})
    assert capsys.readouterr().out.startswith("{'cat': 0.9")


def test_the_network_is_exported_to_onnx(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from onnx.reference import ReferenceEvaluator

    network = load_network(RUN, folder=PUBLISHED)
    image = network.normalise(PUBLISHED / "data/cifar10/cat.png")
    file = tmp_path / "network.onnx"
    torch.onnx.export(network.model, (image,), file, input_names=["image"])
    onnx.checker.check_model(file)
    (logits,) = ReferenceEvaluator(onnx.load(file)).run(None, {"image": image.numpy()})
    expected = network.model(image).detach().numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    assert Path(file).exists()
