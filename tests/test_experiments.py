from __future__ import annotations

import inspect
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hw2core import arguments, experiments
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

DATA = {"name": "generated", "source_train": 120, "source_test": 40}
DATA |= {"train": 80, "validation": 40, "test": 40}
SHORT = {"batches": 2, "epochs": 1, "bs_train": 20, "data": DATA, "device": "cpu"}
SMALL = {"filters_per_layer": [4, 6], "layers_per_block": 2, "pool_every": 2, "hidden_dims": [8]}
NAME = "x_L2_K4-6.json"
PARAMETERS = inspect.signature(run_experiment).parameters

pytestmark = pytest.mark.usefixtures("in_folder")


def run(**options):
    """Train a small network with seed 0, unless ``options`` say otherwise; return the fit."""
    return run_experiment(
        **{"run_name": "x", "out_dir": "out", "seed": 0} | SMALL | SHORT | options
    )


def test_run_experiment_writes_one_file_that_load_experiment_reads(capsys):
    fit = run(lr=0.01)
    assert "epoch 1/1" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == [NAME]
    path = Path("out", NAME)
    assert path.stat().st_size < 100_000
    document = json.loads(path.read_text())
    assert document.keys() == {"config", "results", "metadata"}
    assert document["results"] == fit._asdict()
    metadata = document["metadata"]
    assert metadata["format"] == 2
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

    config, read = load_experiment(path)
    assert read == fit
    assert isinstance(read, ValidatedFit)
    assert PARAMETERS.keys() - {"kw"} <= config.keys()  # the arguments are keys too
    expected = SMALL | {"run_name": "x", "out_dir": "out", "seed": 0, "lr": 0.01, "reg": 1e-3}
    expected |= {"bs_train": 20, "batches": 2, "epochs": 1, "early_stopping": 3}
    expected |= {"model_type": "cnn", "device": "cpu"}
    assert {key: config[key] for key in expected} == expected
    del config["filters_per_layer"], config["layers_per_block"]  # as the notebook does
    assert config["architecture"]["filters_per_layer"] == [4, 6]
    assert (config["training"]["batches"], config["training"]["batch_size"]) == (2, 20)


def test_the_test_images_have_no_part_in_the_fit_and_the_suffix_is_not_doubled():
    fit = run()
    assert run(run_name="y_L2_K4-6", data=DATA | {"test": 10}) == fit
    read = files.read_result("out/y_L2_K4-6.json")
    assert read.test.num_images == 10
    assert read.epochs.validation_accuracy == fit.test_acc


def test_a_result_of_the_pipeline_is_loaded_with_validation_as_test(make_result):
    result = make_result()
    files.write_result("results/tiny_L2_K8/seed0.json", result)
    config, fit = load_experiment("results/tiny_L2_K8/seed0.json")
    spec = RunSpec.from_config(result.config)
    assert {key: config[key] for key in spec.describe(0)} == spec.describe(0)
    assert fit == (2, [1.5, 1.0], [40.0, 60.0], [1.6, None], [39.0, 55.0])


def test_the_keys_of_a_multilayer_perceptron_are_there(make_result, specify):
    spec = specify("mlp", {"dropout": 0.4})
    files.write_result("results/part2/seed3.json", make_result(spec, 3))
    config, _ = load_experiment("results/part2/seed3.json")
    keys = ("run_name", "model_type", "hidden_dims", "dropout", "lr", "seed")
    assert [config[key] for key in keys] == [spec.name, "mlp", [32], 0.4, 0.01, 3]


CURVES = {"train_loss": [2.0, 1.5, 1.0, 0.5], "train_acc": [30.0, 50]}
CURVES |= {"test_loss": [2.0, 1.5], "test_acc": [25.0, 40.0]}
NESTED = {"train_loss": [[2.0, 1.5], [1.0, 0.5]], "test_loss": [[2.0], [1.5]]}


def dump(**curves):
    """A file of the course; a curve that is None is left out."""
    results = {k: v for k, v in ({"num_epochs": 2} | CURVES | curves).items() if v is not None}
    return json.dumps({"config": {"lr": 0.001, "kw": {}}, "results": results})


