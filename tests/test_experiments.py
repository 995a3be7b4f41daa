from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hw2core import experiments
from hw2core.arguments import make_plain, read_spec
from hw2core.config.errors import ConfigError
from hw2core.config.reading import read_config
from hw2core.config.spec import RunSpec
from hw2core.config.study import STUDY_FILE
from hw2core.errors import UserError
from hw2core.experiments import load_experiment, parse_cli, run_experiment
from hw2core.history import ValidatedFit
from hw2core.io import WriteError
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
    spec = RunSpec.from_config(result.config)
    assert {key: config[key] for key in spec.describe(0)} == spec.describe(0)
    assert (fit.num_epochs, fit.train_loss, fit.train_acc) == (2, [1.5, 1.0], [40.0, 60.0])
    assert (fit.test_loss, fit.test_acc) == ([1.6, None], [39.0, 55.0])


def test_the_arguments_are_keys_of_the_config_too():
    run_experiment("test", "out", seed=0, lr=0.01, **SMALL, **SHORT)
    config, _ = load_experiment("out/test_L2_K4-6.json")
    arguments = inspect.signature(run_experiment).parameters.keys() - {"kw"}
    assert arguments <= config.keys()
    assert {key: config[key] for key in SMALL} == SMALL
    expected = {"run_name": "test", "out_dir": "out", "seed": 0, "lr": 0.01, "reg": 1e-3}
    expected |= {"bs_train": 20, "batches": 2, "epochs": 1, "early_stopping": 3}
    expected |= {"model_type": "cnn", "device": "cpu"}
    assert {key: config[key] for key in expected} == expected
    del config["filters_per_layer"], config["layers_per_block"]  # as the notebook does
    assert config["architecture"]["filters_per_layer"] == [4, 6]


def test_the_keys_of_a_multilayer_perceptron_are_there(make_result, tiny_values):
    architecture = {"hidden_dims": [400], "wstd": 0.01, "dropout": 0.4}
    training = {**tiny_values["training"], "optimizer": "momentum", "momentum": 0.9}
    values = tiny_values | {"model": "mlp", "architecture": architecture, "training": training}
    spec = RunSpec.model_validate({**values, "experiment": "part2"})
    files.write_result("results/part2/seed3.json", make_result(spec, 3))
    config, _ = load_experiment("results/part2/seed3.json")
    keys = ("run_name", "model_type", "hidden_dims", "dropout", "lr", "seed")
    assert [config[key] for key in keys] == ["part2", "mlp", [400], 0.4, 0.003, 3]


CURVES = {"train_loss": [2.0, 1.5, 1.0, 0.5], "train_acc": [30.0, 50]}
CURVES |= {"test_loss": [2.0, float("nan")], "test_acc": [25.0, 40.0]}


def test_a_file_of_the_course_is_loaded_as_it_is():
    config = {"run_name": "exp1_1", "lr": 0.001, "filters_per_layer": [32], "kw": {}}
    document = {"config": config, "results": {"num_epochs": 2, **CURVES, "note": 1}}
    Path("exp1_1_L2_K32.json").write_text(json.dumps(document))
    read, fit = load_experiment(Path("exp1_1_L2_K32.json"))
    assert read == config
    assert fit[:4] == (
        2,
        CURVES["train_loss"],
        CURVES["train_acc"],
        pytest.approx([2.0, math.nan], nan_ok=True),
    )
    assert not isinstance(fit, ValidatedFit)


def without(key):
    results = {k: v for k, v in {"num_epochs": 2, **CURVES}.items() if k != key}
    return json.dumps({"config": {}, "results": results})


