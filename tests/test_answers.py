from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hw2core import answers
from hw2core.config.errors import ConfigError
from hw2core.config.reading import read_config
from hw2core.config.study import STUDY_FILE, load_study
from hw2core.runs import code_hash, files, paths

sys.path.insert(0, str(Path(__file__).parent / "analysis"))
from result_documents import build_part_2

pytestmark = pytest.mark.usefixtures("in_folder")


def test_every_question_has_an_answer_without_any_result():
    texts = {name: getattr(answers, name) for name in answers.QUESTIONS}
    for name, text in texts.items():
        assert len(text) > 300, name
        assert ":::" not in text, name  # plain Markdown, as a notebook shows it
        assert "{{" not in text, name
    assert "137.4 GB (128 GiB)" in texts["part1_q1"]
    assert "1,179,648" in texts["part3_q1"]
    assert "69,632" in texts["part3_q1"]
    assert "Experiments `exp1_1` and `exp1_5` have no result yet." in texts["part3_q2"]


def test_results_of_the_working_folder_are_used():
    for result in build_part_2(seeds=range(5), epochs=6):
        files.write_result(paths.result_path(result.name, result.seed), result)
        path = paths.evaluation_path(result.name, result.seed)
        files.write_evaluation(path, result.test)
    text = answers.part2_q1
    assert "95 % interval" in text
    assert "no result yet" not in text


def test_runs_that_are_not_evaluated_yet_are_named_and_not_judged():
    results = list(build_part_2(seeds=range(2), epochs=6))
    for result in results:
        files.write_result(paths.result_path(result.name, result.seed), result)
        if result.name == "part2_dropout_0" and result.seed == 0:
            files.write_evaluation(paths.evaluation_path(result.name, 0), result.test)
    text = answers.part2_q1
    assert "NaN" not in text
    assert "– %" not in text
    assert "does not train" not in text
    assert "Without a result: `part2_dropout_0.4` and `part2_dropout_0.8`." in text


def test_stale_results_are_shown_with_a_warning(caplog):
    results = list(build_part_2(seeds=range(1), epochs=6))  # their code has no hash of today
    for result in results:
        files.write_result(paths.result_path(result.name, result.seed), result)
        files.write_evaluation(paths.evaluation_path(result.name, result.seed), result.test)
    assert answers.part2_q1
    assert caplog.messages[0].startswith(f"{len(results)} results are stale but shown")


def test_results_are_compared_with_the_code_of_now(monkeypatch):
    spec = load_study(read_config(STUDY_FILE)).runs["part2_overfit"]
    before = code_hash.hash_run_code(spec)
    monkeypatch.setattr(code_hash, "hash_modules", lambda *_: {"hw2core.engine.run": "edited"})
    assert answers.part1_q1
    assert code_hash.hash_run_code(spec) != before
    code_hash.forget_hashes()


def test_a_damaged_result_is_named():
    path = Path(paths.result_path("part2_overfit", 0))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"config": {}}))
    with pytest.raises(files.ResultError, match=r"part2_overfit/seed0\.json"):
        _ = answers.part2_q1


def test_names_are_listed_and_others_refused():
    assert set(answers.QUESTIONS) <= set(dir(answers))
    with pytest.raises(AttributeError, match="part9_q1"):
        _ = answers.part9_q1


def test_hyper_parameters_need_no_pandas():
    code = "import sys; from hw2core import answers; answers.part2_optim_hp()"
    code += "; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("part", ["overfit", "optim", "dropout"])
def test_a_study_without_the_runs_of_part_2_is_one_line(part, monkeypatch):
    config = read_config(STUDY_FILE)
    config["experiments"] = {"exp1_1": config["experiments"]["exp1_1"]}
    Path("config.yaml").write_text(json.dumps(config))
    monkeypatch.setattr(answers, "STUDY_FILE", Path("config.yaml"))
    hyper_parameters = getattr(answers, f"part2_{part}_hp")
    assert hyper_parameters()["wstd"]
    with pytest.raises(ConfigError, match=f"^config.yaml: has no run part2_{part}.* of model mlp"):
        hyper_parameters(normalised=True)
