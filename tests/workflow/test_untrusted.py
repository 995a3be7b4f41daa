"""Untrusted files are read but never executed: pickles, and text that a shell would run."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from checkout import TINY, copy_sources

from hw2core.config.errors import ConfigError
from hw2core.config.reading import read_config
from hw2core.config.study import load_study
from hw2core.data.cifar import read_cifar10
from hw2core.data.prepared import DataError, load_prepared
from hw2core.runs import files
from hw2core.runs.files import ResultError
from hw2core.runs.weights import read_weights

# A shell would run a command, end the word, the quotes or the line, or put something in its place.
HOSTILE = 'it\'s "$(touch pwned1)" `touch pwned2`; touch pwned3 | $HOME {run} *\ntouch pwned4 & x'


class Bomb:
    """A pickle of this makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def pwned(tmp_path) -> Path:
    """The file that a bomb makes; a bomb that is loaded does go off."""
    path = tmp_path / "pwned"
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.exists()
    path.unlink()
    return path


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("seed0.json", files.read_result),
        ("seed0.test.json", files.read_evaluation),
        ("seed0.safetensors", read_weights),
    ],
)
def test_a_pickle_in_place_of_a_file_is_not_executed(tmp_path, pwned, file, read):
    path = tmp_path / file
    path.write_bytes(pickle.dumps(Bomb(pwned)))
    with pytest.raises(ResultError, match=rf"{file}.*run again"):
        read(path)
    assert not pwned.exists()


def test_a_pickle_among_the_original_images_is_not_executed(tmp_path, pwned):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(Bomb(pwned)))
    with pytest.raises(DataError, match=r"data_batch_1: damaged"):
        read_cifar10(root=tmp_path, download_dir=tmp_path / "download")
    assert not pwned.exists()


@pytest.mark.parametrize("content", ["a pickle", "an array of objects"])
def test_a_pickle_in_prepared_data_is_not_executed(content, tiny_manifest, tmp_path, pwned):
    for file in tiny_manifest.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "train_labels.npy"
    if content == "a pickle":
        path.write_bytes(pickle.dumps(Bomb(pwned)))
    else:
        np.save(path, np.array([Bomb(pwned)], dtype=object), allow_pickle=True)
    # Whoever can place a pickle can write its hash into the manifest, too.
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    record = manifest["arrays"]["train_labels.npy"]
    record["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    vouched = [manifest[key] for key in ("arrays", "mean", "std", "classes")]
    text = json.dumps(vouched, sort_keys=True)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"train_labels\.npy.* is damaged"):
        load_prepared(tmp_path / "manifest.json")
    assert not pwned.exists()


def test_a_configuration_makes_no_python_objects(tmp_path, pwned):
    path = tmp_path / "config.yaml"
    path.write_text(f"x: !!python/object/apply:pathlib.Path.touch [{pwned}]\n")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_config(path)
    assert not pwned.exists()


NAMES = [HOSTILE, "a b", "$(touch x)", "`x`", "a;b", "'", '"', "a\nb", "../x", "/x", "{run}", "*"]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *itertools.product(["experiment", "label"], NAMES),
        *itertools.product(["experiment"], ["-n", "-", "--force"]),  # a run begins with its name
    ],
)
def test_a_name_that_is_more_than_a_word_is_refused_in_one_line(place, name):
    config = copy.deepcopy(TINY)
    if place == "experiment":
        config["experiments"][name] = config["experiments"].pop("exp2")
    else:
        config["experiments"]["exp2"]["runs"] = {name: {}}
    with pytest.raises(ConfigError) as caught:
        load_study(config)
    (line,) = str(caught.value).splitlines()
    assert repr(name) in line
    assert "has only letters, digits" in line


@pytest.mark.workflow
def test_hostile_words_reach_no_shell(tmp_path):
    """The whole pipeline in a folder, with a root and in words that a shell would obey."""
    checkout = copy_sources(tmp_path / 'it\'s $(touch pwned5); `touch pwned6` & "a" b')
    config = copy.deepcopy(TINY)
    experiment = config["experiments"]["exp1_4"]
    config["experiments"] = {"exp1_4": experiment}
    experiment |= dict.fromkeys(("question", "varies", "fixed"), HOSTILE)
    config["data"]["root"] = f"/{HOSTILE}"
    checkout.configure(config)
    checkout.snakemake("results/exp1_4", "results/summary.csv")
    assert (checkout / "figures/exp1_4_curves.svg").exists()
    assert list(tmp_path.rglob("pwned*")) == []


@pytest.mark.workflow
def test_a_hostile_root_is_a_folder_that_is_not_there(tmp_path):
    checkout = copy_sources(tmp_path / "clone")
    config = copy.deepcopy(TINY)
    config["data"] = {"name": "cifar10", "train": 100, "validation": 100, "test": 100}
    for root, line in (
        (f"--log=pwned {HOSTILE}", "touch pwned4 & x': must be absolute, or start with ~"),
        (f"/ --log=pwned {HOSTILE}", "touch pwned4 & x/cifar-10-batches-py: no such folder"),
    ):
        config["data"]["root"] = root
        checkout.configure(config)
        output = checkout.snakemake("data/cifar10/manifest.json", succeeds=False)
        assert "Traceback" not in output
        assert line in output
    assert list(tmp_path.rglob("pwned*")) == []


CODE = '__use_yte__: true\nx: ?__import__("pathlib").Path("pwned").touch()\n'


@pytest.mark.workflow
def test_a_configuration_is_read_before_snakemake_obeys_it(tmp_path):
    checkout = copy_sources(tmp_path / "clone")
    for text, line, *profile in (
        (CODE, "config.yaml: __use_yte__: not allowed"),
        (CODE, "config.yaml: __use_yte__: not allowed", "--profile", "quick"),
        ("data: {train: 1\n", "config.yaml: line 2, column 1: expected ',' or '}'"),
        ("seeds: [0]\nseeds: [1]\n", "the key 'seeds' is given twice"),
    ):
        (checkout / "config.yaml").write_text(text)
        output = checkout.snakemake("-n", *profile, succeeds=False)
        assert line in output
        assert "Traceback" not in output
    assert list(tmp_path.rglob("pwned*")) == []


@pytest.mark.workflow
def test_what_is_no_file_is_planned_and_made_again(tmp_path):
    """A pipe and an endless device: neither hangs nor stops a call."""
    checkout = copy_sources(tmp_path / "clone")
    checkout.configure({**TINY, "experiments": {"exp2": TINY["experiments"]["exp2"]}})
    run = "results/exp2_L4_K4"
    checkout.snakemake(f"{run}/seed0.test.json")
    result, evaluation, weights = (
        checkout / f"{run}/seed0{suffix}" for suffix in (".json", ".test.json", ".safetensors")
    )
    evaluation.unlink()
    evaluation.symlink_to("/dev/zero")
    assert checkout.plan(f"{run}/seed0.test.json") == {"evaluate": 1}
    for path in (weights, result):
        path.unlink()
        os.mkfifo(path)
        assert checkout.plan(f"{run}/seed0.test.json") == {"train": 1, "evaluate": 1}
    checkout.snakemake(f"{run}/seed0.test.json")
    assert all(path.is_file() and not path.is_symlink() for path in (result, evaluation, weights))
    assert checkout.plan(f"{run}/seed0.test.json") == {}