def test_losses_in_a_list_per_epoch_are_one_list():
    nested = CURVES | {"train_loss": [[2.0, 1.5], [1.0, 0.5]], "test_loss": [[2.0], [1.0]]}
    document = {"config": {}, "results": {"num_epochs": 2, **nested}}
    Path("x.json").write_text(json.dumps(document))
    _, fit = load_experiment("x.json")
    assert (fit.train_loss, fit.test_loss) == ([2.0, 1.5, 1.0, 0.5], [2.0, 1.0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ('{"config": {', "Expecting property name"),
        ("[1, 2]", "mapping"),
        ('{"cells": [], "nbformat": 4}', "config: missing"),
        (without("test_acc"), "results.test_acc: missing"),
        (without("").replace("25.0", '"25"'), "results.test_acc.0: '25': must be a number"),
        ('{"config": {}, "results": {}, "metadata": {"author": "A"}}', "results.num_epochs"),
    ],
)
def test_a_file_of_others_is_never_called_a_damaged_one_to_delete(text, words):
    for path in (Path("x.json"), Path("results/run/seed0.json")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        with pytest.raises(files.ResultError, match=re.escape(words)) as caught:
            load_experiment(path)
        assert str(caught.value).startswith(f"{path}: not a result of this project")
        assert "delete" not in str(caught.value)
    if text.startswith("{") and text.endswith("}"):  # the pipeline's own reader
        with pytest.raises(files.ResultError, match="not a result of this project; move it away"):
            files.read_result(path)


def test_a_damaged_file_is_named():
    Path("x.json").write_text("{")
    with pytest.raises(files.ResultError, match=r"x\.json: .*damaged"):
        load_experiment("x.json")
    run_experiment("test", ".", seed=0, **SMALL, **SHORT)
    path = Path("test_L2_K4-6.json")
    path.write_text(path.read_text().replace('"cnn"', '"ycn"'))
    with pytest.raises(files.ResultError, match=r"damaged .*; delete it and run again"):
        load_experiment(path)


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


TUPLES = {"kernel_size": (3, 3), "padding": (1, 1)}


@pytest.mark.parametrize(
    ("model", "keywords"),
    [
        ("cnn", {"conv_params": {"kernel_size": 5, "padding": 2}, "pooling_params": TUPLES}),
        ("cnn", {"activation_type": "lrelu", "activation_params": {"negative_slope": 0.3}}),
        ("cnn", {"conv_params": {"kernel_size": np.int64(1), "padding": "same"}}),
        ("resnet", {"conv_params": TUPLES, "batchnorm": True}),
        ("resnet", {"conv_params": TUPLES | {"stride": 1}, "pooling_params": {"stride": 1}}),
        ("ycn", {"conv_params": TUPLES, "pooling_type": "avg"}),
        ("ycn", {"activation_type": "lrelu", "activation_params": {"inplace": True}}),
    ],
)
def test_keywords_of_layers_reach_the_model(model, keywords):
    fit = run_experiment("k", "out", seed=0, model_type=model, **keywords, **SMALL, **SHORT)
    config, read = load_experiment("out/k_L2_K4-6.json")
    assert read == fit
    spec = RunSpec.from_config(files.read_result("out/k_L2_K4-6.json").config)
    arguments = spec.architecture.build_arguments()
    for key, value in keywords.items():
        assert arguments[key] == value
        assert key in config


def test_keywords_that_are_not_given_are_in_no_result_and_no_hash():
    run_experiment("a", "out", seed=0, **SMALL, **SHORT)
    run_experiment("b", "out", seed=0, conv_params={}, **SMALL, **SHORT)
    first, second = (files.read_result(f"out/{name}_L2_K4-6.json") for name in "ab")
    assert "conv_params" not in first.config["architecture"]
    assert first.spec_hash == second.spec_hash


def test_numbers_and_arrays_of_numpy_are_numbers_and_lists():
    expected = run_experiment("a", "out", seed=0, **SMALL, **SHORT)
    given = {key: np.array(value) for key, value in SMALL.items()}
    given |= {key: np.int64(SHORT[key]) for key in ("batches", "epochs", "bs_train")}
    data = {key: np.int64(v) if isinstance(v, int) else v for key, v in DATA.items()}
    rates = {"lr": np.float64(1e-3), "bs_test": np.int32(40), "early_stopping": torch.tensor(3)}
    fit = run_experiment("b", Path("out"), np.int64(0), "cpu", **rates, **given, data=data)
    assert fit == expected
    assert load_experiment("out/b_L2_K4-6.json")[0]["filters_per_layer"] == [4, 6]


def test_a_single_number_is_a_list_of_one():
    sizes = {"filters_per_layer": 4, "layers_per_block": 2, "pool_every": 2, "hidden_dims": 8}
    run_experiment("a", "out", seed=0, **sizes, **SHORT)
    architecture = load_experiment("out/a_L2_K4.json")[0]["architecture"]
    assert (architecture["filters_per_layer"], architecture["hidden_dims"]) == ([4], [8])


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("lr", -1.0, ["lr", "-1.0", "greater than 0"]),
        ("pool_every", 0, ["pool_every", "0"]),
        ("model_type", "vgg", ["model_type", "'vgg'", "must be one of cnn, resnet, ycn"]),
        ("model_type", "mlp", ["model_type", "'mlp'", "must be one of cnn, resnet, ycn"]),
        ("epochs", 0, ["epochs: 0: ", "at least 1"]),
        ("hidden_dims", [8, 0], ["hidden_dims: 0: must be at least 1"]),
        ("hidden_dims", "many", ["hidden_dims: 'many': must be a list"]),
        ("filters_per_layer", [0], ["filters_per_layer: 0: must be at least 1"]),
        ("filters_per_layer", [1.5], ["filters_per_layer: 1.5: "]),
        ("filters_per_layer", [], ["filters_per_layer: []: "]),
        ("bs_train", 0, ["bs_train: 0: must be at least 1"]),
        ("bs_test", 0, ["bs_test: 0: must be a whole number from 1 to"]),
        ("bs_test", 1.5, ["bs_test: 1.5: "]),
        ("batches", 0, ["batches: 0: must be at least 1"]),
        ("early_stopping", 0, ["early_stopping: 0: must be at least 1"]),
        ("reg", -1, ["reg: -1: must be at least 0"]),
        ("run_name", 5, ["run_name: 5: must be text"]),
        ("colour", "red", ["colour: 'red': unknown", "conv_params"]),
        ("activation_type", "tanh", ["activation_type: 'tanh': must be one of"]),
        ("conv_params", 3, ["conv_params: 3: must be a mapping"]),
        ("conv_params", {"kernel": 3}, ["conv_params: {'kernel': 3}: ", "unexpected keyword"]),
        ("conv_params", {"padding": -9}, ["conv_params: {'padding': -9}: "]),
        ("pooling_params", {"kernel_size": 40}, ["pooling_params: {'kernel_size': 40}: ", "empty"]),
        ("data", 5, ["data: 5: "]),
        ("data", DATA | {"test": 0}, ["data.test: 0: must be at least 1"]),
        ("data", DATA | {"colour": 0}, ["data.colour: ", "unknown"]),
        ("seed", 1.5, ["seed: 1.5: "]),
        ("seed", -1, ["seed", "-1", "0 to 2**64 - 1"]),
        ("seed", 2**64, ["seed", "0 to 2**64 - 1"]),
    ],
)
def test_wrong_arguments_are_named(argument, value, words):
    with pytest.raises(ConfigError) as caught:
        run_experiment(**{"run_name": "x", "out_dir": "out", **SMALL, **SHORT, argument: value})
    assert len(caught.value.lines) == 1
    for word in words:
        assert word in str(caught.value)
    assert not Path("out").exists()


