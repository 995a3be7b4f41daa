"""The layers that an MLP consists of."""

import itertools
import random

import pytest
import torch

from hw2core.layers import MLP, Dropout, Linear, ReLU, Sigmoid


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("wstd", [0.01, 0.1, 2.0])
def test_wstd_reaches_every_linear(wstd):
    """A public mistake: the weight scale stopped at the MLP, and every layer kept 0.1."""
    linears = [part for part in MLP(300, 100, [200, 150], wstd=wstd).sequence if hasattr(part, "w")]
    assert len(linears) == 3
    for linear in linears:
        assert linear.w.std().item() == pytest.approx(wstd, rel=0.05)


@pytest.mark.parametrize(
    ("kw", "kinds"),
    [
        ({}, [Linear]),
        ({"hidden_features": [5]}, [Linear, ReLU, Linear]),
        ({"hidden_features": [5], "activation": "sigmoid"}, [Linear, Sigmoid, Linear]),
        ({"hidden_features": [5, 6]}, [Linear, ReLU, Linear, ReLU, Linear]),
        ({"hidden_features": [5], "dropout": 0.3}, [Linear, ReLU, Dropout, Linear]),
        ({"hidden_features": [5], "dropout": 1}, [Linear, ReLU, Dropout, Linear]),
        ({"dropout": 0.3}, [Linear]),
    ],
)
def test_mlp_structure(kw, kinds):
    model = MLP(4, 3, **kw)
    assert [type(layer) for layer in model.sequence] == kinds
    rates = [layer.p for layer in model.sequence if isinstance(layer, Dropout)]
    assert rates == [kw.get("dropout")] * kinds.count(Dropout)


def test_mlp_keywords_reach_every_linear():
    assert {p.dtype for pair in MLP(4, 3, [5], dtype=torch.float64).params() for p in pair} == {
        torch.float64
    }


def test_mlp_refuses_unknown_arguments():
    with pytest.raises(ValueError, match=r"activation='elu': must be one of \['relu', 'sigmoid'\]"):
        MLP(4, 3, [5], activation="elu")
    with pytest.raises(ValueError, match=r"p=-0.5: must be in \[0, 1\]"):
        MLP(4, 3, [5], dropout=-0.5)
    with pytest.raises(TypeError):
        MLP(4, 3, [5], unknown=1)


@pytest.mark.parametrize("seed", range(5))
def test_shape_law_of_random_mlps(seed):
    """z is (N, classes), dx is (N, features) and every gradient has its parameter's shape."""
    rng = random.Random(seed)
    features, classes, rows = (rng.randint(1, 9) for _ in range(3))
    hidden = [rng.randint(1, 9) for _ in range(rng.randint(0, 4))]
    model = MLP(features, classes, hidden, rng.choice(["relu", "sigmoid"]), rng.choice([0, 0.5]))
    x = torch.randn(rows, features)
    z = model(x)
    assert z.shape == (rows, classes)
    assert model.backward(torch.randn_like(z)).shape == x.shape
    shapes = [
        shape
        for n_in, n_out in itertools.pairwise([features, *hidden, classes])
        for shape in [(n_out, n_in), (n_out,)]
    ]
    assert [tuple(p.shape) for p, _ in model.params()] == shapes
    assert [tuple(dp.shape) for _, dp in model.params()] == shapes


def test_repr():
    assert repr(MLP(2, 3)) == (
        "MLP, Sequential\n\t[0] Linear(self.in_features=2, self.out_features=3)"
    )