@pytest.mark.parametrize("nested", [{}, NESTED])  # losses may be in a list per epoch
def test_a_file_of_the_course_is_loaded_as_it_is(nested):
    Path("x.json").write_text(dump(note=1, **nested))
    config, fit = load_experiment(Path("x.json"))
    assert config == {"lr": 0.001, "kw": {}}
    assert fit == (2, *CURVES.values())
    assert not isinstance(fit, ValidatedFit)
    Path("x.json").write_text(dump(test_loss=[1.0, math.nan]))
    assert math.isnan(load_experiment("x.json")[1].test_loss[1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ('{"config": {', "Expecting property name"),
        ("[1, 2]", "mapping"),
        ('{"cells": [], "nbformat": 4}', "config: missing"),
        (dump(test_acc=None), "results.test_acc: missing"),
        (dump(test_acc=["25"]), "results.test_acc.0: '25': must be a number"),
        ('{"config": {}, "results": {}, "metadata": {"author": "A"}}', "results.num_epochs"),
    ],
)
def test_a_file_of_others_is_never_called_a_damaged_one_to_delete(text, words):
    path = Path("results/run/seed0.json")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(files.ResultError, match=re.escape(words)) as caught:
        load_experiment(path)
    assert str(caught.value).startswith(f"{path}: not a result of this project")
    assert "delete" not in str(caught.value)
    if text.startswith("{") and text.endswith("}"):  # the pipeline's own reader
        with pytest.raises(
            files.ResultError, match=r"not a result of this project \(.*\); move it away"
        ):
            files.read_result(path)


def test_an_evaluation_is_not_called_a_result_to_delete(make_result, make_evaluation):
    path = Path("results/tiny_L2_K8/seed0.test.json")
    files.write_evaluation(path, make_evaluation(make_result()))
    with pytest.raises(files.ResultError) as caught:
        load_experiment(path)
    assert str(caught.value) == f"{path}: an evaluation, without curves; its result is seed0.json"


def test_a_missing_or_damaged_file_is_named():
    with pytest.raises(files.ResultError, match=r"y\.json: no such result"):
        load_experiment("y.json")
    run()
    path = Path("out", NAME)
    path.write_text(path.read_text().replace('"cnn"', '"ycn"'))
    with pytest.raises(files.ResultError, match=r"damaged .*; delete it and run again"):
        load_experiment(path)


def test_seed_zero_is_a_seed_and_none_draws_one():
    first = run()
    assert run() == first
    assert run(seed=None) != first
    assert load_experiment(f"out/{NAME}")[0]["seed"] > 0


def test_neither_a_larger_result_nor_a_file_of_others_is_replaced(monkeypatch):
    run(epochs=2)
    path = Path("out", NAME)
    monkeypatch.setattr(experiments, "make_result", pytest.fail)
    for text in (path.read_text(), dump(), "notes", path.read_text()[:-40]):
        path.write_text(text)
        with pytest.raises(UserError, match=re.escape(NAME)) as caught:
            run()
        assert "\n" not in str(caught.value)
        assert path.read_text() == text


@pytest.mark.parametrize("kind", ["larger", "of the course", "notes"])
def test_what_arrives_in_its_place_while_it_trains_stays(kind, monkeypatch, capsys):
    path, make = Path("out", NAME), experiments.make_evaluation
    run(epochs=2)
    text = {"larger": path.read_text(), "of the course": dump()}.get(kind, "notes")
    path.unlink()

    def arrive(*arguments, **options):
        path.write_text(text)
        return make(*arguments, **options)

    monkeypatch.setattr(experiments, "make_evaluation", arrive)
    for number in (2, 3):
        fit, other = run(), path.with_suffix(f".{number}.json")
        assert path.read_text() == text
        path.unlink()
        assert load_experiment(other)[1] == fit
        assert f"{path}: not replaced, because it changed meanwhile" in capsys.readouterr().err


def test_an_empty_folder_is_the_working_folder():
    run(out_dir="")
    assert Path(NAME).exists()


PAIRS = {"kernel_size": (3, 3), "padding": (1, 1)}


