import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hw2core.cnn.conv import ConvClassifier
from hw2core.cnn.yourcodenet import PreActivationBlock, SqueezeExcitation, YourCodeNet
from hw2core.engine.flops import count_parameters

HEAD = ["norm", "relu", "average"]


def describe(model):
    """The feature extractor's layers: a number is a convolution, a pair is a block."""
    words = {"BatchNorm2d": "norm", "ReLU": "relu", "MaxPool2d": "pool", "Dropout": "dropout"}
    found = []
    for layer in model.feature_extractor:
        if isinstance(layer, PreActivationBlock):
            convolutions = [m for m in layer.main_path if isinstance(m, nn.Conv2d)]
            found.append(tuple(c.out_channels for c in convolutions))
        elif isinstance(layer, nn.Conv2d):
            found.append(layer.out_channels)
        else:
            found.append(words.get(type(layer).__name__, "average"))
    return found


@pytest.mark.parametrize(
    ("channels", "pool_every", "expected"),
    [
        ([4], 1, [4, "pool"]),
        ([4, 5], 1, [4, "pool", "norm", "relu", 5, "pool"]),
        ([4, 5], 2, [(4, 5), "pool"]),
        ([4, 5, 6], 2, [(4, 5), "pool", "norm", "relu", 6]),
        ([4, 5, 6], 3, [4, (5, 6), "pool"]),
        ([4] * 4, 5, [(4, 4), (4, 4)]),
        (
            [4, 4, 4, 6, 6, 6, 8],
            3,
            [4, (4, 4), "pool", "norm", "relu", 6, (6, 6), "pool", "norm", "relu", 8],
        ),
    ],
)
def test_groups_blocks_and_pools(channels, pool_every, expected):
    model = YourCodeNet((3, 16, 16), 10, channels, pool_every, [])
    assert describe(model) == expected + HEAD


def test_block_equals_its_formula():
    torch.manual_seed(0)
    block = PreActivationBlock(3, (6, 4))
    squeeze, excite = (m for m in block.scaling.modules() if isinstance(m, nn.Conv2d))

    def activate(h):
        mean = h.mean((0, 2, 3), keepdim=True)
        variance = h.var((0, 2, 3), unbiased=False, keepdim=True)
        return ((h - mean) / (variance + 1e-5).sqrt()).relu()

    x = torch.randn(5, 3, 7, 7)
    a = activate(x)
    h = activate(F.conv2d(a, block.main_path[0].weight, padding=1))
    maps = F.conv2d(h, block.main_path[3].weight, padding=1)  # (5, 4, 7, 7)
    squeezed = (maps.mean((2, 3)) @ squeeze.weight[:, :, 0, 0].T + squeeze.bias).relu()
    factors = (squeezed @ excite.weight[:, :, 0, 0].T + excite.bias).sigmoid()  # (5, 4)
    expected = maps * factors[:, :, None, None] + F.conv2d(a, block.projection.weight)
    torch.testing.assert_close(block(x), expected)


def test_scaling_weighs_whole_maps_by_what_all_of_them_show():
    scaling = SqueezeExcitation(6)
    x = torch.rand(2, 6, 5, 5) + 0.1
    factors = scaling(x) / x
    assert ((factors > 0) & (factors < 1)).all()
    torch.testing.assert_close(factors, factors[:, :, :1, :1].expand_as(factors))
    moved = scaling(x.roll((2, 1), (2, 3)))  # the means do not see where
    torch.testing.assert_close(moved, scaling(x).roll((2, 1), (2, 3)))


