"""Sequential and MLP as chains of layers, against the same network in torch.nn."""

import copy

import pytest
import torch
from torch import nn

from hw2core.layers import (
    MLP,
    CrossEntropyLoss,
    Dropout,
    Layer,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    TanH,
)

TORCH_LAYERS = {ReLU: nn.ReLU, Sigmoid: nn.Sigmoid, TanH: nn.Tanh, LeakyReLU: nn.LeakyReLU}
F64 = {"dtype": torch.float64}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make_torch_twin(sequence):
    """The same network of torch.nn, with copies of the same parameters."""
    twins = []
    for layer in sequence:
        if isinstance(layer, Linear):
            twin = nn.Linear(layer.in_features, layer.out_features, dtype=layer.w.dtype)
            twin.weight.data = layer.w.clone()
            twin.bias.data = layer.b.clone()
        else:
            twin = TORCH_LAYERS[type(layer)]()
        twins.append(twin)
    return nn.Sequential(*twins)


COMPOSED = {
    "linear classifier": lambda: MLP(6, 3, wstd=0.5, **F64),
    "MLP relu": lambda: MLP(6, 3, [8, 5], wstd=0.5, **F64),
    "MLP sigmoid": lambda: MLP(6, 3, (4, 4, 4), "sigmoid", wstd=0.5, **F64),
    "all activations": lambda: Sequential(
        *[Linear(6, 5, **F64), LeakyReLU(), Linear(5, 5, **F64), TanH()],
        *[Linear(5, 4, **F64), Sigmoid(), Linear(4, 3, **F64), ReLU()],
    ),
    "nested": lambda: Sequential(
        TanH(), MLP(6, 5, [4], **F64), Sequential(ReLU(), MLP(5, 3, **F64))
    ),
}
INPUTS = {
    "2-D": lambda: torch.randn(9, 6, **F64),
    "one row": lambda: torch.randn(1, 6, **F64),
    "transposed": lambda: torch.randn(6, 9, **F64).T,
    "strided": lambda: torch.randn(18, 12, **F64)[::2, ::2],
}


def flatten_layers(layer):
    if isinstance(layer, MLP):
        return flatten_layers(layer.sequence)
    if isinstance(layer, Sequential):
        return [leaf for inner in layer for leaf in flatten_layers(inner)]
    return [layer]


