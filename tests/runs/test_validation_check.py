"""Before an evaluation: weights that give something else in this process are refused."""

from __future__ import annotations

import pytest

from hw2core.engine.run import NetworkError
from hw2core.runs import validation_check
from hw2core.runs.make import make_result
from hw2core.runs.validation_check import check_validation


@pytest.fixture
def trained(tiny_spec, tiny_data):
    return make_result(tiny_spec, 0, tiny_data, device="cpu")


def test_weights_have_the_validation_accuracy_of_their_best_epoch(trained, tiny_data, monkeypatch):
    result, run = trained
    found = []

    def evaluate(*args, **options):
        found.append(measure(*args, **options)["accuracy"])
        return {"accuracy": found[-1]}

    measure = validation_check.evaluate_weights
    monkeypatch.setattr(validation_check, "evaluate_weights", evaluate)
    check_validation(result, run.weights, tiny_data, "cpu")
    assert found == [pytest.approx(result.epochs.validation_accuracy[result.best_epoch - 1])]


@pytest.mark.parametrize(("images", "refused"), [(2, False), (4, True), (-2, False), (-4, True)])
def test_other_images_may_be_right_in_another_process_but_few(
    trained, tiny_data, monkeypatch, images, refused
):
    result, run = trained
    recorded = result.epochs.validation_accuracy[result.best_epoch - 1]
    accuracy = recorded + 100 * images / result.config["data"]["validation"]
    monkeypatch.setattr(
        validation_check, "evaluate_weights", lambda *_, **__: {"accuracy": accuracy}
    )
    losses = [None] * len(result.epochs)
    diverged = result.epochs.model_copy(update={"validation_loss": losses})
    check_validation(result.model_copy(update={"epochs": diverged}), run.weights, tiny_data, "cpu")
    if not refused:
        check_validation(result, run.weights, tiny_data, "cpu")
        return
    problem = rf"accuracy was {recorded:.2f} % in training and is {accuracy:.2f} % in this process"
    with pytest.raises(NetworkError, match=problem):
        check_validation(result, run.weights, tiny_data, "cpu")
