"""Sequential as a sequence of layers, and what it passes on to them."""

import pytest
import torch

from hw2core.layers import MLP, CrossEntropyLoss, Layer, Linear, ReLU, Sequential, TanH


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


def test_keywords_are_passed_to_every_layer():
    counters = [BackwardCounter(), BackwardCounter()]
    mlp = MLP(2, 2)
    mlp.sequence = Sequential(*counters)
    mlp(torch.ones(1), y=1, other=2)
    assert [c.keywords for c in counters] == [{"y": 1, "other": 2}] * 2
    x, y = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    assert torch.equal(
        Sequential(TanH(), CrossEntropyLoss())(x, y=y), CrossEntropyLoss()(torch.tanh(x), y)
    )


def test_a_sequential_is_a_sequence_of_its_layers():
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
    assert [p for p, _ in model.params()] == [parts[0].w, parts[0].b, parts[2].w, parts[2].b]


@pytest.mark.parametrize("wrap", [lambda inner: inner, Sequential])
def test_train_reaches_every_layer(wrap):
    inner = MLP(4, 4, [4], dropout=0.5)
    model = wrap(inner)
    everything = [model, inner, inner.sequence, *inner.sequence]
    assert {layer.training_mode for layer in everything} == {True}
    for mode in (False, True):
        model.train(mode)
        assert {layer.training_mode for layer in everything} == {mode}
    for layer in (model, inner.sequence[0]):  # training is the default
        layer.train(False)
        layer.train()
        assert {layer.training_mode for layer in everything} == {True}


def test_a_layer_at_two_places_is_refused():
    """It keeps the values of its last call, so dx would be wrong at the first place."""
    relu = ReLU()
    for layers in ((relu, TanH(), relu), (relu, Sequential(TanH(), Sequential(relu)))):
        with pytest.raises(ValueError, match="a layer is given twice"):
            Sequential(*layers)