def test_a_name_that_is_no_file_name_is_refused():
    with pytest.raises(ConfigError, match=r"name: .*'\.\./x_L2_K4-6'"):
        run_experiment("../x", "out", **SMALL, **SHORT)


@pytest.mark.parametrize(
    "keywords", [{"out_dir": "file/x"}, {"out_dir": "/proc/x"}, {"checkpoints": "file/w"}]
)
def test_a_result_that_cannot_be_written_is_refused_before_training(keywords, monkeypatch):
    Path("file").touch()
    monkeypatch.setattr(experiments, "make_result", pytest.fail)
    with pytest.raises(WriteError, match=r"cannot be written \("):
        run_experiment("x", seed=0, **keywords, **SMALL, **SHORT)


def test_a_folder_in_place_of_the_result_is_refused_before_training(monkeypatch):
    Path("out/x_L2_K4-6.json").mkdir(parents=True)
    monkeypatch.setattr(experiments, "make_result", pytest.fail)
    with pytest.raises(WriteError, match=r"x_L2_K4-6\.json: cannot be written \(is a folder\)"):
        run_experiment("x", "out", seed=0, **SMALL, **SHORT)


@pytest.mark.parametrize("device", ["mps", "cuda:99", "foo"])
def test_a_device_that_is_not_there_is_one_sentence_before_images_are_loaded(device, monkeypatch):
    monkeypatch.setattr(experiments, "load_or_prepare", pytest.fail)
    with pytest.raises(UserError) as caught:
        run_experiment("x", **{**SMALL, **SHORT, "device": device})
    message = str(caught.value)
    assert message.startswith(f"device='{device}': not available here (")
    assert message.endswith("); device='cpu' trains on the CPU")
    assert ". " not in message
    assert "\n" not in message
    assert len(message) < 400


