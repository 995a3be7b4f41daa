"""Tests of workflow_scripts/evaluate.py without training; tests/workflow runs it for real."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from hw2core.runs import make, paths, validation_check
from hw2core.runs.files import read_evaluation, read_result, write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

import evaluate


def test_the_evaluation_of_a_result_that_arrives_meanwhile_stays(
    tiny_spec, write_run, make_evaluation, monkeypatch, capsys
):
    write_run(evaluation=False)
    pair = (tiny_spec.name, 0)
    result, evaluation = (Path(kind(*pair)) for kind in (paths.result_path, paths.evaluation_path))
    mine, other = read_result(result), "b" * 64

    def measure(*_: object, **__: object):
        theirs = mine.model_copy(update={"weights_sha256": other})
        evaluate.write_evaluation(evaluation, make_evaluation(theirs))
        write_result(result, theirs)
        return make_evaluation(mine)

    monkeypatch.setattr(evaluate, "load_prepared", lambda path: SimpleNamespace(sha256=""))
    monkeypatch.setattr(evaluate, "check_same_images", lambda *_: None)
    monkeypatch.setattr(evaluate, "use_large_pages", lambda: None)
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)
    monkeypatch.setattr(make, "make_evaluation", measure)
    monkeypatch.setattr(validation_check, "check_validation", lambda *_: None)
    command = f"evaluate.py --result {result} --weights {paths.weights_path(*pair)} --num-images 9"
    command += f" --data manifest.json --evaluation {evaluation} --threads 1"
    monkeypatch.setattr("sys.argv", command.split())
    assert evaluate.main() == 1
    assert f"{result}: another arrived during its evaluation; run again" in capsys.readouterr().err
    assert read_evaluation(evaluation).weights_sha256 == other
