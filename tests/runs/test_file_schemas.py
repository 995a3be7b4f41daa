from __future__ import annotations

import json
import runpy
from pathlib import Path

import jsonschema
import pytest

from hw2core.config.study import CHECKOUT
from hw2core.history import FitResult
from hw2core.runs import files
from hw2core.runs.make import make_evaluation, make_result
from hw2core.runs.schema import Epochs
from hw2core.runs.weights import write_weights

FOLDER = CHECKOUT / "schemas"
SCRIPT = CHECKOUT / "workflow_scripts" / "export_schemas.py"


def test_all_schemas_are_in_step(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    schemas = runpy.run_path(str(SCRIPT))["SCHEMAS"]
    assert {path.name for path in FOLDER.iterdir()} == schemas.keys()
    for name, build in schemas.items():
        written = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        assert written == build(), f"{name}: run python workflow_scripts/export_schemas.py"


def find_errors(name: str, path: Path) -> list[str]:
    schema = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    return [error.json_path for error in validator.iter_errors(json.loads(path.read_text()))]


def test_real_files_are_valid(tiny_spec, tiny_data, tmp_path):
    result, trained = make_result(tiny_spec, 0, tiny_data, device="cpu")
    sha256 = write_weights(tmp_path / "weights", trained.weights)
    result = result.model_copy(update={"weights_sha256": sha256})
    files.write_result(tmp_path / "result", result)
    evaluation = make_evaluation(result, trained.weights, tiny_data, num_images=100, device="cpu")
    files.write_evaluation(tmp_path / "evaluation", evaluation)
    assert find_errors("result.schema.json", tmp_path / "result") == []
    assert find_errors("evaluation.schema.json", tmp_path / "evaluation") == []


def test_a_diverged_run_is_valid(make_result, tmp_path):
    epochs = Epochs.of(FitResult(1, [float("nan")], [10.0], [float("inf")], [10.0]))
    result = make_result(best_epoch=1, epochs=epochs)
    files.write_result(tmp_path / "result", result)
    assert find_errors("result.schema.json", tmp_path / "result") == []


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("format", 2, "$.format"),
        ("layers", "good", "$.layers"),
        ("best_epoch", 0, "$.best_epoch"),
        ("extra", 1, "$"),
        ("digest", None, "$.digest"),
    ],
)
def test_a_wrong_value_is_found(make_result, tmp_path, key, value, path):
    files.write_result(tmp_path / "result", make_result())
    content = json.loads((tmp_path / "result").read_text())
    (tmp_path / "result").write_text(json.dumps({**content, key: value}))
    assert find_errors("result.schema.json", tmp_path / "result") == [path]
    del content["digest"]
    (tmp_path / "result").write_text(json.dumps(content))
    assert find_errors("result.schema.json", tmp_path / "result") == ["$"]
