import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hw2core.cnn.residual import ResidualBlock, ResidualBottleneckBlock, ResNetClassifier
from hw2core.engine.flops import count_parameters


def names(layers):
    return [type(layer).__name__ for layer in layers]


@pytest.mark.parametrize(
    ("options", "between"),
    [
        ({}, ["ReLU"]),
        ({"dropout": 0.2}, ["Dropout2d", "ReLU"]),
        ({"batchnorm": True}, ["BatchNorm2d", "ReLU"]),
        ({"dropout": 0.2, "batchnorm": True}, ["Dropout2d", "BatchNorm2d", "ReLU"]),
        ({"activation_type": "lrelu"}, ["LeakyReLU"]),
    ],
)
def test_main_path_sequence(options, between):
    block = ResidualBlock(3, [6, 5, 4], [3, 5, 7], **options)
    assert names(block.main_path) == ["Conv2d", *between, "Conv2d", *between, "Conv2d"]
    convolutions = [layer for layer in block.main_path if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size[0] for layer in convolutions] == [3, 5, 7]
    assert [layer.out_channels for layer in convolutions] == [6, 5, 4]
    assert all(layer.bias is not None for layer in convolutions)
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
    expected = (h + F.conv2d(x, block.shortcut_path.weight)).clamp(min=0)
    torch.testing.assert_close(block(x), expected)


def test_identity_shortcut_adds_the_input():
    block = ResidualBlock(4, [6, 4], [3, 3])
    nn.init.zeros_(block.main_path[-1].weight)
    nn.init.zeros_(block.main_path[-1].bias)
    x = torch.randn(2, 4, 5, 5)
    assert list(block.shortcut_path.parameters()) == []
    assert torch.equal(block(x), x.clamp(min=0))


def test_projection_is_a_1x1_convolution_without_bias():
    shortcut = ResidualBlock(4, [6, 5], [3, 3]).shortcut_path
    assert isinstance(shortcut, nn.Conv2d)
    assert (shortcut.kernel_size, shortcut.bias) == ((1, 1), None)
    assert (shortcut.in_channels, shortcut.out_channels) == (4, 5)


def test_main_path_is_created_before_the_shortcut():
    torch.manual_seed(3)
    block = ResidualBlock(2, [4, 5], [3, 3])
    torch.manual_seed(3)
    expected = [nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 3), nn.Conv2d(2, 5, 1, bias=False)]
    wanted = [parameter for layer in expected for parameter in layer.parameters()]
    for found, parameter in zip(block.parameters(), wanted, strict=True):
        assert torch.equal(found, parameter)
    assert list(block.state_dict()) == [
        *["main_path.0.weight", "main_path.0.bias", "main_path.2.weight", "main_path.2.bias"],
        "shortcut_path.weight",
    ]


def test_dropout_drops_whole_channels_with_the_given_probability():
    torch.manual_seed(0)
    block = ResidualBlock(1, [2000, 1], [3, 3], dropout=0.2)
    dropped = block.main_path[1](torch.ones(1, 2000, 3, 3))
    assert set(dropped.unique().tolist()) == {0.0, 1.25}
    assert torch.equal(dropped.amin((2, 3)), dropped.amax((2, 3)))
    assert 0.15 < (dropped == 0).float().mean() < 0.25


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
        ({"dropout": 1.1}, "dropout"),
        ({"activation_type": "best"}, "activation_type must be one of relu, lrelu"),
        ({"channels": [4], "kernel_sizes": [3], "activation_type": "best"}, "activation_type"),
    ],
)
def test_block_refuses(changed, message):
    arguments = {"in_channels": 3, "channels": [4, 4], "kernel_sizes": [3, 3]}
    with pytest.raises(ValueError, match=message):
        ResidualBlock(**{**arguments, **changed})


def test_bottleneck_projects_in_and_out():
    block = ResidualBottleneckBlock(8, [4, 5, 6], [3, 5, 7], batchnorm=True)
    convolutions = [layer for layer in block.main_path if isinstance(layer, nn.Conv2d)]
    shapes = [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convolutions]
    assert shapes == [(8, 4, 1), (4, 4, 3), (4, 5, 5), (5, 6, 7), (6, 8, 1)]
    assert names(block.main_path).count("BatchNorm2d") == 4
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
        ([4, 5], 2, [[4, 5], "pool"]),
        ([4, 5], 1, [[4], "pool", [5], "pool"]),
        ([4, 5, 6], 2, [[4, 5], "pool", [6]]),
        ([4, 5, 6, 7, 8], 3, [[4, 5, 6], "pool", [7, 8]]),
        ([4, 5], 3, [[4, 5]]),
    ],
)
def test_resnet_groups_and_pools(channels, pool_every, expected):
    model = ResNetClassifier((3, 16, 16), 10, channels, pool_every, [])
    found = []
    for layer in model.feature_extractor:
        if isinstance(layer, ResidualBlock):
            convolutions = [m for m in layer.main_path if isinstance(m, nn.Conv2d)]
            assert {c.kernel_size for c in convolutions} == {(3, 3)}
            found.append([c.out_channels for c in convolutions])
        else:
            assert isinstance(layer, nn.MaxPool2d)
            found.append("pool")
    assert found == expected


