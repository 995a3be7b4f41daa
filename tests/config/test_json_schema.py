from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from hw2core.config.json_schema import build_config_schema
from hw2core.config.reading import read_configs
from hw2core.config.study import CHECKOUT, STUDY_FILE

FILE = CHECKOUT / "schemas" / "config.schema.json"
OVERLAYS = ["demo/study.yaml", "quick/study.yaml", "report/reference/study.yaml"]


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
def test_the_configurations_are_valid(find_errors, above):
    config = read_configs([STUDY_FILE, *(CHECKOUT / file for file in above)])
    assert find_errors(config) == []


def test_every_key_has_a_description():
    def check(schema: dict) -> None:
        for key, value in schema.get("properties", {}).items():
            described = value.get("anyOf", []) if "description" not in value else [value]
            assert described, key
            assert all(part["description"] for part in described), key
            check(value)

    schema = build_config_schema()
    for part in (schema, *(p for name, p in schema["$defs"].items() if name != "grid")):
        check(part)
