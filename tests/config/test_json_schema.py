from __future__ import annotations

import json
import shutil
import subprocess
import sys

import jsonschema
import pytest
import yaml

from hw2core.config.json_schema import build_config_schema
from hw2core.config.reading import read_configs
from hw2core.config.study import CHECKOUT, STUDY_FILE

FILE = CHECKOUT / "schemas" / "config.schema.json"
OVERLAYS = ["demo/study.yaml", "report/reference/study.yaml"]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    schema = build_config_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def find_errors(validator: jsonschema.Draft7Validator, config: dict) -> list[str]:
    # As an editor sees it: every key is text.
    plain = json.loads(json.dumps(config))
    return [error.json_path for error in validator.iter_errors(plain)]


def test_the_file_is_in_step():
    assert json.loads(FILE.read_text(encoding="utf-8")) == build_config_schema(), (
        "run python workflow_scripts/export_schemas.py"
    )


def test_the_file_is_what_the_script_writes(tmp_path):
    shutil.copytree(CHECKOUT / "workflow_scripts", tmp_path / "workflow_scripts")
    script = tmp_path / "workflow_scripts" / "export_schemas.py"
    (tmp_path / "hw2core").symlink_to(CHECKOUT / "hw2core")
    subprocess.run([sys.executable, script], check=True)
    for written in (tmp_path / "schemas").iterdir():
        assert written.read_text() == (CHECKOUT / "schemas" / written.name).read_text()


def test_editors_find_the_schema():
    first = STUDY_FILE.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={FILE.relative_to(CHECKOUT)}"


@pytest.mark.parametrize("above", [[], *([file] for file in OVERLAYS)], ids=str)
def test_the_configurations_are_valid(validator, above):
    config = read_configs([STUDY_FILE, *(CHECKOUT / file for file in above)])
    assert find_errors(validator, config) == []


def test_small_configurations_are_valid(validator, small):
    assert find_errors(validator, small) == []


def test_every_key_has_a_description(validator):
    def check(schema: dict) -> None:
        for key, value in schema.get("properties", {}).items():
            described = value.get("anyOf", []) if "description" not in value else [value]
            assert described, key
            assert all(part["description"] for part in described), key
            check(value)

    schema = validator.schema
    for part in (schema, *(p for name, p in schema["$defs"].items() if name != "grid")):
        check(part)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("training: {lr: -0.1}", "$.training.lr"),
        ("training: {epochs: 2.5}", "$.training.epochs"),
        ("training: {optimizer: sdg}", "$.training.optimizer"),
        ("training: {momentum: 1.0}", "$.training.momentum"),
        ("training: {clip_norm: 1.0}", "$.training"),
        ("data: {name: imagenet}", "$.data.name"),
        ("seeds: []", "$.seeds"),
        ("seeds: [-1]", "$.seeds[0]"),
        ("experimets: {}", "$"),
        ("experiments: {one: {model: vgg}}", "$.experiments.one.model"),
        ("experiments: {one: {question: ''}}", "$.experiments.one.question"),
        ("experiments: {one: {vary: x}}", "$.experiments.one"),
        ("experiments: {one: {architecture: {wstd: -1}}}", "$.experiments.one.architecture.wstd"),
        ("experiments: {one: {grid: {filters: [[1]]}}}", "$.experiments.one.grid"),
        ("experiments: {one: {grid: {layers_per_block: [0]}}}", "$.experiments.one.grid"),
        ("experiments: {one: {runs: {'a;b': {}}}}", "$.experiments.one.runs"),
        ("experiments: {one: {runs: {a: {training: {lr: 0}}}}}", "$.experiments.one.runs.a"),
    ],
)
def test_a_wrong_value_is_found_where_it_is(validator, small, tmp_path, text, path):
    (tmp_path / "below.yaml").write_text(yaml.safe_dump(small))
    (tmp_path / "above.yaml").write_text(text)
    config = read_configs([tmp_path / "below.yaml", tmp_path / "above.yaml"])
    (found,) = find_errors(validator, config)
    assert found.startswith(path)
