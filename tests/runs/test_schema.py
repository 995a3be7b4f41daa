from __future__ import annotations

import json
import runpy

import jsonschema

from hw2core.config.study import CHECKOUT
from hw2core.runs import files

FOLDER = CHECKOUT / "schemas"
SCRIPT = CHECKOUT / "workflow_scripts" / "export_schemas.py"


def test_all_schemas_are_in_step(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    schemas = runpy.run_path(str(SCRIPT))["SCHEMAS"]
    assert {path.name for path in FOLDER.iterdir()} == schemas.keys()
    for name, build in schemas.items():
        written = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        assert written == build(), f"{name}: run python workflow_scripts/export_schemas.py"


def test_a_file_has_every_key_and_its_digest(make_result, tmp_path):
    """Forged values are in tests/faults/test_forgeries.py."""
    schema = json.loads((FOLDER / "result.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    files.write_result(tmp_path / "result", make_result())
    content = json.loads((tmp_path / "result").read_text())
    assert validator.is_valid(content)
    for key in content:
        assert not validator.is_valid({k: v for k, v in content.items() if k != key}), key
    assert not validator.is_valid({**content, "extra": 1})