def test_identity_shortcut_passes_the_input_on_unchanged():
    block = PreActivationBlock(4, (6, 4))
    assert block.projection is None
    nn.init.zeros_(block.main_path[-1].weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("pool_every", [1, 2])
def test_first_convolution_sees_negative_values_of_the_image(pool_every):
    model = YourCodeNet((3, 8, 8), 5, [4, 4], pool_every, [])
    x = -torch.rand(4, 3, 8, 8, requires_grad=True)
    image_gradient = torch.autograd.grad(model(x).square().sum(), x)[0]
    assert (image_gradient != 0).float().mean() > 0.9


def test_scores_are_the_average_features_times_the_classifier():
    torch.manual_seed(0)
    model = YourCodeNet((3, 16, 16), 5, [4, 4, 6, 6], 2, [7])
    x = torch.randn(4, 3, 16, 16)
    maps = model.feature_extractor[:-1](x)  # (4, 6, 4, 4)
    assert maps.shape == (4, 6, 4, 4)
    assert maps.min() == 0  # ends in a ReLU
    linear1, activation, linear2 = model.classifier
    assert isinstance(activation, nn.ReLU)
    torch.testing.assert_close(model(x), linear2(linear1(maps.mean((2, 3))).relu()))


def test_parameter_count_by_hand():
    model = YourCodeNet((3, 32, 32), 10, [32, 32, 64, 64], 2, [100])
    first = 3 * 9 * 32 + 2 * 32 + 32 * 9 * 32 + 3 * 32
    second = 2 * 32 + 32 * 9 * 64 + 2 * 64 + 64 * 9 * 64 + 32 * 64
    head = 2 * 64 + (64 * 100 + 100) + (100 * 10 + 10)
    scaling = (32 * 4 + 4 + 4 * 32 + 32) + (64 * 8 + 8 + 8 * 64 + 64)
    assert count_parameters(model) == first + second + head + scaling


@pytest.mark.parametrize("depth", [3, 6, 9, 12])
@torch.no_grad()
def test_study_networks(depth):
    channels = [k for k in [32, 64, 128] for _ in range(depth)]
    model = YourCodeNet((3, 32, 32), 10, channels, depth, [])
    widths = [
        layer.out_channels
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
    ]
    assert widths == channels
    assert [c for c in describe(model) if c == "pool"] == ["pool"] * 3
    assert model.classifier[0].in_features == 128
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_course_example_with_nothing_else_given():
    model = YourCodeNet((3, 100, 100), 10, channels=[32] * 4, pool_every=2, hidden_dims=[100] * 2)
    assert isinstance(model, ConvClassifier)
    assert model(torch.randn(2, 3, 100, 100)).shape == (2, 10)


def test_convolutions_start_with_he_variance_and_without_bias():
    torch.manual_seed(0)
    model = YourCodeNet((3, 8, 8), 10, [64, 128], 2, [])
    for layer in model.feature_extractor.modules():
        if isinstance(layer, nn.Conv2d):
            scales = isinstance(layer.bias, nn.Parameter)
            assert layer.kernel_size == (1, 1) if scales else layer.bias is None
            assert not scales or (layer.bias == 0).all()
            fan_in = layer.in_channels * layer.kernel_size[0] ** 2
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.15)


def test_last_convolution_of_each_block_starts_small():
    torch.manual_seed(0)
    blocks = YourCodeNet((3, 8, 8), 10, [64] * 8, 8, []).feature_extractor[:4]
    he_deviation = (2 / (64 * 9)) ** 0.5
    for block in blocks:
        last = block.main_path[3].weight.std().item()
        assert last == pytest.approx(he_deviation / 4**0.5, rel=0.05)
    for block in blocks[1:]:
        first = block.main_path[0].weight.std().item()
        assert first == pytest.approx(he_deviation, rel=0.05)


def test_dropout_comes_last_and_leaves_the_weights_and_the_generator():
    torch.manual_seed(0)
    plain = YourCodeNet((3, 8, 8), 5, [4, 4], 2, [])
    torch.manual_seed(0)
    model = YourCodeNet((3, 8, 8), 5, [4, 4], 2, [], dropout=0.25)
    assert describe(plain) == [(4, 4), "pool", *HEAD]
    assert describe(model) == [(4, 4), "pool", *HEAD, "dropout"]
    assert model.feature_extractor[-1].p == 0.25
    assert list(model.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(x), plain.eval()(x))
    state = torch.get_rng_state()
    model._n_features()
    assert torch.equal(torch.get_rng_state(), state)


def test_building_leaves_the_running_statistics():
    norms = [
        module
        for module in YourCodeNet((3, 8, 8), 5, [4, 4], 2, []).modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    assert len(norms) == 2
    assert all(norm.training and norm.num_batches_tracked == 0 for norm in norms)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"colour": 1}, TypeError, "colour"),
        ({"activation_type": "tanh"}, ValueError, "activation_type must be one of relu, lrelu"),
        ({"pooling_type": "min"}, ValueError, "pooling_type must be one of max, avg"),
        ({"dropout": 1.5}, ValueError, r"dropout must lie in \[0, 1\], got 1.5"),
        ({"channels": []}, ValueError, "channels"),
        ({"pool_every": 0}, ValueError, "pool_every"),
        ({"channels": [4] * 4, "pool_every": 1}, ValueError, "feature map is empty"),
    ],
)
def test_refuses(changed, error, message):
    arguments = {"channels": [4, 4], "pool_every": 2, "hidden_dims": []}
    with pytest.raises(error, match=message):
        YourCodeNet((3, 8, 8), 5, **{**arguments, **changed})


