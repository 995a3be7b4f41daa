from __future__ import annotations

import pytest
import torch

from hw2core.evaluation import NUM_MISTAKES, evaluate_scores


def test_confusion_has_true_classes_in_rows():
    scores = torch.tensor([[2.0, 0, 0], [0, 3, 0], [0, 4, 0], [0, 0, 9]])
    found = evaluate_scores(scores, torch.tensor([0, 0, 1, 0]))
    assert found["confusion"] == [[1, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert found["accuracy"] == 50.0
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([0, 0, 1, 0]))
    assert found["loss"] == pytest.approx(expected.item())


def test_mistakes_are_the_most_certain_wrong_answers_first():
    scores = torch.tensor([[2.0, 0, 0], [0, 3, 0], [0, 4, 0], [0, 0, 9]])
    mistakes = evaluate_scores(scores, torch.tensor([0, 0, 1, 0]))["mistakes"]
    assert [mistake["index"] for mistake in mistakes] == [3, 1]
    assert mistakes[0] == {"index": 3, "label": 0, "predicted": 2, "probability": 0.9998}


def test_mistakes_are_few_and_equal_ones_in_order():
    scores = torch.zeros(100, 4)
    scores[:, 1] = 1.0
    mistakes = evaluate_scores(scores, torch.zeros(100, dtype=torch.int64))["mistakes"]
    assert [mistake["index"] for mistake in mistakes] == list(range(NUM_MISTAKES))
