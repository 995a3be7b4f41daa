"""Loading a trained network from a result folder, and the one that is published."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hw2core
from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT
from hw2core.data.datasets import prepare
from hw2core.data.loader import Loader
from hw2core.data.prepared import load_prepared
from hw2core.engine.run import build_trainer
from hw2core.errors import UserError
from hw2core.runs import paths
from hw2core.runs.files import read_evaluation, read_result, write_evaluation, write_result
from hw2core.runs.make import make_evaluation, make_result
from hw2core.runs.weights import check_weights, read_weights, write_weights
from hw2core.trained import load_network

PUBLISHED = CHECKOUT / paths.REFERENCE
RUN = "exp2_L6_K32-64-128"


@pytest.fixture(scope="module", params=["cnn", "mlp"])
def trained(request, tmp_path_factory):
    """A folder with a trained run and its images; returns it with the run's spec."""
    networks = {
        "cnn": {"filters_per_layer": [4], "layers_per_block": 2, "pool_every": 1},
        "mlp": {"hidden_dims": [8], "wstd": 0.02},
    }
    spec = RunSpec.model_validate(
        {
            "experiment": "own",
            "model": request.param,
            "architecture": {"hidden_dims": []} | networks[request.param],
            "training": {"epochs": 1, "batch_size": 20, "lr": 0.01, "weight_decay": 0}
            | {"optimizer": "adamw" if request.param == "cnn" else "vanilla"}
            | {"schedule": "constant", "precision": "fp32"},
            "data": {"name": "generated", "source_train": 60, "source_test": 20}
            | {"train": 40, "validation": 20, "test": 20},
        }
    )
    folder = tmp_path_factory.mktemp("study")
    manifest = prepare(spec.data, folder / "data" / spec.data.folder)
    data = load_prepared(manifest)
    result, run = make_result(spec, 0, data)
    sha256 = write_weights(folder / paths.weights_path(spec.name, 0), run.weights)
    result = result.model_copy(update={"weights_sha256": sha256})
    write_result(folder / paths.result_path(spec.name, 0), result)
    evaluation = make_evaluation(result, run.weights, data, num_images=20)
    write_evaluation(folder / paths.evaluation_path(spec.name, 0), evaluation)
    return folder, spec


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the folder, to change."""
    shutil.copytree(trained[0], tmp_path / "copy")
    return tmp_path / "copy", trained[1].name


def test_a_network_gives_the_logits_of_its_evaluation(trained):
    folder, spec = trained
    network = load_network(spec.name, folder=folder)
    data = load_prepared(folder / paths.manifest_path(spec.data.folder))
    assert (network.mean, network.std, network.classes) == (data.mean, data.std, data.classes)
    trainer = build_trainer(spec, torch.device("cpu"), 1)
    trainer.load_weights(read_weights(folder / paths.weights_path(spec.name, 0)))
    batches = Loader(
        data.test_images[:5], data.test_labels[:5], batch_size=5, mean=data.mean, std=data.std
    )
    expected, _ = trainer.compute_logits(batches)
    pictures = [Image.fromarray(np.array(image)) for image in data.test_images[:5]]
    found = network.compute_logits(torch.cat([*map(network.normalise, pictures)]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    shares = network.classify(pictures[0].resize((80, 50)).convert("L"))
    assert set(shares) == set(data.classes)
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_the_folder_may_be_that_of_the_results_or_the_working_one(trained, monkeypatch):
    folder, spec = trained
    assert load_network(spec.name, folder=folder / "results").classes
    monkeypatch.chdir(folder)
    assert hw2core.load_network(spec.name).result.name == spec.name


def test_a_run_that_shares_a_result_has_the_weights_of_the_other(copy):
    folder, run = copy
    shutil.move(folder / "results" / run, folder / "results" / "other")
    (folder / "results" / run).mkdir()
    for name in ("seed0.json", "seed0.test.json"):
        shutil.move(folder / "results/other" / name, folder / "results" / run / name)
    path = folder / paths.result_path(run, 0)
    write_result(path, read_result(path).model_copy(update={"same_as": "other"}))
    assert load_network(run, folder=folder).result.same_as == "other"


def test_what_is_missing_or_not_of_the_result_is_one_line(copy, monkeypatch, tmp_path):
    folder, run = copy
    monkeypatch.chdir(tmp_path)
    weights, result = folder / paths.weights_path(run, 0), folder / paths.result_path(run, 0)
    with pytest.raises(UserError, match=r"results/exp9/seed0\.json: no such result"):
        load_network("exp9", folder=folder)
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match="not the weights of its result, or damaged"):
        load_network(run, folder=folder)
    weights.unlink()
    with pytest.raises(UserError, match=r"seed0\.safetensors: no weights; train the run"):
        load_network(run, folder=folder)
    sha256 = write_weights(weights, {"a": torch.zeros(3)})
    write_result(result, read_result(result).model_copy(update={"weights_sha256": sha256}))
    with pytest.raises(UserError, match=r"not the weights of a \w+ network"):
        load_network(run, folder=folder)
    weights.write_bytes(content)
    write_result(result, read_result(result).model_copy(update={"weights_sha256": None}))
    assert load_network(run, folder=folder)
    (manifest,) = folder.glob("data/*/manifest.json")
    manifest.unlink()
    with pytest.raises(UserError, match=r"manifest\.json: no manifest of the images of .*seed0"):
        load_network(run, folder=folder)


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
