import pytest
import torch
from torch import nn

from hw2core.analysis.arithmetic import (
    BATCH,
    IN_FEATURES,
    OUT_FEATURES,
    compare_blocks,
    measure_jacobian,
)
from hw2core.analysis.gradient_checks import check_gradients
from hw2core.layers import activations


def test_the_jacobian_of_the_question_is_that_of_the_course():
    jacobian = measure_jacobian(BATCH, IN_FEATURES, OUT_FEATURES)
    assert jacobian.shape == (128, 2048, 128, 1024)
    assert jacobian.entries == 34_359_738_368
    assert jacobian.size == 137_438_953_472
    assert jacobian.gib == 128
    assert (jacobian.blocks, jacobian.block_gib) == (128, 1)
    assert jacobian.product_mib == 0.5


def test_the_formula_holds_for_a_jacobian_that_fits_into_memory():
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    full = torch.autograd.functional.jacobian(layer, x)
    sizes = measure_jacobian(5, 3, 4)
    assert full.shape == sizes.shape
    assert full.numel() == sizes.entries
    assert full.nelement() * full.element_size() == sizes.size
    filled = sum(bool(full[n, :, m].any()) for n in range(5) for m in range(5))
    assert filled == sizes.blocks
    assert all(torch.equal(full[n, :, n], layer.weight) for n in range(5))


def test_the_blocks_of_the_question_cost_what_the_course_says():
    blocks = compare_blocks()
    regular, bottleneck = blocks["regular"], blocks["bottleneck"]
    assert (regular.weights, regular.parameters) == (1_179_648, 1_180_160)
    assert (bottleneck.weights, bottleneck.parameters) == (69_632, 70_016)
    assert regular.multiply_adds == regular.weights
    assert bottleneck.multiply_adds == bottleneck.weights
    assert (regular.field, bottleneck.field) == (5, 3)
    assert (regular.rank, bottleneck.rank) == (256, 64)


def test_every_layer_by_hand_agrees_with_autograd():
    rows = check_gradients()
    assert len(rows) == 8
    for row in rows:
        assert row.by_input < 1e-12, row.name
        assert row.by_parameters is None or row.by_parameters < 1e-12, row.name
    assert any(row.by_parameters is not None for row in rows)


def test_a_wrong_gradient_would_show(monkeypatch):
    right = activations.TanH.backward
    monkeypatch.setattr(activations.TanH, "backward", lambda self, dout: 1.001 * right(self, dout))
    (row,) = [row for row in check_gradients() if row.name == "TanH"]
    assert row.by_input > 1e-3


def test_checking_leaves_the_generator_as_it_was():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_gradients()
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("size", [1, 7])
def test_sizes_scale(size):
    assert measure_jacobian(size, 2, 3).entries == size * 3 * size * 2
