from __future__ import annotations

import pytest
import torch

from hw2core.engine.run import build_trainer
from hw2core.io import hash_file
from hw2core.runs.files import ResultError
from hw2core.runs.weights import check_fit, check_weights, read_weights, write_weights


def test_weights_survive_and_damage_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    weights = {"a": torch.randn(3, 4).T, "b": torch.ones(2, requires_grad=True)}
    assert write_weights(path, weights) == hash_file(path)
    read = read_weights(path)
    assert all(torch.equal(read[name], weights[name]) for name in weights)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ResultError, match=r"w\.safetensors: .*delete the result next to it"):
        read_weights(path)
    path.unlink()
    with pytest.raises(ResultError, match=r"w\.safetensors"):
        read_weights(path)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_those_of_the_result_are_noticed(tmp_path, make_result):
    path = tmp_path / "seed0.safetensors"
    result = make_result(weights_sha256=write_weights(path, {"a": torch.ones(3)}))
    check_weights(path, result)
    check_weights(path, make_result())  # an old result: it has no hash of them
    write_weights(path, {"a": torch.zeros(3)})
    with pytest.raises(ResultError, match=r"seed0\.safetensors.*run again"):
        check_weights(path, result)
    path.unlink()
    check_weights(path, result)


def test_weights_of_another_network_are_refused(tmp_path, tiny_spec):
    path = tmp_path / "seed0.safetensors"
    weights = build_trainer(tiny_spec, torch.device("cpu"), num_steps=1).get_weights()
    check_fit(path, weights, tiny_spec)
    name, tensor = next(iter(weights.items()))
    others = [
        {**weights, "extra": tensor},
        {key: value for key, value in weights.items() if key != name},
        {**weights, name: tensor[:1]},
        {**weights, name: tensor.double()},
    ]
    for other in others:
        with pytest.raises(ResultError, match=r"seed0\.safetensors: .* differs\).*run again"):
            check_fit(path, other, tiny_spec)
