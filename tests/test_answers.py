from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from hw2core import answers
from hw2core.runs import files, paths

sys.path.insert(0, str(Path(__file__).parent / "analysis"))
from result_documents import build_part_2

pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.mark.parametrize("name", answers.QUESTIONS)
def test_every_question_has_an_answer_without_any_result(name):
    text = getattr(answers, name)
    assert isinstance(text, str)
    assert len(text) > 500
    assert ":::" not in text  # plain Markdown, as a notebook shows it
    assert "]{" not in text


def test_what_can_be_computed_is_computed_without_results():
    assert "**128 GiB**" in answers.part1_q1
    assert "1,179,648" in answers.part3_q1
    assert "69,632" in answers.part3_q1


def test_what_is_not_run_is_said_to_be_not_run():
    assert "(not run: `exp1_1_L4_K32`)" in answers.part3_q2
    assert "**Undecided**" in answers.part2_q1
    assert "**Supported**" not in answers.part2_q1
    assert "`part2_dropout` is not run" in answers.part2_q2


def test_results_of_the_working_folder_are_used():
    for result in build_part_2(seeds=range(5), epochs=6):
        files.write_result(paths.result_path(result.name, result.seed), result)
        path = paths.evaluation_path(result.name, result.seed)
        files.write_evaluation(path, result.test)
    text = answers.part2_q1
    assert "**Supported**: At the end the gap between training and validation" in text
    assert "5 seeds" in text


def test_a_damaged_result_is_named():
    path = Path(paths.result_path("part2_overfit", 0))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"config": {}}))
    with pytest.raises(files.ResultError, match=r"part2_overfit/seed0\.json"):
        _ = answers.part2_q1


def test_names_are_listed_and_others_refused():
    assert set(answers.QUESTIONS) <= set(dir(answers))
    with pytest.raises(AttributeError, match="part9_q1"):
        _ = importlib.import_module("hw2core.answers").part9_q1
