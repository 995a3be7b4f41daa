"""The elementary layers against torch: values, gradients, extremes, shapes, arguments."""

import math

import pytest
import torch
import torch.nn.functional as F

from hw2core import layers

D = 7  # features of every input below
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
# Name -> (make the layer, the same function in torch of x and the layer's parameters).
LAYERS = {
    "LeakyReLU": (layers.LeakyReLU, F.leaky_relu),
    "LeakyReLU 0.3": (lambda: layers.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    "ReLU": (layers.ReLU, F.relu),
    "Sigmoid": (layers.Sigmoid, F.sigmoid),
    "TanH": (layers.TanH, F.tanh),
    "Linear": (lambda: make_linear(4), F.linear),
    "Linear 1": (lambda: make_linear(1), F.linear),
}


def make_linear(out_features):
    """A float64 Linear whose bias is not zero: a bias that is left out must show."""
    layer = layers.Linear(D, out_features, dtype=torch.float64)
    layer.b.normal_()
    return layer


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def differentiate(function, leaves, dout):
    """Value and VJP of ``function(*leaves)`` by autograd."""
    with torch.enable_grad():
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
    layer = make_layer()
    z = layer(x, y="a keyword it does not know")
    dout = torch.randn_like(z)
    dx = layer.backward(dout)

    params = [p for p, _ in layer.params()]
    expected_z, (expected_dx, *expected_grads) = differentiate(function, [x, *params], dout)
    assert_same(z, expected_z)
    assert_same(dx, expected_dx)
    for (_, grad), expected in zip(layer.params(), expected_grads, strict=True):
        assert_same(grad, expected)


@pytest.mark.parametrize("make_input", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_value_and_gradients_are_torchs(name, make_input):
    assert_is_torchs(name, make_input().double())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", LAYERS)
def test_value_and_gradients_are_torchs_on_cuda(name):
    with torch.device("cuda"):
        assert_is_torchs(name, torch.randn(4, 3, D, dtype=torch.float64))


@pytest.mark.parametrize("name", ["LeakyReLU", "ReLU"])
def test_kink_has_torchs_slope(name):
    make_layer, function = LAYERS[name]
    layer, x = make_layer(), torch.tensor([[-1.0, -0.0, 0.0, 1.0]])
    z = layer(x)
    expected_z, (expected_dx,) = differentiate(function, [x], torch.ones_like(x))
    assert_same(z, expected_z, 0)
    assert_same(layer.backward(torch.ones_like(x)), expected_dx, 0)


@pytest.mark.parametrize("name", LAYERS)
def test_backward_agrees_with_finite_differences(name):
    """Central differences of Σ dout z: the definition of the VJP, without any autograd."""
    layer, x = LAYERS[name][0](), torch.randn(3, D, dtype=torch.float64)
    dout = torch.randn_like(layer(x))
    gradients = [layer.backward(dout), *(grad for _, grad in layer.params())]
    for tensor, gradient in zip([x, *(p for p, _ in layer.params())], gradients, strict=True):
        numeric = torch.empty_like(tensor)
        entries, h = tensor.view(-1), 1e-6
        for i, value in enumerate(entries.tolist()):
            ends = []
            for entries[i] in (value + h, value - h):
                ends.append((dout * layer(x)).sum())
            entries[i] = value
            numeric.view(-1)[i] = (ends[0] - ends[1]) / (2 * h)
        assert_same(gradient, numeric, 1e-8)


def test_linear_accumulates_in_place_over_two_backwards():
    layer, total_dw, total_db = make_linear(4), torch.zeros(4, D), torch.zeros(4)
    addresses = [grad.data_ptr() for _, grad in layer.params()]
    for _ in range(2):
        x, dout = torch.randn(2, D, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
        layer(x)
        layer.backward(dout)
        total_dw = total_dw + dout.T @ x
        total_db = total_db + dout.sum(dim=0)
    assert_same(layer.dw, total_dw)
    assert_same(layer.db, total_db)
    assert [layer.dw.data_ptr(), layer.db.data_ptr()] == addresses


def test_linear_accumulate_gradients_is_backward_without_dx():
    one, other, x = make_linear(4), make_linear(4), torch.randn(5, D, dtype=torch.float64)
    dout = torch.randn(5, 4, dtype=torch.float64)
    for layer in (one, other):
        layer(x)
    one.backward(dout)
    assert other.accumulate_gradients(dout) is None
    assert_same(other.dw, one.dw, 0)
    assert_same(other.db, one.db, 0)


def test_linear_holds_what_its_params_list():
    layer = layers.Linear(3, 2)
    expected = [(layer.w, layer.dw), (layer.b, layer.db)]
    for pair, expected_pair in zip(layer.params(), expected, strict=True):
        assert pair[0] is expected_pair[0]
        assert pair[1] is expected_pair[1]
    assert layer.w.shape == layer.dw.shape == (2, 3)
    assert layer.b.shape == layer.db.shape == (2,)
    for tensor in (layer.b, layer.dw, layer.db):
        assert not tensor.any()
    assert layer.w.is_leaf
    assert layer.b.is_leaf
    assert (layer.in_features, layer.out_features) == (3, 2)


@pytest.mark.parametrize(("kw", "std"), [({}, 0.1), ({"wstd": 3}, 3), ({"wstd": 0}, 0)])
def test_linear_weights_have_the_given_deviation(kw, std):
    w = layers.Linear(200, 100, **kw).w  # 20,000 draws: the deviation is known to 0.5 %
    assert w.std().item() == pytest.approx(std, rel=0.03)
    assert abs(w.mean().item()) <= 0.05 * std


@pytest.mark.parametrize("x_shape", [(5, 3), (5, 14), (7, 5)])
def test_linear_refuses_a_wrong_number_of_features(x_shape):
    with pytest.raises(RuntimeError):
        layers.Linear(D, 2)(torch.randn(x_shape))


# Every float dtype holds 1e4; beyond |x| = 88.7, exp overflows in float32.
EXTREMES = [-1e4, -1e3, -100, -89, -88, -20, -1e-4, 0, 1e-4, 20, 88, 89, 100, 1e3, 1e4]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", [name for name in LAYERS if "Linear" not in name])
def test_extreme_inputs_stay_finite_and_right(name, dtype):
    make_layer, function = LAYERS[name]
    layer, x = make_layer(), torch.tensor([EXTREMES], dtype=dtype)
    z, dx = layer(x), layer.backward(torch.ones_like(x))
    expected_z, (expected_dx,) = differentiate(function, [x], torch.ones_like(x))
    assert z.isfinite().all()
    assert dx.isfinite().all()
    assert_same(z, expected_z, 1e-2 if dtype == torch.bfloat16 else 1e-3)
    assert_same(dx, expected_dx, 1e-2 if dtype == torch.bfloat16 else 1e-3)


def test_rows_of_a_batch_do_not_influence_each_other():
    for make_layer, _ in LAYERS.values():
        layer, x = make_layer(), torch.randn(6, D, dtype=torch.float64)
        dout = torch.randn_like(layer(x))
        z, dx = layer(x), layer.backward(dout)
        for i in range(6):
            assert_same(layer(x[i : i + 1]), z[i : i + 1])
            assert_same(layer.backward(dout[i : i + 1]), dx[i : i + 1])


def test_forward_and_backward_leave_their_arguments_alone():
    for make_layer, _ in LAYERS.values():
        layer, x = make_layer(), torch.randn(3, D, dtype=torch.float64)
        dout = torch.randn_like(layer(x))
        x_before, dout_before = x.clone(), dout.clone()
        layer(x)
        layer.backward(dout)
        assert torch.equal(x, x_before)
        assert torch.equal(dout, dout_before)


BAD_ARGUMENTS = [
    (lambda v: layers.LeakyReLU(alpha=v), "alpha", [-0.1, 1, 2, math.nan]),
    (lambda v: layers.Dropout(p=v), "p", [-0.01, 1.01, math.nan]),
    (lambda v: layers.Linear(v, 2), "in_features", [0, -3]),
    (lambda v: layers.Linear(2, v), "out_features", [0, -3]),
    (lambda v: layers.Linear(2, 2, wstd=v), "wstd", [-0.1, math.inf, math.nan]),
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
    assert layers.Linear(1, 1)(torch.ones(1, 1)).shape == (1, 1)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (layers.LeakyReLU(0.1), "LeakyReLU(self.alpha=0.1)"),
        (layers.ReLU(), "ReLU"),
        (layers.Sigmoid(), "Sigmoid"),
        (layers.TanH(), "TanH"),
        (layers.Linear(3, 2), "Linear(self.in_features=3, self.out_features=2)"),
        (layers.Dropout(0.3), "Dropout(p=0.3)"),
        (layers.CrossEntropyLoss(), "CrossEntropyLoss"),
    ],
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_layer_is_abstract_and_starts_in_training_mode():
    with pytest.raises(TypeError, match="abstract"):
        layers.Layer()
    layer = layers.ReLU()
    assert layer.training_mode is True
    layer.train(False)
    assert layer.training_mode is False
    layer.train()
    assert layer.training_mode is True
    assert layer.params() == []
