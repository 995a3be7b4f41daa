from __future__ import annotations

import pytest
from snakemake.utils import update_config

from hw2core.config.errors import ConfigError
from hw2core.config.reading import read_config, read_configs
from hw2core.config.study import STUDY_FILE


def test_files_are_laid_over_each_other_as_snakemake_does():
    paths = [STUDY_FILE, STUDY_FILE.parent / "demo" / "study.yaml"]
    expected, above = map(read_config, paths)
    update_config(expected, above)
    assert read_configs(paths) == expected
    assert read_configs(paths[:1]) == read_config(STUDY_FILE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is given twice"),
        ("a: [1\n", "line 2"),
        ("- 1\n", "mapping"),
    ],
)
def test_yaml_itself_is_checked(tmp_path, text, words):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_config(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_config(tmp_path / "nowhere.yaml")


def test_a_key_that_a_merge_brings_may_be_given_again(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "training: &base {lr: 1, epochs: 2}\n"
        "a: {b: {c: &fast {<<: *base, lr: 3}}}\n"
        "d: {<<: *fast}\n"
    )
    assert read_config(path)["d"] == {"lr": 3, "epochs": 2}


def test_a_key_that_is_a_list_is_one_error(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("? [a, b]\n: 1\n")
    with pytest.raises(ConfigError, match="unhashable key"):
        read_config(path)
