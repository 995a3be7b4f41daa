"""The layers that an MLP consists of."""

import pytest

from hw2core.layers import MLP, Dropout, Linear, ReLU, Sigmoid


@pytest.mark.parametrize("wstd", [0.01, 0.1, 2.0])
def test_wstd_reaches_every_linear(wstd):
    """A public mistake: the weight scale stopped at the MLP, and every layer kept 0.1."""
    linears = [part for part in MLP(300, 100, [200, 150], wstd=wstd).sequence if hasattr(part, "w")]
    assert [tuple(linear.w.shape) for linear in linears] == [(200, 300), (150, 200), (100, 150)]
    for linear in linears:
        assert linear.w.std().item() == pytest.approx(wstd, rel=0.05)


@pytest.mark.parametrize(
    ("kw", "kinds"),
    [
        ({}, [Linear]),
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


def test_mlp_refuses_unknown_arguments():
    with pytest.raises(ValueError, match=r"activation='elu': must be one of \['relu', 'sigmoid'\]"):
        MLP(4, 3, [5], activation="elu")
    with pytest.raises(ValueError, match=r"p=-0.5: must be in \[0, 1\]"):
        MLP(4, 3, [5], dropout=-0.5)
    with pytest.raises(TypeError):
        MLP(4, 3, [5], unknown=1)
