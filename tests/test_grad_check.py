"""Tests of compare_layer_to_torch: correct layers pass, wrong ones fail, state is restored."""

import pytest
import torch

from hw2core.grad_check import compare_layer_to_torch
from hw2core.layers import MLP, CrossEntropyLoss, Dropout, LeakyReLU, Linear, Sequential, TanH

F64 = {"dtype": torch.float64}
RIGHT = {
    "LeakyReLU": (lambda: LeakyReLU(0.2), 1),
    "Linear": (lambda: Linear(6, 4, **F64), 3),
    "Dropout": (lambda: Sequential(Dropout(0.4), TanH(), Dropout(0.4)), 1),
    "Dropout 1": (lambda: Dropout(1), 1),
    "MLP": (lambda: MLP(6, 3, [5, 5], dropout=0.3, **F64), 7),
    "loss": (lambda: Sequential(Linear(6, 6, **F64), CrossEntropyLoss()), 3),
}


@pytest.fixture
def x():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(0), **F64)


@pytest.mark.parametrize("training_mode", [True, False])
@pytest.mark.parametrize(("make_layer", "n_norms"), RIGHT.values(), ids=RIGHT)
def test_right_layers_pass_in_either_mode(make_layer, n_norms, x, training_mode):
    layer = make_layer()
    layer.train(training_mode)
    y = torch.tensor([0, 5, 1, 1, 3]) if "CrossEntropyLoss" in repr(layer) else None
    norms = compare_layer_to_torch(layer, x, y)
    assert len(norms) == n_norms
    assert all(isinstance(norm, float) and norm < 1e-10 for norm in norms)


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
    for _, grad in layer.params():
        grad.fill_(3)
    before = [tensor.clone() for tensor in (x, layer[0].w, layer[0].b, torch.get_rng_state())]
    norms = compare_layer_to_torch(layer, x, seed=1)
    assert max(norms) < 1e-10
    after = [x, layer[0].w, layer[0].b, torch.get_rng_state()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all((grad == 3).all() for _, grad in layer.params())
    caches = [t for part in layer for t in part.grad_cache.values()]
    assert not any(t.requires_grad for t in (x, *(p for p, _ in layer.params()), *caches))


def test_parameters_are_restored_after_an_error(x):
    layer = Linear(3, 4, **F64)
    with pytest.raises(RuntimeError):
        compare_layer_to_torch(layer, x)
    assert not layer.w.requires_grad
