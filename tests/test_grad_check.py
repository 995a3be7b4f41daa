"""Tests of compare_layer_to_torch: correct layers pass, wrong ones fail, state is restored."""

import pytest
import torch

from hw2core.grad_check import compare_layer_to_torch
from hw2core.layers import (
    MLP,
    CrossEntropyLoss,
    Dropout,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    TanH,
)

F64 = {"dtype": torch.float64}
CASES = {
    "LeakyReLU": (lambda: LeakyReLU(0.2), 1),
    "ReLU": (ReLU, 1),
    "Sigmoid": (Sigmoid, 1),
    "TanH": (TanH, 1),
    "Linear": (lambda: Linear(6, 4, **F64), 3),
    "Dropout": (lambda: Dropout(0.4), 1),
    "Dropout 1": (lambda: Dropout(1), 1),
    "MLP": (lambda: MLP(6, 3, [5, 5], dropout=0.3, **F64), 7),
    "MLP sigmoid": (lambda: MLP(6, 3, [5], "sigmoid", **F64), 5),
}


@pytest.fixture
def x():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(0), **F64)


@pytest.mark.parametrize("seed", [42, 0])
@pytest.mark.parametrize(("make_layer", "n_norms"), CASES.values(), ids=CASES)
def test_right_layers_pass(make_layer, n_norms, x, seed):
    norms = compare_layer_to_torch(make_layer(), x, seed=seed)
    assert len(norms) == n_norms
    assert all(isinstance(norm, float) and norm < 1e-10 for norm in norms)


@pytest.mark.parametrize("training_mode", [True, False])
def test_either_mode_is_checked(training_mode, x):
    layer = Sequential(Dropout(0.5), TanH(), Dropout(0.5))
    layer.train(training_mode)
    assert compare_layer_to_torch(layer, x)[0] < 1e-10
    assert compare_layer_to_torch(Dropout(0.5), x)[0] == 0


def test_losses_pass(x):
    y = torch.tensor([0, 5, 1, 1, 3])
    assert compare_layer_to_torch(CrossEntropyLoss(), x, y)[0] < 1e-10
    model = Sequential(Linear(6, 6, **F64), ReLU(), CrossEntropyLoss())
    assert max(compare_layer_to_torch(model, x, y)) < 1e-10


class WrongInput(Linear):
    def backward(self, dout):
        return super().backward(dout) * 1.01


class WrongBias(Linear):
    def accumulate_gradients(self, dout):
        super().accumulate_gradients(dout)
        self.db.add_(1e-3)


class WrongSign(CrossEntropyLoss):
    def backward(self, dout=1.0):
        return -super().backward(dout)


class WrongShape(Linear):
    def backward(self, dout):
        return super().backward(dout).sum(dim=0)


def test_wrong_gradients_show_in_their_own_norm(x):
    on_input = compare_layer_to_torch(WrongInput(6, 4, **F64), x)
    assert on_input[0] > 1e-3
    assert max(on_input[1:]) < 1e-10
    on_bias = compare_layer_to_torch(WrongBias(6, 4, **F64), x)
    assert max(on_bias[:2]) < 1e-10
    assert on_bias[2] == pytest.approx(2e-3)  # ‖(1e-3, 1e-3, 1e-3, 1e-3)‖
    assert compare_layer_to_torch(WrongSign(), x, torch.zeros(5, dtype=torch.int64))[0] > 1e-3


def test_wrong_shape_is_refused_instead_of_broadcast(x):
    with pytest.raises(ValueError, match=r"gradient by hand \(6,\): must be \(5, 6\)"):
        compare_layer_to_torch(WrongShape(6, 4, **F64), x)


def test_nothing_is_left_behind(x):
    layer = Sequential(Linear(6, 4, **F64), Dropout(0.5))
    layer[0].dw.fill_(3)
    layer[0].db.fill_(5)
    x_before, params_before = x.clone(), [p.clone() for p, _ in layer.params()]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert max(compare_layer_to_torch(layer, x)) < 1e-10
    assert torch.equal(torch.get_rng_state(), state)
    assert (layer[0].dw == 3).all()
    assert (layer[0].db == 5).all()
    assert torch.equal(x, x_before)
    assert not x.requires_grad
    for (p, _), before in zip(layer.params(), params_before, strict=True):
        assert torch.equal(p, before)
        assert not p.requires_grad
        assert p.grad is None
    caches = [t for part in layer for t in part.grad_cache.values()]
    assert not any(t.requires_grad for t in caches)


def test_parameters_are_restored_after_an_error(x):
    layer = Linear(3, 4, **F64)
    with pytest.raises(RuntimeError):
        compare_layer_to_torch(layer, x)
    assert not layer.w.requires_grad
