"""When a run counts as trained, on images of few and of many classes."""

from __future__ import annotations

import pytest

from hw2core.data.registry import DATA_SETS
from hw2core.runs.outcome import describe_status_rule, judge_status, measure_trained


@pytest.mark.parametrize(
    ("classes", "level"), [(2, 58.333), (3, 44.444), (4, 37.5), (9, 25.926), (10, 25), (100, 2.5)]
)
def test_a_run_that_trained_is_between_chance_and_all(monkeypatch, make_result, classes, level):
    assert measure_trained(classes) == pytest.approx(level, abs=1e-3)
    assert 100 / classes < measure_trained(classes) < 100
    monkeypatch.setitem(DATA_SETS, "cifar10", DATA_SETS["cifar10"]._replace(num_classes=classes))
    result = make_result()
    result.config["data"]["name"] = "cifar10"
    for accuracy, status in ((level + 0.1, "trained"), (level - 0.1, "at_chance")):
        last = len(result.epochs.train_accuracy) * [accuracy]
        change = {"train_accuracy": last, "validation_accuracy": last}
        curves = result.epochs.model_copy(update=change)
        assert judge_status(result.model_copy(update={"epochs": curves})) == status


def test_the_rule_names_the_level_of_each_number_of_classes():
    assert "at least 2.5 times chance level (25 %), as diverged" in describe_status_rule([10])
    assert "times chance level (2.5 % or 25 %)" in describe_status_rule([100, 10, 10])
    few = describe_status_rule([2, 10])
    assert "a sixth of the way from chance level to 100 % if that is less (25 % or 58.3 %)" in few