def test_every_parameter_of_the_plain_network_has_the_same_place_and_default():
    plain, own = (inspect.signature(cls).parameters for cls in (ConvClassifier, YourCodeNet))
    course = [p for p in plain.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert list(own.values())[: len(course)] == course


def test_parameters_of_the_plain_network_have_their_effect():
    model = YourCodeNet(
        *((3, 16, 16), 5, [4] * 5, 3, [7], {"kernel_size": 5, "padding": 2, "bias": True}),
        *("lrelu", {"negative_slope": 0.3}, "avg", {"kernel_size": 4}),
    )
    modules = list(model.modules())
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(convolutions) == 5
    assert all(m.kernel_size == (5, 5) and m.bias is not None for m in convolutions)
    slopes = [m.negative_slope for m in modules if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.3] * 6  # in each of two blocks two, one before the head, one in it
    assert [m.kernel_size for m in modules if isinstance(m, nn.AvgPool2d)] == [4]
    assert not any(isinstance(m, nn.MaxPool2d) for m in modules)
    repeated = {"kernel_size": 3, "padding": 1}
    assert YourCodeNet((3, 32, 32), 10, [8] * 2, 2, [10], conv_params=repeated)


@pytest.mark.parametrize(
    "conv_params",
    [{"padding": 0}, {"stride": 2}, {"padding": 3}, {"kernel_size": 2, "stride": 2, "padding": 2}],
)
@pytest.mark.parametrize("shortcuts", [True, False])
def test_convolutions_may_change_height_and_width(conv_params, shortcuts):
    model = YourCodeNet(
        (3, 64, 64), 5, [4, 4, 6, 6], 2, [], conv_params=conv_params, shortcuts=shortcuts
    )
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_activations_in_place_change_no_number():
    def compute(activation_params):
        torch.manual_seed(0)
        sizes = (3, 8, 8), 5, [4] * 4, 4, []
        model = YourCodeNet(*sizes, activation_params=activation_params, batchnorm=False)
        return model(torch.randn(2, 3, 8, 8))

    assert torch.equal(compute({"inplace": True}), compute({}))


def test_same_seed_same_network():
    def build(seed):
        torch.manual_seed(seed)
        return list(YourCodeNet((3, 8, 8), 5, [4, 6], 2, [7]).state_dict().values())

    assert all(torch.equal(a, b) for a, b in zip(build(0), build(0), strict=True))
    assert not torch.equal(build(0)[0], build(1)[0])


def test_state_dict_keys_are_stable():
    model = YourCodeNet((3, 8, 8), 5, [4, 6, 6], 3, [])
    assert [key for key in model.state_dict() if key.endswith("weight")] == [
        "feature_extractor.0.weight",
        "feature_extractor.1.activation.0.weight",
        "feature_extractor.1.main_path.0.weight",
        "feature_extractor.1.main_path.1.weight",
        "feature_extractor.1.main_path.3.weight",
        "feature_extractor.1.scaling.factors.1.weight",
        "feature_extractor.1.scaling.factors.3.weight",
        "feature_extractor.1.projection.weight",
        "feature_extractor.3.weight",
        "classifier.0.weight",
    ]


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    model = YourCodeNet((3, 16, 16), 4, [5, 6, 7, 7, 8], 3, [9])
    model(torch.randn(8, 3, 16, 16)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 1e-5, name


def test_bf16_autocast_in_channels_last_stays_close_to_float32():
    torch.manual_seed(0)
    model = YourCodeNet((3, 16, 16), 4, [8] * 4, 2, []).to(memory_format=torch.channels_last)
    x = torch.randn(16, 3, 16, 16).to(memory_format=torch.channels_last)
    expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        scores = model(x)
        maps = model.feature_extractor[:-1](x)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(scores.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_forward_can_be_captured_by_a_cuda_graph():
    model = YourCodeNet((3, 16, 16), 4, [8] * 3, 3, []).cuda().eval()
    x = torch.randn(2, 3, 16, 16, device="cuda")
    with torch.inference_mode():
        expected = model(x)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            model(x)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            scores = model(x)
        graph.replay()
    torch.testing.assert_close(scores, expected)


ARGUMENTS = ((3, 32, 32), 10, [4, 4, 4, 8, 8, 8], 3, [])


def count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


def test_shortcuts_can_be_switched_off():
    plain = YourCodeNet(*ARGUMENTS, shortcuts=False)
    block, *others = (m for m in plain.modules() if isinstance(m, PreActivationBlock))
    assert all(other.projection is None for other in (block, *others))
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), block.scaling(block.main_path(block.activation(x))))


def test_scaling_can_be_switched_off():
    assert count(YourCodeNet(*ARGUMENTS), SqueezeExcitation) == 2
    plain = YourCodeNet(*ARGUMENTS, squeeze_excitation=False)
    assert count(plain, SqueezeExcitation) == 0
    assert count(plain, nn.Conv2d) == 6


def test_norms_can_be_switched_off():
    model = YourCodeNet(*ARGUMENTS, batchnorm=False)
    assert count(model, nn.BatchNorm2d) == 0 < count(YourCodeNet(*ARGUMENTS), nn.BatchNorm2d)
    assert all(m.bias is not None for m in model.modules() if getattr(m, "padding", 0) == (1, 1))


def test_the_head_can_see_positions():
    assert YourCodeNet(*ARGUMENTS).classifier[0].in_features == 8
    assert YourCodeNet(*ARGUMENTS, head="flatten").classifier[0].in_features == 8 * 8 * 8
    with pytest.raises(ValueError, match="head must be one of average, flatten, got 'max'"):
        YourCodeNet(*ARGUMENTS, head="max")