def test_fewer_images_are_those_of_config_yaml_but_for_what_is_given():
    config = read_config(STUDY_FILE)["data"]
    given = dict.fromkeys(inspect.signature(run_experiment).parameters, None)
    given |= {name: p.default for name, p in inspect.signature(run_experiment).parameters.items()}
    given |= {"run_name": "x", "kw": {}, "data": {"validation": 10, "test": 20}}
    data = read_spec(make_plain(given)).data
    assert (data.train, data.validation, data.test) == (config["train"], 10, 20)


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
    line += " --epochs 1 --early-stopping 1 --checkpoints c --lr 1 --reg 1 -M ycn"
    line += " --train 1 --validation 1 --test 1"
    assert set(parse_cli(line.split())) <= set(inspect.signature(run_experiment).parameters)


def test_what_the_defaults_limit_can_be_switched_off():
    line = "run-exp -n t -K 4 -L 1 -P 1 -H 8 --early-stopping off --batches all"
    given = parse_cli([*line.split(), "--validation", "100", "--test", "200"])
    assert given["early_stopping"] is None
    assert given["batches"] is None
    assert given["data"] == {"validation": 100, "test": 200}


def test_help_shows_defaults_an_example_and_what_decides(capsys):
    with pytest.raises(SystemExit):
        parse_cli(["run-exp", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, parameter in inspect.signature(run_experiment).parameters.items():
        if isinstance(parameter.default, float | str) or name in ("bs_train", "batches", "epochs"):
            option, default = f"--{name.replace('_', '-')}", re.escape(str(parameter.default))
            assert re.search(rf"{option} [^(]*\(default: {default}\)", text), name
    assert (
        "example: python -m hw2core.experiments run-exp -n test -K 32 64 -L 2 -P 2 -H 100" in text
    )
    assert "Validation decides" in text
    assert "{cnn,resnet,ycn}" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-M mlp", "choose from"),
        ("--batches some", "invalid number or all value: 'some'"),
        ("-K x", "invalid int value"),
    ],
)
def test_what_an_option_does_not_take_is_said(arguments, words, capsys):
    line = "run-exp -n t -K 4 -L 1 -P 1 -H 8"
    with pytest.raises(SystemExit):
        parse_cli([*line.split(), *arguments.split()])
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("variable", "threads"), [("3", None), ("", 2), (None, 2)])
def test_the_threads_that_the_environment_asks_for_are_kept(variable, threads, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", variable or "")
    if variable is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(experiments, "run_experiment", lambda **given: None)
    monkeypatch.setattr(experiments, "parse_cli", dict)
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert experiments.main() == 0
    assert asked == ([] if threads is None else [threads])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-n t -K 0", "filters_per_layer: 0: must be at least 1"),
        ("-n ../../x -K 4", "run_name: '../../x"),
        ("-n t -K 4 -d cuda:99", "device='cuda:99': not available here"),
        ("-n t -K 4 -o file", "file/t_L2_K4.json: cannot be written"),
    ],
)
def test_wrong_values_end_in_one_line(arguments, words, monkeypatch, capsys):
    Path("file").touch()
    line = f"experiments run-exp -L 2 -P 2 -H 8 {arguments}"
    monkeypatch.setattr("sys.argv", line.split())
    assert experiments.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("run-exp: ")
    assert error.count("\n") == 1
    assert words in error
    assert [path.name for path in Path().iterdir()] in (
        ["file"],
        ["file", "results"],
        ["results", "file"],
    )


def test_a_wrong_command_line_ends_in_one_line(monkeypatch, capsys):
    arguments = ["run-exp", "-n", "t", "-K", "4", "-L", "2", "-P", "1", "-H", "8", "--lr", "-1"]
    monkeypatch.setattr("sys.argv", ["experiments", *arguments])
    assert experiments.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "lr" in error
