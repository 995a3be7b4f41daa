"""CrossEntropyLoss against torch: values, gradients, extreme logits, labels that do not fit."""

import math

import pytest
import torch
import torch.nn.functional as F

from hw2core.layers import CrossEntropyLoss

LOSS_INPUTS = {
    "2-D": lambda: (torch.randn(6, 10), torch.randint(10, (6,))),
    "one row": lambda: (torch.randn(1, 10), torch.randint(10, (1,))),
    "one class": lambda: (torch.randn(3, 1), torch.zeros(3, dtype=torch.int64)),
    "4-D": lambda: (torch.randn(3, 10, 5, 2), torch.randint(10, (3, 5, 2))),
    "transposed": lambda: (torch.randn(10, 6).T, torch.randint(10, (6, 2))[:, 0]),
    "equal labels": lambda: (torch.randn(6, 10), torch.full((6,), 9)),
    "tied logits": lambda: (torch.zeros(6, 10), torch.randint(10, (6,))),
    "large logits": lambda: (torch.randn(6, 10) * 1e4, torch.randint(10, (6,))),
}


def assert_is_torchs(x, y, *dout):
    loss_fn, twin_x = CrossEntropyLoss(), x.clone().requires_grad_()
    loss = loss_fn(x, y, unknown=1)
    expected = F.cross_entropy(twin_x, y)
    expected.backward(torch.as_tensor(*dout or [1.0]).to(x))
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=1e-10)
    for _ in range(2):  # the cache survives a backward
        torch.testing.assert_close(loss_fn.backward(*dout), twin_x.grad, rtol=0, atol=1e-10)
    assert loss_fn.params() == []


@pytest.mark.parametrize("dout", [[], [-2.5], [torch.tensor(0.3, dtype=torch.float64)]])
@pytest.mark.parametrize("make_input", LOSS_INPUTS.values(), ids=LOSS_INPUTS)
def test_cross_entropy_is_torchs(make_input, dout):
    x, y = make_input()
    assert_is_torchs(x.double(), y, *dout)


@pytest.mark.gpu
def test_cross_entropy_is_torchs_on_cuda():
    x, y = LOSS_INPUTS["4-D"]()
    assert_is_torchs(x.double().cuda(), y.cuda(), 2.0)


@pytest.mark.parametrize("y_shape", [(3,), (5,), (4, 1), ()])
def test_labels_that_do_not_fit_are_refused(y_shape):
    with pytest.raises(ValueError, match=r"y \("):
        CrossEntropyLoss()(torch.randn(4, 3), torch.zeros(y_shape, dtype=torch.int64))


@pytest.mark.parametrize("scale", [1e2, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_extreme_logits_give_a_finite_loss(dtype, scale):
    loss_fn = CrossEntropyLoss()
    x = torch.tensor([[scale, -scale, 0], [scale, scale, -scale], [-scale] * 3], dtype=dtype)
    for y, expected in [([0, 0, 0], math.log(2) + math.log(3)), ([1, 2, 2], 4 * scale)]:
        loss = loss_fn(x, torch.tensor(y))
        dx = loss_fn.backward()
        assert loss.item() == pytest.approx(expected / 3, rel=1e-2)
        assert dx.isfinite().all()
        torch.testing.assert_close(dx.sum(dim=1), torch.zeros(3, dtype=dtype), rtol=0, atol=1e-2)


def test_digits_of_logits_with_a_large_common_part_are_kept():
    """Without the shift, 10,000 + 0.25 and the sum's logarithm keep three digits in float32."""
    x, y = torch.tensor([[0.0, 0.25, 1.0]]), torch.tensor([1])
    expected = CrossEntropyLoss()(x.double(), y).item()
    assert CrossEntropyLoss()(x + 8192, y).item() == pytest.approx(expected, abs=1e-6)
