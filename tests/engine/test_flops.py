import pytest
import torch
from torch import nn

from hw2core.cnn.conv import ConvClassifier
from hw2core.cnn.residual import ResidualBlock, ResidualBottleneckBlock, ResNetClassifier
from hw2core.engine.flops import count_flops, count_parameters


@pytest.mark.parametrize(
    ("block", "weights", "parameters"),
    [
        (ResidualBlock(256, [256, 256], [3, 3]), 1_179_648, 1_180_160),
        (ResidualBottleneckBlock(256, [64], [3]), 69_632, 70_016),
    ],
)
def test_counts_of_the_two_residual_blocks(block, weights, parameters):
    """Part 3, question 1: each weight is used once per output pixel, as multiply and add."""
    assert count_parameters(block) == parameters
    assert count_flops(block, (256, 4, 5)) == 2 * weights * 20


def test_flops_by_hand():
    model = ConvClassifier((3, 32, 32), 10, [32, 64], 1, [100])
    convolutions = 3 * 9 * 32 * 32**2 + 32 * 9 * 64 * 16**2
    linears = 64 * 8 * 8 * 100 + 100 * 10
    assert count_flops(model, (3, 32, 32)) == 2 * (convolutions + linears)


def test_a_layer_used_twice_counts_twice_in_flops_and_once_in_parameters():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(nn.Flatten(), layer, layer)
    assert count_parameters(model) == 12
    assert count_flops(model, (3, 1, 1)) == 2 * 2 * 9


def test_counting_flops_leaves_the_model_and_the_generator_as_they_were():
    model = ResNetClassifier((3, 8, 8), 10, [4, 4], 2, [], batchnorm=True, dropout=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    count_flops(model, (3, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(module._forward_hooks for module in model.modules())


class Attention(nn.Module):
    """Attends to the pixels of an image."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "encoder":
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        elif kind == "multihead":
            self.layer = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)  # (N, H*W, C)
        if self.kind == "encoder":
            return self.layer(x)
        if self.kind == "multihead":
            return self.layer(x, x, x, need_weights=False)[0]
        return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize(
    ("kind", "weights"), [("encoder", 4 * 8 * 8 + 2 * 8 * 16), ("multihead", 4 * 8 * 8), ("", 0)]
)
def test_attention_counts_whatever_kernel_computes_it(kind, weights):
    pixels, channels = 4 * 5, 8
    products = 2 * pixels**2 * channels
    model = Attention(kind)
    assert count_flops(model, (channels, 4, 5)) == 2 * (pixels * weights + products)
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_image_has_the_type_of_a_pixel_and_not_of_a_parameter():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3))
    model.register_parameter("scale", nn.Parameter(torch.ones((), dtype=torch.float64)))
    assert count_flops(nn.ModuleList([model])[0], (3, 1, 1)) == 18
