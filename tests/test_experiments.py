from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from hw2core import experiments
from hw2core.config.errors import ConfigError
from hw2core.config.spec import RunSpec
from hw2core.experiments import load_experiment, parse_cli, run_experiment
from hw2core.runs import files

DATA = {"name": "generated", "source_train": 120, "source_test": 40} | {
    "train": 80,
    "validation": 40,
    "test": 40,
}
SHORT = {"batches": 2, "epochs": 1, "bs_train": 20, "data": DATA, "device": "cpu"}
SMALL = {"filters_per_layer": [4, 6], "layers_per_block": 2, "pool_every": 2, "hidden_dims": [8]}


pytestmark = pytest.mark.usefixtures("in_folder")


def test_run_experiment_writes_what_load_experiment_reads(capsys):
    fit = run_experiment("test", "out", seed=0, **SMALL, **SHORT)
    config, read = load_experiment("out/test_L2_K4-6.json")
    assert read == fit
    assert config["seed"] == 0
    assert config["architecture"]["filters_per_layer"] == [4, 6]
    assert config["training"]["batches"] == 2
    assert config["training"]["batch_size"] == 20
    assert "epoch 1/1" in capsys.readouterr().err


def test_the_one_file_holds_result_evaluation_and_the_right_digest():
    fit = run_experiment("test", "out", seed=0, **SMALL, **SHORT)
    assert [path.name for path in Path("out").iterdir()] == ["test_L2_K4-6.json"]
    document = json.loads(Path("out/test_L2_K4-6.json").read_text())
    assert document.keys() == {"config", "results", "metadata"}
    assert document["results"] == fit._asdict()
    metadata = document["metadata"]
    assert metadata["format"] == 2
    assert Path("out/test_L2_K4-6.json").stat().st_size < 100_000
    digest = metadata.pop("digest")
    assert digest == files.hash_content(document)
    # "test" in the curves is the validation split, at the best epoch; the test images are apart.
    best = metadata["best_epoch"] - 1
    assert metadata["validation_accuracy"] == fit.test_acc[best]
    assert metadata["validation_loss"] == fit.test_loss[best]
    assert sum(map(sum, metadata["confusion"])) == DATA["test"]
    correct = sum(row[label] for label, row in enumerate(metadata["confusion"]))
    assert metadata["test_accuracy"] == 100 * correct / DATA["test"]
    environment = {"versions", "git_commit", "processor", "device", "threads"}
    assert environment | {"code", "code_hash", "spec_hash", "data_sha256"} <= metadata.keys()


def test_the_test_images_have_no_part_in_the_fit():
    fit = run_experiment("a", "out", seed=0, **SMALL, **SHORT)
    fewer = {**SHORT, "data": DATA | {"test": 10}}
    assert run_experiment("b", "out", seed=0, **SMALL, **fewer) == fit
    read = files.read_result("out/b_L2_K4-6.json")
    assert read.test.num_images == 10
    assert read.epochs.validation_accuracy == fit.test_acc


def test_a_result_of_the_pipeline_is_loaded_with_validation_as_test(make_result):
    result = make_result()
    files.write_result("results/tiny_L2_K8/seed0.json", result)
    config, fit = load_experiment("results/tiny_L2_K8/seed0.json")
    assert RunSpec.from_config(config).describe(0) == config
    assert (fit.num_epochs, fit.train_loss, fit.train_acc) == (2, [1.5, 1.0], [40.0, 60.0])
    assert (fit.test_loss, fit.test_acc) == ([1.6, None], [39.0, 55.0])


def test_a_damaged_file_is_named():
    Path("x.json").write_text("{")
    with pytest.raises(files.ResultError, match=r"x\.json: .*damaged"):
        load_experiment("x.json")


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
        ("seed", -1, ["seed", "-1", "0 to 2**64 - 1"]),
        ("seed", 2**64, ["seed", "0 to 2**64 - 1"]),
    ],
)
def test_wrong_arguments_are_named(argument, value, words):
    with pytest.raises(ConfigError) as caught:
        run_experiment("x", "out", **{**SMALL, **SHORT, argument: value})
    assert len(caught.value.lines) == 1
    for word in words:
        assert word in str(caught.value)
    assert not Path("out").exists()


def test_a_name_that_is_no_file_name_is_refused():
    with pytest.raises(ConfigError, match=r"name: .*'\.\./x_L2_K4-6'"):
        run_experiment("../x", "out", **SMALL, **SHORT)


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