@pytest.mark.parametrize(
    ("model", "keywords"),
    [
        ("cnn", {"conv_params": {"kernel_size": 5, "padding": 2}, "pooling_params": PAIRS}),
        ("cnn", {"activation_type": "lrelu", "activation_params": {"negative_slope": 0.3}}),
        ("cnn", {"conv_params": {"kernel_size": np.int64(1), "padding": "same"}}),
        ("resnet", {"conv_params": PAIRS, "batchnorm": True}),
        ("resnet", {"conv_params": PAIRS | {"stride": 1}, "pooling_params": {"stride": 1}}),
        ("ycn", {"conv_params": PAIRS, "pooling_type": "avg"}),
        ("ycn", {"activation_type": "lrelu", "activation_params": {"inplace": True}}),
    ],
)
def test_keywords_of_layers_reach_the_model(model, keywords):
    fit = run(model_type=model, **keywords)
    config, read = load_experiment(f"out/{NAME}")
    assert read == fit
    spec = RunSpec.from_config(files.read_result(f"out/{NAME}").config)
    arguments = spec.architecture.build_arguments()
    for key, value in keywords.items():
        assert arguments[key] == value
        assert key in config


def read(**changed):
    """The run that the arguments of ``run_experiment`` describe."""
    given = {name: parameter.default for name, parameter in PARAMETERS.items()}
    return read_spec(make_plain({**given, "run_name": "x", "kw": {}, "data": DATA, **changed}))


def test_keywords_that_are_not_given_are_in_no_result_and_no_hash():
    spec = read(kw={"conv_params": {}})
    assert spec == read()
    assert "conv_params" not in spec.describe(0)["architecture"]


def test_numbers_of_other_libraries_are_numbers_and_a_single_one_is_a_list():
    given = {key: np.array(value) for key, value in SMALL.items()}
    given |= {"batches": np.int64(2), "lr": np.float64(1e-3), "early_stopping": torch.tensor(3)}
    given["data"] = {key: np.int64(v) if isinstance(v, int) else v for key, v in DATA.items()}
    assert read(**given) == read(**SMALL, batches=2)
    assert read(filters_per_layer=4, hidden_dims=8).architecture.filters_per_layer == (4,)
    expected = run()
    assert run(out_dir=Path("out"), seed=np.int64(0), bs_test=np.int32(40), **given) == expected


def test_fewer_images_are_those_of_config_yaml_but_for_what_is_given():
    data = read(data={"validation": 10, "test": 20}).data
    train = read_config(STUDY_FILE)["data"]["train"]
    assert (data.train, data.validation, data.test) == (train, 10, 20)


def test_another_data_set_does_not_inherit_the_sizes_of_config_yaml(monkeypatch):
    Path("config.yaml").write_text(yaml.safe_dump({"data": DATA}))
    monkeypatch.setattr(arguments, "STUDY_FILE", Path("config.yaml"))
    data = read(data={"name": "cifar10"}).data
    assert (data.source_train, data.source_test) == (50_000, 10_000)
    assert (data.train, data.validation, data.test) == (80, 40, 40)
    assert read(data={"name": "generated"}) == read(data=None) == read(data=DATA)


