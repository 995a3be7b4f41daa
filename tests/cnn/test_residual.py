import pytest
import torch
from networks import describe, list_modules
from torch import nn
from torch.nn import functional as F

from hw2core.cnn.residual import ResidualBlock, ResidualBottleneckBlock, ResNetClassifier


@pytest.mark.parametrize(
    ("options", "between"),
    [
        ({}, ["act"]),
        ({"dropout": 0.2}, ["drop", "act"]),
        ({"batchnorm": True}, ["norm", "act"]),
        ({"dropout": 0.2, "batchnorm": True}, ["drop", "norm", "act"]),
    ],
)
def test_main_path_sequence(options, between):
    block = ResidualBlock(3, [6, 5, 4], [3, 5, 7], **options)
    assert describe(block.main_path) == [6, *between, 5, *between, 4]
    convolutions = list_modules(block.main_path, nn.Conv2d)
    assert [layer.kernel_size[0] for layer in convolutions] == [3, 5, 7]
    assert all(layer.bias is not None for layer in convolutions)
    assert [drop.p for drop in list_modules(block, nn.Dropout2d)] == [0.2] * 2 * ("drop" in between)
    assert block(torch.randn(2, 3, 9, 9)).shape == (2, 4, 9, 9)


def test_block_equals_its_formula():
    torch.manual_seed(0)
    block = ResidualBlock(
        3,
        [6, 4],
        [3, 5],
        batchnorm=True,
        activation_type="lrelu",
        activation_params={"negative_slope": 0.2},
    )
    first, _, _, last = block.main_path
    x = torch.randn(5, 3, 7, 7)
    h = F.conv2d(x, first.weight, first.bias, padding=1)
    mean = h.mean((0, 2, 3), keepdim=True)
    variance = h.var((0, 2, 3), unbiased=False, keepdim=True)
    h = F.leaky_relu((h - mean) / (variance + 1e-5).sqrt(), 0.2)
    h = F.conv2d(h, last.weight, last.bias, padding=2)
    assert block.shortcut_path.bias is None
    expected = (h + F.conv2d(x, block.shortcut_path.weight)).clamp(min=0)
    torch.testing.assert_close(block(x), expected)


def test_identity_shortcut_adds_the_input():
    block = ResidualBlock(4, [6, 4], [3, 3])
    nn.init.zeros_(block.main_path[-1].weight)
    nn.init.zeros_(block.main_path[-1].bias)
    x = torch.randn(2, 4, 5, 5)
    assert list(block.shortcut_path.parameters()) == []
    assert torch.equal(block(x), x.clamp(min=0))


def test_main_path_is_created_before_the_shortcut():
    torch.manual_seed(3)
    block = ResidualBlock(2, [4, 5], [3, 3])
    torch.manual_seed(3)
    expected = {
        "main_path.0": nn.Conv2d(2, 4, 3),
        "main_path.2": nn.Conv2d(4, 5, 3),
        "shortcut_path": nn.Conv2d(2, 5, 1, bias=False),
    }
    wanted = {f"{n}.{k}": p for n, layer in expected.items() for k, p in layer.named_parameters()}
    assert list(block.state_dict()) == list(wanted)
    for name, parameter in block.named_parameters():
        assert torch.equal(parameter, wanted[name])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel_sizes": [3, 4]}, "kernel_sizes must be odd"),
        ({"kernel_sizes": [3]}, "same length"),
        ({"kernel_sizes": [3, 0]}, "kernel_sizes"),
        ({"channels": [], "kernel_sizes": []}, "channels"),
        ({"channels": [4, 0]}, "channels"),
        ({"in_channels": 0}, "in_channels"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\], got -0.1"),
        ({"channels": [4], "kernel_sizes": [3], "activation_type": "best"}, "activation_type"),
    ],
)
def test_block_refuses(changed, message):
    arguments = {"in_channels": 3, "channels": [4, 4], "kernel_sizes": [3, 3]}
    with pytest.raises(ValueError, match=message):
        ResidualBlock(**{**arguments, **changed})


def test_bottleneck_projects_in_and_out():
    block = ResidualBottleneckBlock(8, [4, 5, 6], [3, 5, 7], batchnorm=True)
    convolutions = list_modules(block.main_path, nn.Conv2d)
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convolutions]
    assert shapes == [(8, 4, 1), (4, 4, 3), (4, 5, 5), (5, 6, 7), (6, 8, 1)]
    assert describe(block.main_path).count("norm") == 4
    assert list(block.shortcut_path.parameters()) == []
    assert block(torch.randn(2, 8, 7, 7)).shape == (2, 8, 7, 7)


@pytest.mark.parametrize(
    ("inner", "sizes", "message"),
    [([], [], "inner_channels"), ([4, 4], [3], "same length"), ([4], [2], "odd")],
)
def test_bottleneck_refuses(inner, sizes, message):
    with pytest.raises(ValueError, match=message):
        ResidualBottleneckBlock(8, inner, sizes)


@pytest.mark.parametrize(
    ("channels", "pool_every", "expected"),
    [
        ([4, 5], 1, [[4], "pool", [5], "pool"]),
        ([4, 5, 6], 2, [[4, 5], "pool", [6]]),
        ([4, 5, 6, 7, 8], 3, [[4, 5, 6], "pool", [7, 8]]),
        ([4, 5], 3, [[4, 5]]),
    ],
)
def test_groups_and_pools(channels, pool_every, expected):
    model = ResNetClassifier((3, 16, 16), 10, channels, pool_every, [])
    assert describe(model.feature_extractor) == expected


def test_every_option_is_passed_on():
    model = ResNetClassifier(
        (3, 100, 100),
        10,
        channels=[32, 64] * 3,
        pool_every=4,
        hidden_dims=[100] * 2,
        activation_type="lrelu",
        activation_params={"negative_slope": 0.02},
        pooling_type="avg",
        pooling_params={"kernel_size": 3},
        batchnorm=True,
        dropout=0.1,
    )
    block, pool, rest = model.feature_extractor
    between = ["drop", "norm", "act"]
    assert describe(block.main_path) == [32, *between, 64, *between, 32, *between, 64]
    assert describe(rest.main_path) == [32, *between, 64]
    assert isinstance(pool, nn.AvgPool2d)
    assert pool.kernel_size == 3
    assert block.main_path[1].p == 0.1
    assert {m.negative_slope for m in list_modules(model, nn.LeakyReLU)} == {0.02}
    assert model(torch.randn(2, 3, 100, 100)).shape == (2, 10)


def test_conv_params_may_only_repeat_what_is_fixed():
    def build(conv_params):
        return ResNetClassifier((3, 8, 8), 4, [5], 1, [], conv_params=conv_params)

    for wrong in ({"kernel_size": 5}, {"kernel_size": (3, 5)}, {"padding": 0}, {"bias": False}):
        with pytest.raises(ValueError, match="conv_params"):
            build(wrong)
    assert build({"kernel_size": 3, "padding": 1}).conv_params["kernel_size"] == 3
    assert build({"kernel_size": (3, 3), "stride": [1, 1], "padding": (1, 1)})