@pytest.mark.parametrize("make_input", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("make_model", COMPOSED.values(), ids=COMPOSED)
def test_model_and_loss_have_torchs_value_and_gradients(make_model, make_input):
    model, loss_fn, x = make_model(), CrossEntropyLoss(), make_input()
    for part in flatten_layers(model):
        if isinstance(part, Linear):
            part.b.normal_()  # a bias that is left out must show
    y = torch.randint(3, (len(x),))
    twin, twin_x = make_torch_twin(flatten_layers(model)), x.clone().requires_grad_()
    for _ in range(2):  # the second round must add to the first, on both sides
        loss = loss_fn(model(x), y)
        dx = model.backward(loss_fn.backward())
        twin_loss = nn.functional.cross_entropy(twin(twin_x), y)
        twin_x.grad = None
        twin_loss.backward()
        torch.testing.assert_close(loss, twin_loss.detach(), rtol=0, atol=1e-10)
        torch.testing.assert_close(dx, twin_x.grad, rtol=0, atol=1e-10)
        for (_, grad), p in zip(model.params(), twin.parameters(), strict=True):
            torch.testing.assert_close(grad, p.grad, rtol=0, atol=1e-10)


def test_sequential_of_leading_dimensions():
    model = MLP(6, 3, [5], **F64)
    twin, x = make_torch_twin(model.sequence), torch.randn(2, 4, 6, **F64)
    z = model(x)
    dout = torch.randn_like(z)
    twin(x).backward(dout)
    assert z.shape == (2, 4, 3)
    assert model.backward(dout).shape == x.shape
    for (_, grad), p in zip(model.params(), twin.parameters(), strict=True):
        torch.testing.assert_close(grad, p.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("make_model", COMPOSED.values(), ids=COMPOSED)
def test_accumulate_gradients_is_backward_without_dx(make_model):
    one, x = make_model(), INPUTS["2-D"]()
    other = copy.deepcopy(one)
    dout = torch.randn_like(one(x))
    other(x)
    one.backward(dout)
    assert other.accumulate_gradients(dout) is None
    for (_, grad), (_, expected) in zip(other.params(), one.params(), strict=True):
        assert expected.any()
        assert torch.equal(grad, expected)


class BackwardCounter(Layer):
    """Identity that counts how often its dx is asked for."""

    count = 0

    def forward(self, x, **kw):
        self.keywords = kw
        return x

    def backward(self, dout):
        self.count += 1
        return dout

    def params(self):
        return []


@pytest.mark.parametrize("position", [0, 1])
def test_accumulate_gradients_reaches_layers_that_know_only_backward(position):
    """The first layer's dx is saved; every other layer's is needed, also by a user's own layer."""
    counter, layers = BackwardCounter(), [Linear(3, 3), Linear(3, 3)]
    model = Sequential(*layers[:position], counter, *layers[position:])
    dout = torch.ones_like(model(torch.randn(2, 3)))
    model.accumulate_gradients(dout)
    assert counter.count == 1
    assert all(layer.dw.any() for layer in layers)


def test_accumulate_gradients_does_not_compute_the_first_dx(monkeypatch):
    model = MLP(4, 2, [3])
    model(torch.randn(5, 4))
    monkeypatch.setattr(model.sequence[0], "backward", lambda dout: pytest.fail("dx was computed"))
    model.accumulate_gradients(torch.ones(5, 2))


def test_sequential_passes_keywords_to_every_layer():
    counters = [BackwardCounter(), BackwardCounter()]
    Sequential(*counters)(torch.ones(1), y=1, other=2)
    assert [c.keywords for c in counters] == [{"y": 1, "other": 2}] * 2
    mlp = MLP(2, 2)
    mlp.sequence = Sequential(*counters)
    mlp(torch.ones(1), y=3)
    assert [c.keywords for c in counters] == [{"y": 3}] * 2


def test_sequential_may_end_in_the_loss():
    x, y = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    loss_fn, model = CrossEntropyLoss(), Sequential(TanH(), CrossEntropyLoss())
    assert torch.equal(model(x, y=y), loss_fn(torch.tanh(x), y))


def test_sequential_is_a_sequence_of_its_layers():
    parts = [Linear(2, 3), ReLU(), Linear(3, 1)]
    model = Sequential(*parts)
    assert len(model) == 3
    assert list(model) == parts
    assert [model[0], model[1], model[-1]] == parts
    with pytest.raises(IndexError):
        model[3]
    head = model[:2]
    assert isinstance(head, Sequential)
    assert list(head) == parts[:2]
    assert torch.equal(head(torch.ones(1, 2)), parts[1](parts[0](torch.ones(1, 2))))
    assert [p for p, _ in model.params()] == [parts[0].w, parts[0].b, parts[2].w, parts[2].b]


def test_empty_sequential_is_the_identity():
    x = torch.randn(2, 3)
    assert Sequential()(x) is x
    assert Sequential().backward(x) is x
    Sequential().accumulate_gradients(x)
    assert Sequential().params() == []


def test_train_reaches_every_layer():
    model = Sequential(MLP(4, 4, [4], dropout=0.5), Dropout(), Sequential(ReLU()))
    everything = [model, model[0], model[0].sequence, model[2], *flatten_layers(model)]
    for mode in (False, True):
        model.train(mode)
        assert [layer.training_mode for layer in everything] == [mode] * len(everything)
    for composed in (model, model[0]):  # Sequential and MLP: training is the default
        composed.train(False)
        composed.train()
        assert all(layer.training_mode for layer in flatten_layers(composed))


def test_repr():
    text = "Sequential\n\t[0] Linear(self.in_features=2, self.out_features=3)\n\t[1] ReLU"
    assert repr(Sequential(Linear(2, 3), ReLU())) == text
