from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw2core import experiments, result_files
from hw2core.command_line import parse_cli
from hw2core.config_file import ConfigError
from hw2core.experiments import load_experiment, run, run_experiment
from hw2core.spec import hash_config
from hw2core.staleness import Provenance, explain

DATA = {"name": "generated", "pool": 120, "test_pool": 40, "train": 80, "validation": 40} | {
    "test": 40
}
SHORT = {"batches": 2, "epochs": 1, "bs_train": 20, "data": DATA, "device": "cpu"}
SMALL = {"filters_per_layer": [4, 6], "layers_per_block": 2, "pool_every": 2, "hidden_dims": [8]}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_result_document_is_current_the_moment_it_is_written(tiny_spec, tiny_data, tmp_path):
    document, _ = run(tiny_spec, 0, tiny_data, device="cpu")
    path = tmp_path / "seed0.json"
    result_files.write_result(path, document)
    read = result_files.read_result(path)
    wanted = Provenance(tiny_spec.describe(0), Provenance.of(tiny_spec, 0).code, tiny_data.sha256)
    assert explain(read, wanted) == []
    metadata = read["metadata"]
    assert metadata["spec_hash"] == hash_config(read["config"])
    assert metadata["study_size"] is False
    assert {"versions", "git_commit", "processor", "device", "code_hash"} <= metadata.keys()


def test_run_experiment_writes_what_load_experiment_reads(capsys):
    fit = run_experiment("test", "out", seed=0, **SMALL, **SHORT)
    config, read = load_experiment("out/test_L2_K4-6.json")
    assert read == fit
    assert config["seed"] == 0
    assert config["architecture"]["filters_per_layer"] == [4, 6]
    assert config["training"]["batches"] == 2
    assert config["training"]["batch_size"] == 20
    assert "epoch 1/1" in capsys.readouterr().err


def test_a_suffix_is_not_doubled():
    run_experiment("test_L2_K4-6", "out", seed=0, **SMALL, **SHORT)
    assert [path.name for path in Path("out").iterdir()] == ["test_L2_K4-6.json"]


def test_seed_zero_is_a_seed_and_none_draws_one():
    first = run_experiment("a", "out", seed=0, **SMALL, **SHORT)
    assert run_experiment("b", "out", seed=0, **SMALL, **SHORT) == first
    assert run_experiment("c", "out", seed=None, **SMALL, **SHORT) != first
    assert load_experiment("out/c_L2_K4-6.json")[0]["seed"] > 0


def test_further_keywords_reach_the_model():
    run_experiment("r", "out", seed=0, model_type="resnet", batchnorm=True, **SMALL, **SHORT)
    config, _ = load_experiment("out/r_L2_K4-6.json")
    assert config["architecture"]["batchnorm"] is True


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("lr", -1.0, ["lr", "-1.0", "greater than 0"]),
        ("pool_every", 0, ["pool_every", "0"]),
        ("model_type", "vgg", ["model", "'vgg'", "cnn, resnet, ycn, mlp"]),
        ("epochs", 0, ["epochs", "at least 1"]),
        ("hidden_dims", [0], ["at least 1"]),
    ],
)
def test_wrong_arguments_are_named(argument, value, words):
    with pytest.raises(ConfigError) as caught:
        run_experiment("x", "out", **{**SMALL, **SHORT, argument: value})
    assert len(caught.value.lines) == 1
    for word in words:
        assert word in str(caught.value)
    assert not Path("out").exists()


def test_the_command_line_of_the_course():
    line = "run-exp -n test -K 32 64 -L 2 -P 2 -H 100"
    assert parse_cli(line.split()) == {
        "run_name": "test",
        "filters_per_layer": [32, 64],
        "layers_per_block": 2,
        "pool_every": 2,
        "hidden_dims": [100],
    }
    more = "--epochs 1 --batches 20 -s 0 -d cpu --lr 0.01 --reg 0 --early-stopping 2 -M resnet"
    given = parse_cli([*line.split(), *more.split(), "--bs-train", "16", "--bs-test", "8"])
    assert (given["seed"], given["reg"], given["model_type"]) == (0, 0.0, "resnet")
    assert (given["bs_train"], given["bs_test"], given["batches"]) == (16, 8, 20)


def test_every_option_is_an_argument_of_run_experiment():
    import inspect

    line = "run-exp -n t -K 1 -L 1 -P 1 -H 1 -o o -s 1 -d d --bs-train 1 --bs-test 1 --batches 1"
    line += " --epochs 1 --early-stopping 1 --checkpoints c --lr 1 --reg 1 -M m"
    assert set(parse_cli(line.split())) <= set(inspect.signature(run_experiment).parameters)


def test_a_wrong_command_line_ends_in_one_line(monkeypatch, capsys):
    arguments = ["run-exp", "-n", "t", "-K", "4", "-L", "2", "-P", "1", "-H", "8", "--lr", "-1"]
    monkeypatch.setattr("sys.argv", ["experiments", *arguments])
    assert experiments.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "lr" in error


def test_a_result_is_a_small_file():
    run_experiment("test", "out", seed=0, **SMALL, **SHORT)
    path = Path("out/test_L2_K4-6.json")
    assert path.stat().st_size < 100_000
    assert len(json.loads(path.read_text())["results"]["train_loss"]) == 1
