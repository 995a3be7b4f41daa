from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from hw2core.data.loader import Loader
from hw2core.data.split import split_train_validation
from hw2core.engine.run import build_trainer, train_run
from hw2core.evaluation import (
    NUM_MISTAKES,
    evaluate_weights,
    measure_calibration_error,
    measure_logits,
)
from hw2core.runs.values import measure_class_accuracy

LOGITS = torch.tensor([[2.0, 0, 0], [0, 3, 0], [0, 4, 0], [0, 0, 9]])
LABELS = torch.tensor([0, 0, 1, 0])


def test_logits_are_measured():
    found = measure_logits(LOGITS, LABELS)
    assert found["confusion"] == [[1, 1, 1], [0, 1, 0], [0, 0, 0]]  # true classes in rows
    assert measure_class_accuracy(found["confusion"]) == [pytest.approx(100 / 3), 100.0, None]
    assert (found["num_images"], found["accuracy"]) == (4, 50.0)
    assert found["loss"] == pytest.approx(F.cross_entropy(LOGITS, LABELS).item())
    mistakes = found["mistakes"]  # the most confident first
    assert [mistake["index"] for mistake in mistakes] == [3, 1]
    assert mistakes[0] == {"index": 3, "label": 0, "predicted": 2, "probability": 0.9998}


def test_mistakes_are_few_and_equal_ones_in_order():
    logits = torch.zeros(100, 4)
    logits[:, 1] = 1.0
    mistakes = measure_logits(logits, torch.zeros(100, dtype=torch.int64))["mistakes"]
    assert [mistake["index"] for mistake in mistakes] == list(range(NUM_MISTAKES))


@pytest.mark.parametrize(
    ("predictions", "error"),
    [
        # One bin (0.8, 0.867]: accuracy 1/2, confidence 0.83.
        ([(0.82, True), (0.84, False)], 33.0),
        # Two bins: gaps 1 - 0.9 and 0.5 - 0.35, of one and of two predictions.
        ([(0.9, True), (0.34, True), (0.36, False)], 100 * (0.1 + 2 * 0.15) / 3),
        # Within a bin, too much and too little confidence cancel: 0.75 and 3/4.
        ([(0.74, True), (0.74, True), (0.76, True), (0.76, False)], 0.0),
        # In different bins they do not.
        ([(0.5, True), (0.9, False)], 100 * (0.5 + 0.9) / 2),
        # The upper end of a bin belongs to it: 0.6 and 0.58 are in (0.533, 0.6].
        ([(0.6, True), (0.58, False)], 100 * (0.58 - 0.4) / 2),
        ([(1.0, True), (1.0, False)], 50.0),
        ([(0.0, False)], 0.0),
        ([(math.nan, False), (0.5, True)], None),
    ],
)
def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy(predictions, error):
    probability, correct = zip(*predictions, strict=True)
    found = measure_calibration_error(torch.tensor(probability), torch.tensor(correct))
    assert found == (error if error is None else pytest.approx(error, abs=1e-5))


def test_the_calibration_error_is_that_of_the_predicted_classes():
    """Probabilities 0.9, 0.8 and 0.6 of the predicted class; the second prediction is wrong."""
    logits = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]]).log()
    found = measure_logits(logits, torch.tensor([0, 1, 1]))
    assert found["calibration_error"] == pytest.approx(100 * (0.1 + 0.8 + 0.4) / 3, abs=1e-4)


def test_a_diverged_network_is_evaluated_without_inventing_numbers():
    found = measure_logits(torch.full((4, 3), math.nan), LABELS)
    assert found["num_images"] == 4
    assert math.isnan(found["loss"])  # the evaluation that is written has null
    assert found["calibration_error"] is None
    assert found["mistakes"] == []


MLP = {"hidden_dims": [16], "wstd": 0.05, "dropout": 0.3}


@pytest.mark.parametrize(
    ("network", "training"),
    [
        (["cnn"], {}),
        (["cnn"], {"average": 0.3}),
        (["cnn"], {"precision": "bf16"}),
        (["mlp", MLP], {}),
    ],
    ids=["fp32", "EMA", "bf16", "mlp"],
)
def test_weights_give_what_the_trainer_gave_with_them(specify, tiny_data, network, training):
    """The validation images take the place of the test images: their metrics are in the curves."""
    spec = specify(*network, epochs=2, **training)
    trained = train_run(spec, 0, tiny_data, device="cpu")
    _, held_out = split_train_validation(
        tiny_data.train_labels, num_train=300, num_validation=100, seed=0
    )
    as_test = dataclasses.replace(
        tiny_data,
        test_images=tiny_data.train_images[held_out],
        test_labels=tiny_data.train_labels[held_out],
    )
    # "auto" may be another precision where a run is evaluated than where it was trained.
    other = spec.training.model_copy(update={"precision": "auto"})
    found = evaluate_weights(
        spec.model_copy(update={"training": other}),
        trained.weights,
        as_test,
        num_images=100,
        precision=trained.precision,
        device="cpu",
    )
    best = trained.best_epoch - 1
    assert found["accuracy"] == trained.history.test_acc[best]
    assert found["loss"] == pytest.approx(trained.history.test_loss[best], rel=1e-6)


@pytest.mark.parametrize("batch_size", [7, 500])
def test_the_first_images_are_evaluated_in_batches_of_any_size(specify, tiny_data, batch_size):
    spec = specify()
    trainer = build_trainer(spec, torch.device("cpu"), 1)
    images, labels = tiny_data.test_images[:70], tiny_data.test_labels[:70]
    first = Loader(images, labels, batch_size=70, mean=tiny_data.mean, std=tiny_data.std)
    expected = measure_logits(*trainer.compute_logits(first))
    found = evaluate_weights(
        spec,
        trainer.get_weights(),
        tiny_data,
        num_images=70,
        precision="fp32",
        device="cpu",
        batch_size=batch_size,
    )
    assert found["num_images"] == 70
    assert found["confusion"] == expected["confusion"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