@pytest.mark.parametrize("text", ["seeds: [0]", "data:", "data: [1]"])
def test_a_config_without_images_is_one_line(text, monkeypatch):
    Path("config.yaml").write_text(text)
    monkeypatch.setattr(arguments, "STUDY_FILE", Path("config.yaml"))
    with pytest.raises(ConfigError, match=r"^config\.yaml: data: .*: must be a mapping$"):
        read()


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("lr", -1.0, "lr: -1.0: .*greater than 0"),
        ("pool_every", 0, "pool_every: 0: "),
        ("model_type", "vgg", "model_type: 'vgg': must be one of cnn, resnet, ycn"),
        ("model_type", "mlp", "model_type: 'mlp': must be one of cnn, resnet, ycn"),
        ("epochs", 0, "epochs: 0: .*at least 1"),
        ("hidden_dims", [8, 0], "hidden_dims: 0: must be at least 1"),
        ("hidden_dims", "many", "hidden_dims: 'many': must be a list"),
        ("filters_per_layer", [0], "filters_per_layer: 0: must be at least 1"),
        ("filters_per_layer", [1.5], "filters_per_layer: 1.5: "),
        ("filters_per_layer", [], r"filters_per_layer: \[\]: "),
        ("bs_train", 0, "bs_train: 0: must be at least 1"),
        ("bs_test", 0, "bs_test: 0: must be a whole number from 1 to"),
        ("bs_test", 1.5, "bs_test: 1.5: "),
        ("batches", 0, "batches: 0: must be at least 1"),
        ("early_stopping", 0, "early_stopping: 0: must be at least 1"),
        ("reg", -1, "reg: -1: must be at least 0"),
        ("run_name", 5, "run_name: 5: must be text"),
        ("run_name", "../x", r"run_name: '\.\./x_L2_K4-6'"),
        ("colour", "red", "colour: 'red': unknown.*conv_params"),
        ("activation_type", "tanh", "activation_type: 'tanh': must be one of"),
        ("conv_params", 3, "conv_params: 3: must be a mapping"),
        ("conv_params", {"kernel": 3}, "conv_params: {'kernel': 3}: .*unexpected keyword"),
        ("conv_params", {"padding": -9}, "conv_params: {'padding': -9}: "),
        ("pooling_params", {"kernel_size": 40}, "pooling_params: {'kernel_size': 40}: .*empty"),
        ("pooling_params", {"return_indices": True}, "pooling_params: .*: .*tuple"),
        ("data", 5, "data: 5: "),
        ("data", DATA | {"test": 0}, "data.test: 0: must be at least 1"),
        ("data", DATA | {"colour": 0}, "data.colour: .*unknown"),
        ("checkpoints", "", "checkpoints: '': must end in a file name"),
        ("checkpoints", "weights/", "checkpoints: 'weights/': must end in a file name"),
        ("seed", 1.5, "seed: 1.5: "),
        ("seed", -1, r"seed: -1: .*0 to 2\*\*64 - 1"),
        ("seed", 2**64, r"seed: .*0 to 2\*\*64 - 1"),
    ],
)
def test_wrong_arguments_are_named(argument, value, words):
    with pytest.raises(ConfigError, match=words) as caught:
        run(**{argument: value})
    assert len(caught.value.lines) == 1
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "options",
    [{"out_dir": "file/x"}, {"out_dir": "/proc/x"}, {"checkpoints": "file/w"}, {"run_name": "y"}],
)
def test_what_cannot_be_written_is_refused_before_training(options, monkeypatch):
    Path("file").touch()
    Path("out/y_L2_K4-6.json").mkdir(parents=True)
    monkeypatch.setattr(experiments, "make_result", pytest.fail)
    with pytest.raises(WriteError, match=r"cannot be written \("):
        run(**options)


@pytest.mark.parametrize("device", ["mps", "cuda:99", "foo"])
def test_a_device_that_is_not_there_is_one_sentence_before_images_are_loaded(device, monkeypatch):
    monkeypatch.setattr(experiments, "load_or_prepare", pytest.fail)
    pattern = rf"device='{device}': not available here \(.*\); device='cpu' trains on the CPU"
    with pytest.raises(UserError) as caught:
        run(device=device)
    message = str(caught.value)
    assert re.fullmatch(pattern, message)  # one line
    assert ". " not in message
    assert len(message) < 400


def test_images_are_prepared_again_when_their_code_changes(monkeypatch, capsys):
    run()
    assert "preparing" in capsys.readouterr().err
    run(out_dir="again")
    assert "preparing" not in capsys.readouterr().err
    monkeypatch.setattr("hw2core.runs.images.hash_image_code", lambda name: "edited")
    run(out_dir="edited")
    assert "; the code that prepares the images changed" in capsys.readouterr().err