def test_resnet_passes_every_option_on():
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
    between = ["Dropout2d", "BatchNorm2d", "LeakyReLU"]
    assert names(block.main_path) == ["Conv2d", *between, *["Conv2d", *between] * 2, "Conv2d"]
    assert names(rest.main_path) == ["Conv2d", *between, "Conv2d"]
    assert isinstance(pool, nn.AvgPool2d)
    assert pool.kernel_size == 3
    assert block.main_path[1].p == 0.1
    slopes = {m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.02}
    assert model(torch.randn(2, 3, 100, 100)).shape == (2, 10)


def test_resnet_parameter_count_by_hand():
    model = ResNetClassifier((3, 32, 32), 10, [8, 16], 2, [20], batchnorm=True)
    block = (3 * 9 * 8 + 8) + 2 * 8 + (8 * 9 * 16 + 16) + 3 * 16
    assert count_parameters(model) == block + (16 * 16 * 16 * 20 + 20) + (20 * 10 + 10)


def test_building_leaves_statistics_and_the_generator_to_the_weights():
    torch.manual_seed(0)
    model = ResNetClassifier((3, 8, 8), 10, [4, 4], 2, [], batchnorm=True, dropout=0.5)
    state = torch.get_rng_state()
    model._n_features()
    assert torch.equal(torch.get_rng_state(), state)
    norm = model.feature_extractor[0].main_path[2]
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_var, torch.ones(4))
    assert model.training
    assert all(module.training for module in model.modules())


def test_same_seed_same_network():
    def build(seed):
        torch.manual_seed(seed)
        return list(ResNetClassifier((3, 8, 8), 5, [4, 6], 2, [7]).state_dict().values())

    assert all(torch.equal(a, b) for a, b in zip(build(0), build(0), strict=True))
    assert not torch.equal(build(0)[0], build(1)[0])


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    model = ResNetClassifier((3, 8, 8), 4, [5, 6, 7], 2, [9], batchnorm=True)
    model(torch.randn(8, 3, 8, 8)).square().sum().backward()
    for name, parameter in model.named_parameters():
        # Batch norm takes out the mean, so the bias before it has no gradient but rounding.
        if name != "feature_extractor.0.main_path.0.bias":
            assert parameter.grad.abs().max() > 1e-4, name


def test_resnet_refuses():
    def build(**changed):
        return ResNetClassifier(
            (3, 8, 8), 4, [5], **{"pool_every": 1, "hidden_dims": [], **changed}
        )

    with pytest.raises(ValueError, match="dropout"):
        build(dropout=2)
    with pytest.raises(ValueError, match="pool_every"):
        build(pool_every=0)
    for wrong in ({"kernel_size": 5}, {"kernel_size": (3, 5)}, {"padding": 0}, {"bias": False}):
        with pytest.raises(ValueError, match="conv_params"):
            build(conv_params=wrong)
    with pytest.raises(TypeError, match="colour"):
        build(colour=1)
    with pytest.raises(ValueError, match="feature map is empty"):
        ResNetClassifier((3, 8, 8), 4, [5] * 4, 1, [])
    assert build(conv_params={"kernel_size": 3, "padding": 1}).conv_params["kernel_size"] == 3
    assert build(conv_params={"kernel_size": (3, 3), "stride": [1, 1], "padding": (1, 1)})


@pytest.mark.parametrize(
    ("widths", "depth", "pool_every", "features"),
    [
        *[([32], depth, depth // 4, 32 * 2 * 2) for depth in (8, 16, 32)],
        ([64, 128, 256], 2, 2, 256 * 4 * 4),
        ([64, 128, 256], 4, 3, 256 * 2 * 2),
        ([64, 128, 256], 8, 6, 256 * 2 * 2),
    ],
)
@torch.no_grad()
def test_study_networks(widths, depth, pool_every, features):
    channels = [k for k in widths for _ in range(depth)]
    model = ResNetClassifier((3, 32, 32), 10, channels, pool_every, [128], batchnorm=True)
    assert model.classifier[0].in_features == features
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
