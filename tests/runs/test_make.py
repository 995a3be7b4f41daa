from __future__ import annotations

import torch

from hw2core.config.spec import RunSpec
from hw2core.runs import make
from hw2core.runs.files import read_evaluation, read_result, write_evaluation, write_result
from hw2core.runs.make import make_evaluation, make_result
from hw2core.runs.outcome import judge_status


def test_a_diverged_run_is_a_result_like_any_other(tiny_values, tiny_data, in_folder):
    training = {**tiny_values["training"], "optimizer": "sgd", "lr": 1e20}
    spec = RunSpec.model_validate({**tiny_values, "training": training})
    result, trained = make_result(spec, 0, tiny_data, device="cpu")
    assert judge_status(result) == "diverged"
    assert result.epochs.train_loss[-1] is None
    evaluation = make_evaluation(result, trained.weights, tiny_data, num_images=50, device="cpu")
    write_result("seed0.json", result)
    write_evaluation("seed0.test.json", evaluation)
    assert read_result("seed0.json") == result
    assert read_evaluation("seed0.test.json") == evaluation
    assert evaluation.mistakes == []


def test_a_commit_made_while_it_trains_is_not_that_of_the_code(tiny_spec, tiny_data, monkeypatch):
    commits = iter(["before", "after"])
    monkeypatch.setattr(make, "read_commit", lambda: next(commits))
    result, _ = make_result(tiny_spec, 0, tiny_data, device="cpu")
    assert result.environment.git_commit == "before"


def test_the_network_is_rebuilt_from_the_result_alone(tiny_spec, tiny_data, in_folder):
    result, trained = make_result(tiny_spec, 0, tiny_data, device="cpu")
    write_result("seed0.json", result)
    again = make_evaluation(
        read_result("seed0.json"), trained.weights, tiny_data, num_images=100, device="cpu"
    )
    assert again.num_images == 100
    assert sum(map(sum, again.confusion)) == 100
    assert again.code is not None
    assert all(isinstance(tensor, torch.Tensor) for tensor in trained.weights.values())
