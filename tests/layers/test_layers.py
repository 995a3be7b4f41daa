"""Every layer and chain of layers against torch: values, gradients, extremes, arguments."""

import math

import pytest
import torch
import torch.nn.functional as F

from hw2core import layers
from hw2core.layers import MLP, Linear, Sequential

D = 7  # features of every input below
F64 = {"dtype": torch.float64}
INPUTS = {
    "2-D": lambda: torch.randn(5, D),
    "one row": lambda: torch.randn(1, D),
    "3-D": lambda: torch.randn(4, 3, D),
    "4-D": lambda: torch.randn(2, 3, 4, D),
    "transposed": lambda: torch.randn(D, 5).T,
    "strided": lambda: torch.randn(6, 2 * D)[::2, ::2],
    "permuted 3-D": lambda: torch.randn(D, 3, 4).permute(2, 1, 0),
    "no rows": lambda: torch.randn(0, D),
}


def chain(x, params, activations):
    """Linear layers of torch with an activation after each; ``params`` are their w, b, w, b, …"""
    for w, b, activation in zip(params[::2], params[1::2], activations, strict=True):
        x = activation(F.linear(x, w, b))
    return x


def same(x):
    return x


# Name -> (make the layer, the same function in torch of x and the layer's parameters).
ACTIVATIONS = {
    "LeakyReLU": (layers.LeakyReLU, F.leaky_relu),
    "LeakyReLU 0.3": (lambda: layers.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    "ReLU": (layers.ReLU, F.relu),
    "Sigmoid": (layers.Sigmoid, F.sigmoid),
    "TanH": (layers.TanH, F.tanh),
}
LAYERS = ACTIVATIONS | {
    "Linear": (lambda: Linear(D, 4, **F64), F.linear),
    "Linear 1": (lambda: Linear(D, 1, **F64), F.linear),
    "linear classifier": (lambda: MLP(D, 3, wstd=0.5, **F64), F.linear),
    "MLP relu": (
        lambda: MLP(D, 3, [8, 5], wstd=0.5, **F64),
        lambda x, *params: chain(x, params, [F.relu, F.relu, same]),
    ),
    "MLP sigmoid": (
        lambda: MLP(D, 3, (4, 4, 4), "sigmoid", wstd=0.5, **F64),
        lambda x, *params: chain(x, params, [F.sigmoid] * 3 + [same]),
    ),
    "all activations": (
        lambda: Sequential(
            *[Linear(D, 5, **F64), layers.LeakyReLU(), Linear(5, 5, **F64), layers.TanH()],
            *[Linear(5, 4, **F64), layers.Sigmoid(), Linear(4, 3, **F64), layers.ReLU()],
        ),
        lambda x, *params: chain(x, params, [F.leaky_relu, F.tanh, F.sigmoid, F.relu]),
    ),
    "nested": (
        lambda: Sequential(
            layers.TanH(), MLP(D, 5, [4], **F64), Sequential(layers.ReLU(), MLP(5, 3, **F64))
        ),
        lambda x, *params: chain(F.tanh(x), params, [F.relu, F.relu, same]),
    ),
    "empty": (Sequential, same),
}


def differentiate(function, leaves, dout):
    """Value and VJP of ``function(*leaves)`` by autograd."""
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    z = function(*leaves)
    return z.detach(), torch.autograd.grad(z, leaves, dout)


def assert_same(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def assert_is_torchs(name, x):
    """Compare value, dx and the parameters' gradients with those of the function in torch."""
    make_layer, function = LAYERS[name]
    layer, x_before = make_layer(), x.clone()
    pairs = layer.params()
    for p, grad in pairs:
        assert not grad.any()
        p.normal_()  # a bias that is left out must show
    params = [p for p, _ in pairs]
    z = layer(x, y="a keyword it does not know")
    dout = torch.randn_like(z)
    dout_before = dout.clone()
    expected_z, (expected_dx, *expected_grads) = differentiate(function, [x, *params], dout)
    assert_same(z, expected_z)
    for _ in range(2):  # the second round must add to the first
        assert_same(layer.backward(dout), expected_dx)
    assert layer.accumulate_gradients(dout) is None
    for (_, grad), expected in zip(pairs, expected_grads, strict=True):  # in place
        assert_same(grad, 3 * expected)
    assert torch.equal(x, x_before)
    assert torch.equal(dout, dout_before)


@pytest.mark.parametrize("make_input", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_value_and_gradients_are_torchs(name, make_input):
    assert_is_torchs(name, make_input().double())


@pytest.mark.gpu
@pytest.mark.parametrize("name", LAYERS)
def test_value_and_gradients_are_torchs_on_cuda(name):
    with torch.device("cuda"):
        assert_is_torchs(name, torch.randn(4, 3, D, dtype=torch.float64))


# Every float dtype holds 1e4; beyond |x| = 88.7, exp overflows in float32. At 0 is the kink.
EXTREMES = [-1e4, -1e3, -100, -89, -88, -20, -1e-4, -0.0, 0, 1e-4, 20, 88, 89, 100, 1e3, 1e4]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_extreme_inputs_stay_finite_and_right(name, dtype):
    make_layer, function = ACTIVATIONS[name]
    layer, x = make_layer(), torch.tensor([EXTREMES], dtype=dtype)
    z, dx = layer(x), layer.backward(torch.ones_like(x))
    expected_z, (expected_dx,) = differentiate(function, [x], torch.ones_like(x))
    assert z.isfinite().all()
    assert dx.isfinite().all()
    assert_same(z, expected_z, 1e-2 if dtype == torch.bfloat16 else 1e-3)
    assert_same(dx, expected_dx, 1e-2 if dtype == torch.bfloat16 else 1e-3)


def test_linear_holds_what_its_params_list():
    layer = Linear(3, 2)
    (w, dw), (b, db) = layer.params()
    assert (layer.w is w, layer.dw is dw, layer.b is b, layer.db is db) == (True,) * 4
    assert w.shape == dw.shape == (2, 3)
    assert b.shape == db.shape == (2,)
    assert not b.any()
    assert w.is_leaf
    assert b.is_leaf
    assert (layer.in_features, layer.out_features) == (3, 2)


@pytest.mark.parametrize(("kw", "std"), [({}, 0.1), ({"wstd": 3}, 3), ({"wstd": 0}, 0)])
def test_linear_weights_have_the_given_deviation(kw, std):
    w = Linear(200, 100, **kw).w  # 20,000 draws: the deviation is known to 0.5 %
    assert w.std().item() == pytest.approx(std, rel=0.03)
    assert abs(w.mean().item()) <= 0.05 * std


@pytest.mark.parametrize("x_shape", [(5, 3), (5, 14), (7, 5)])
def test_linear_refuses_a_wrong_number_of_features(x_shape):
    with pytest.raises(RuntimeError):
        Linear(D, 2)(torch.randn(x_shape))


BAD_ARGUMENTS = [
    (lambda v: layers.LeakyReLU(alpha=v), "alpha", [-0.1, 1, 2, math.nan]),
    (lambda v: layers.Dropout(p=v), "p", [-0.01, 1.01, math.nan]),
    (lambda v: Linear(v, 2), "in_features", [0, -3]),
    (lambda v: Linear(2, v), "out_features", [0, -3]),
    (lambda v: Linear(2, 2, wstd=v), "wstd", [-0.1, math.inf, math.nan]),
]


@pytest.mark.parametrize(
    ("make", "name", "value"), [(m, name, v) for m, name, values in BAD_ARGUMENTS for v in values]
)
def test_arguments_out_of_range_are_refused(make, name, value):
    with pytest.raises(ValueError, match=rf"^{name}={value}: must be "):
        make(value)


def test_ends_of_the_ranges_are_accepted():
    assert layers.LeakyReLU(0).alpha == 0
    assert layers.LeakyReLU().alpha == 0.01
    assert layers.Dropout().p == 0.5
    assert Linear(1, 1)(torch.ones(1, 1)).shape == (1, 1)


LINEAR = "Linear(self.in_features=3, self.out_features=2)"


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (layers.LeakyReLU(0.1), "LeakyReLU(self.alpha=0.1)"),
        (layers.ReLU(), "ReLU"),
        (layers.Sigmoid(), "Sigmoid"),
        (layers.TanH(), "TanH"),
        (Linear(3, 2), LINEAR),
        (layers.Dropout(0.3), "Dropout(p=0.3)"),
        (layers.CrossEntropyLoss(), "CrossEntropyLoss"),
        (Sequential(Linear(3, 2), layers.ReLU()), f"Sequential\n\t[0] {LINEAR}\n\t[1] ReLU"),
        (MLP(3, 2), f"MLP, Sequential\n\t[0] {LINEAR}"),
    ],
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_layer_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        layers.Layer()
