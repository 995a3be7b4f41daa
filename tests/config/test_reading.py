from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from snakemake.utils import update_config

from hw2core.config.errors import ConfigError
from hw2core.config.reading import list_configs, put_first, read_config, read_configs
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
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' is given twice"),
        ("a: [1\n", "line 2, column 1: expected"),
        ("- 1\n", "mapping"),
        ("", "mapping"),
        ("a: " + "[" * 1_000, "not valid YAML"),
        ("a: 2020-13-01\n", "not valid YAML"),
        ("a: &b {c: *b}\n", "line 1, column 4: an alias of a value that contains it"),
        (
            "a: &a [1, 1]\n"
            + "".join(
                f"{x}: &{x} [{10 * f'*{y}, '}]\n" for x, y in zip("bcdef", "abcde", strict=True)
            ),
            "line 6, column 4: more than 100,000 values",
        ),
        ("__use_yte__: true\n?print(1): 2\n", "__use_yte__: not allowed"),
        ("? [a, b]\n: 1\n", "unhashable key"),
        ("<<: {__use_yte__: true}\n", "__use_yte__: not allowed"),
    ],
    ids=lambda value: value[:20],
)
def test_yaml_itself_is_checked(tmp_path, text, words):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_config(file)


def test_json_gives_every_character_as_it_is(tmp_path):
    text = "\U0001f600 \u2028 \ufffe é"
    (tmp_path / "copied_config.json").write_text(json.dumps({"question": text}))
    assert read_config(tmp_path / "copied_config.json") == {"question": text}


@pytest.mark.parametrize(
    "label",
    ["off", "on", "yes", "true", "~", "null", "0.10", "016", "1_000", "0x10", "1:30", "1.0e+3",
     "2020-01-01", ".5", "+1"],
)  # fmt: skip
def test_a_label_that_yaml_would_change_is_refused_unless_in_quotes(tmp_path, label):
    path = tmp_path / "config.yaml"
    path.write_text(f"runs:\n  {label}: {{}}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    (line,) = caught.value.lines
    assert line.startswith(f"{path}: line 2, column 3: ")
    assert label in line
    assert "quotes" in line
    path.write_text(f"runs:\n  '{label}': {{}}\n")
    assert read_config(path) == {"runs": {label: {}}}


@pytest.mark.parametrize(("first", "second"), [("1", "1.0"), ("0.0", "-0.0"), ("100.0", "100")])
def test_two_labels_that_yaml_reads_as_one_are_refused_in_one_file_and_in_two(
    tmp_path, first, second
):
    files = [tmp_path / name for name in ("both.yaml", "first.yaml", "second.yaml")]
    for file, labels in zip(files, [(first, second), (first,), (second,)], strict=True):
        file.write_text("runs:\n" + "".join(f"  {label}: {{lr: 1}}\n" for label in labels))
    words = f"the key {second}: YAML reads it as the key {first}; write both in quotes"
    with pytest.raises(ConfigError, match=f"both.yaml: line 3, column 3: {words}"):
        read_config(files[0])
    with pytest.raises(ConfigError, match=f"second.yaml: {words}"):
        read_configs(files[1:])


@pytest.mark.parametrize("label", ["0", "0.4", "-1", "1e3", "L2", "a.b", "1.0", "2e-3"])
def test_a_label_is_what_was_written(tmp_path, label):
    path = tmp_path / "config.yaml"
    path.write_text(f"{label}: {{}}\n")
    assert list(map(str, read_config(path))) == [label]


@pytest.mark.parametrize("value", ["016", "-010", "1:30", "1:30.5"])
def test_a_number_that_yaml_would_change_is_refused(tmp_path, value):
    path = tmp_path / "config.yaml"
    path.write_text(f"seeds: [1, {value}]\n")
    with pytest.raises(ConfigError, match=rf"line 1, column \d+: {value}: YAML reads"):
        read_config(path)


def test_what_is_no_regular_file_of_text_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: No such file"):
        read_config(path)
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="cannot be read: not a regular file"):
        read_config(path)
    path.unlink()
    for text in (b"a: \xff", "a: é".encode("latin-1"), "a: é".encode("utf-16")):
        path.write_bytes(text)
        with pytest.raises(ConfigError, match=r"^[^\n]*not valid YAML[^\n]*$"):
            read_config(path)
    os.truncate(path, 1 << 40)
    with pytest.raises(ConfigError, match="cannot be read: larger than"):
        read_config(path)


def test_a_key_that_a_merge_brings_may_be_given_again(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "training: &base {lr: 1, epochs: 2}\n"
        "a: {b: {c: &fast {<<: *base, lr: 3}}}\n"
        "d: {<<: *fast}\n"
    )
    assert read_config(path)["d"] == {"lr": 3, "epochs": 2}


def test_one_config_yaml_is_merged_first_that_of_the_folder_or_the_checkout(in_folder):
    default = Path("checkout/config.yaml")
    assert list_configs([], default=default) == ["checkout/config.yaml"]
    assert list_configs([default, "a.yaml"], default=default) == ["checkout/config.yaml", "a.yaml"]
    Path("config.yaml").touch()
    given = ["config.yaml", "config.yaml", "a.yaml"]
    assert list_configs(given, default=default) == ["config.yaml", "a.yaml"]
    Path("own").mkdir()
    own = {"folder": "own", "default": Path("config.yaml")}
    assert list_configs([], **own) == ["config.yaml"]
    Path("own/config.yaml").touch()
    assert list_configs(["own/config.yaml"], **own) == ["own/config.yaml"]
    assert list_configs(["config.yaml"], **own) == ["own/config.yaml", "config.yaml"]


@pytest.mark.parametrize("order", ["ba", "ab", "aba", "bab", "bb", "abab", "b", "a"])
def test_files_are_merged_in_the_order_of_snakemake(in_folder, order):
    """Snakemake merges config.yaml (a), then each file of --configfile in the order given."""
    Path("a.yaml").write_text("x: a\nonly_a: {y: a}\n")
    Path("b.yaml").write_text("x: b\nonly_a: {z: b}\n")
    given = [f"{letter}.yaml" for letter in order]
    above: dict = {}
    for path in given:
        update_config(above, read_config(path))
    merged = read_config("a.yaml")
    update_config(merged, above)
    assert read_configs(put_first("a.yaml", given)) == merged