LINE = ["run-exp", "-n", "test", "-K", "32", "64", "-L", "2", "-P", "2", "-H", "100"]
REQUIRED = {"run_name": "test", "filters_per_layer": [32, 64], "layers_per_block": 2}
REQUIRED |= {"pool_every": 2, "hidden_dims": [100]}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", {}),
        ("--early-stopping off --batches all", {"early_stopping": None, "batches": None}),
        (
            "-o out -s 0 -d cpu -M resnet --epochs 1 --checkpoints w --early-stopping 2",
            {"out_dir": "out", "seed": 0, "device": "cpu", "model_type": "resnet", "epochs": 1}
            | {"checkpoints": "w", "early_stopping": 2},
        ),
        (
            "--batches 20 --lr 0.01 --reg 0 --bs-train 16 --bs-test 8",
            {"batches": 20, "lr": 0.01, "reg": 0.0, "bs_train": 16, "bs_test": 8},
        ),
        (
            "--train 1 --validation 100 --test 200",
            {"data": {"train": 1, "validation": 100, "test": 200}},
        ),
    ],
)
def test_the_command_line_gives_arguments_of_run_experiment(more, expected):
    assert parse_cli([*LINE, *more.split()]) == REQUIRED | expected
    assert expected.keys() <= PARAMETERS.keys()


def test_help_shows_defaults_an_example_and_what_decides(capsys):
    with pytest.raises(SystemExit):
        parse_cli(["run-exp", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, parameter in PARAMETERS.items():
        if isinstance(parameter.default, float | str) or name in ("bs_train", "batches", "epochs"):
            option, default = f"--{name.replace('_', '-')}", re.escape(str(parameter.default))
            assert re.search(rf"{option} [^(]*\(default: {default}\)", text), name
    assert f"example: python -m hw2core.experiments {' '.join(LINE)}" in text
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
    with pytest.raises(SystemExit):
        parse_cli([*LINE, *arguments.split()])
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("variable", "threads"), [("3", []), ("", [2]), (None, [2])])
def test_the_threads_that_the_environment_asks_for_are_kept(variable, threads, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(experiments, "run_experiment", lambda **given: None)
    monkeypatch.setattr(experiments, "parse_cli", dict)
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert experiments.main() == 0
    assert asked == threads


def test_a_wrong_number_of_threads_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "two")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("sys.argv", ["experiments", *LINE])
    assert experiments.main() == 2
    assert capsys.readouterr().err.startswith("run-exp: SLURM_CPUS_PER_TASK='two': must be")


def test_limits_of_openmp_are_left_out():
    """With fewer threads than it asks for, torch never ends."""
    limits = {"OMP_THREAD_LIMIT": "1", "NVIDIA_TF32_OVERRIDE": "1"}
    wrong = [*LINE[:3], "-K", "0", *LINE[6:]]
    done = subprocess.run(
        [sys.executable, "-m", "hw2core.experiments", *wrong],
        env={**os.environ, **limits, "PYTHONPATH": str(STUDY_FILE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    first, second = done.stderr.splitlines()
    assert first == "starting again without OMP_THREAD_LIMIT and NVIDIA_TF32_OVERRIDE"
    assert "filters_per_layer: 0: must be at least 1" in second
    assert done.returncode == 2


def test_ctrl_c_ends_in_one_line_also_during_the_imports():
    Path("torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "hw2core.experiments", *LINE],
        env={**os.environ, "PYTHONPATH": str(STUDY_FILE.parent)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == "run-exp: stopped; no result is written\n"
    assert done.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-n t -K 0", "filters_per_layer: 0: must be at least 1"),
        ("-n ../../x -K 4", "run_name: '../../x"),
        ("-n t -K 4 --lr -1", "lr: -1.0: must be greater than 0"),
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
    assert {path.name for path in Path().iterdir()} <= {"file", "results"}


def test_threads_share_the_images_and_the_place_of_a_result():
    """Each waits for the one before, from the images to the result."""
    alone = [run(run_name=f"alone{seed}", seed=seed) for seed in range(3)]
    shutil.rmtree("data")
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda seed: run(seed=seed), range(3))) == alone
    assert load_experiment(Path("out", NAME))[1] in alone


def test_code_that_is_edited_while_images_are_prepared_is_noticed(
    tiny_spec, monkeypatch, in_folder
):
    """Modules that are imported only then would not be those whose hashes are recorded."""
    order = []
    monkeypatch.setattr(experiments, "prepare_images", lambda *_: order.append("prepared"))
    monkeypatch.setattr(experiments, "check_loaded", lambda: order.append("checked"))
    monkeypatch.setattr(experiments, "load_prepared", lambda _: order.append("loaded"))
    experiments.load_or_prepare(tiny_spec.data, logging.getLogger())
    assert order == ["prepared", "checked", "loaded"]
