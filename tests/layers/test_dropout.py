"""Dropout: what it drops, how it scales, and in which mode."""

import math

import pytest
import torch

from hw2core.layers import Dropout


@pytest.mark.parametrize("p", [0.1, 0.4, 0.8])
def test_p_is_the_probability_to_drop_and_the_expectation_is_kept(p):
    """A public mistake: p kept with probability p. At p = 0.1, 0.4, 0.8 the two differ."""
    n = 40_000
    x = torch.full((200, n // 200), 3.0, dtype=torch.float64)
    z = Dropout(p)(x)
    five_sigma = 5 * math.sqrt(p * (1 - p) / n)
    assert (z == 0).double().mean().item() == pytest.approx(p, abs=five_sigma)
    torch.testing.assert_close(z[z != 0], torch.full_like(z[z != 0], 3 / (1 - p)))


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4, 5), (0, 4)])
@pytest.mark.parametrize("p", [0, 0.3, 1])
def test_backward_uses_the_mask_of_the_forward(p, shape):
    layer, x = Dropout(p), torch.rand(shape, dtype=torch.float64) + 1
    dout = torch.randn(shape, dtype=torch.float64)
    z = layer(x, y="ignored")
    assert z.shape == x.shape
    torch.testing.assert_close(layer.backward(dout), dout * z / x, rtol=1e-14, atol=0)
    if p in (0, 1):
        assert torch.equal(z, (1 - p) * x)


@pytest.mark.parametrize("p", [0, 0.5, 1])
def test_evaluation_changes_nothing_and_draws_nothing(p):
    layer, x = Dropout(p), torch.randn(5, 4)
    layer(x)  # leaves a mask behind, which evaluation must not use
    layer.train(False)
    state = torch.get_rng_state()
    assert torch.equal(layer(x), x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer.backward(x), x)


def test_mask_depends_on_the_global_seed_alone():
    masks = []
    for seed, x in [(1, torch.ones(30, 20)), (1, torch.ones(20, 30).T), (2, torch.ones(30, 20))]:
        torch.manual_seed(seed)
        masks.append(Dropout(0.5)(x))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert not torch.equal(Dropout(0.5)(torch.ones(30, 20)), masks[2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_fraction_is_right_in_every_dtype(dtype):
    """A uniform draw in a short dtype would have only 256 or 2,048 values to compare with p."""
    z = Dropout(0.001)(torch.ones(400, 1000, dtype=dtype))
    assert z.dtype == dtype
    assert (z == 0).sum().item() == pytest.approx(400, abs=5 * math.sqrt(400))
