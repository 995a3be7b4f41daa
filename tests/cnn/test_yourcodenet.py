import inspect

import pytest
import torch
from networks import describe, list_modules
from torch import nn
from torch.nn import functional as F

from hw2core.cnn.conv import ConvClassifier
from hw2core.cnn.yourcodenet import PreActivationBlock, SqueezeExcitation, YourCodeNet

HEAD = ["norm", "act", "average"]


@pytest.mark.parametrize(
    ("channels", "pool_every", "expected"),
    [
        ([4], 1, [4, "pool"]),
        ([4, 5], 1, [4, "pool", "norm", "act", 5, "pool"]),
        ([4, 5, 6], 2, [[4, 5], "pool", "norm", "act", 6]),
        ([4, 5, 6], 3, [4, [5, 6], "pool"]),
        ([4] * 4, 5, [[4, 4], [4, 4]]),
        (
            [4, 4, 4, 6, 6, 6, 8],
            3,
            [4, [4, 4], "pool", "norm", "act", 6, [6, 6], "pool", "norm", "act", 8],
        ),
    ],
)
def test_groups_blocks_and_pools(channels, pool_every, expected):
    model = YourCodeNet((3, 16, 16), 10, channels, pool_every, [])
    assert describe(model.feature_extractor) == expected + HEAD


def test_block_equals_its_formula():
    torch.manual_seed(0)
    block = PreActivationBlock(3, (6, 4))
    squeeze, excite = list_modules(block.scaling, nn.Conv2d)

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


def test_identity_shortcut_passes_the_input_on_unchanged():
    block = PreActivationBlock(4, (6, 4))
    assert block.projection is None
    nn.init.zeros_(block.main_path[-1].weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_the_first_block_does_not_activate_the_image():
    first, second = YourCodeNet((3, 8, 8), 5, [4] * 4, 4, []).feature_extractor[:2]
    assert describe(first.activation) == []
    assert describe(second.activation) == ["norm", "act"]


@pytest.mark.parametrize("shortcuts", [True, False])
def test_convolutions_start_with_he_variance_and_the_last_before_a_shortcut_smaller(shortcuts):
    torch.manual_seed(0)
    model = YourCodeNet((3, 8, 8), 10, [64] * 8, 8, [], shortcuts=shortcuts)
    blocks = model.feature_extractor[:4]
    for layer in list_modules(model.feature_extractor, nn.Conv2d):
        scales = layer.kernel_size == (1, 1)  # those of the squeeze and excitation, and a shortcut
        assert scales or layer.bias is None
        assert layer.bias is None or not layer.bias.any()
        fan_in = layer.in_channels * layer.kernel_size[0] ** 2
        last = shortcuts and any(layer is block.main_path[3] for block in blocks)
        smaller = 4**0.5 if last else 1
        expected = pytest.approx((2 / fan_in) ** 0.5 / smaller, rel=0.15 if scales else 0.05)
        assert layer.weight.std().item() == expected


def test_dropout_comes_last_and_leaves_the_weights_as_they_are():
    torch.manual_seed(0)
    plain = YourCodeNet((3, 8, 8), 5, [4, 4], 2, [])
    torch.manual_seed(0)
    model = YourCodeNet((3, 8, 8), 5, [4, 4], 2, [], dropout=0.25)
    assert describe(model.feature_extractor) == [*describe(plain.feature_extractor), "drop"]
    assert model.feature_extractor[-1].p == 0.25
    assert list(model.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(x), plain.eval()(x))


def test_every_parameter_of_the_plain_network_has_the_same_place_and_default():
    plain, own = (inspect.signature(cls).parameters for cls in (ConvClassifier, YourCodeNet))
    course = [p for p in plain.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert list(own.values())[: len(course)] == course
    assert issubclass(YourCodeNet, ConvClassifier)


def test_parameters_of_the_plain_network_have_their_effect():
    model = YourCodeNet(
        *((3, 16, 16), 5, [4] * 5, 3, [7], {"kernel_size": 5, "padding": 2, "bias": True}),
        *("lrelu", {"negative_slope": 0.3}, "avg", {"kernel_size": 4}),
    )
    convolutions = [m for m in list_modules(model, nn.Conv2d) if m.kernel_size != (1, 1)]
    assert len(convolutions) == 5
    assert all(m.kernel_size == (5, 5) and m.bias is not None for m in convolutions)
    slopes = [m.negative_slope for m in list_modules(model, nn.LeakyReLU)]
    assert slopes == [0.3] * 6  # in each of two blocks two, one before the head, one in it
    assert [m.kernel_size for m in list_modules(model, nn.AvgPool2d)] == [4]
    assert not list_modules(model, nn.MaxPool2d)


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


ARGUMENTS = ((3, 32, 32), 10, [4, 4, 4, 8, 8, 8], 3, [])


def test_each_part_can_be_switched_off():
    whole = YourCodeNet(*ARGUMENTS)
    assert len(list_modules(whole, SqueezeExcitation)) == 2
    assert whole.classifier[0].in_features == 8

    straight = YourCodeNet(*ARGUMENTS, shortcuts=False)
    block, *others = list_modules(straight, PreActivationBlock)
    assert all(other.projection is None for other in (block, *others))
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), block.scaling(block.main_path(block.activation(x))))

    unscaled = YourCodeNet(*ARGUMENTS, squeeze_excitation=False)
    assert not list_modules(unscaled, SqueezeExcitation)
    assert len(list_modules(unscaled, nn.Conv2d)) == 6

    unnormalised = YourCodeNet(*ARGUMENTS, batchnorm=False)
    assert not list_modules(unnormalised, nn.BatchNorm2d)
    convolutions = [m for m in list_modules(unnormalised, nn.Conv2d) if m.padding == (1, 1)]
    assert all(m.bias is not None for m in convolutions)

    flat = YourCodeNet(*ARGUMENTS, head="flatten")
    assert flat.classifier[0].in_features == 8 * 8 * 8
    with pytest.raises(ValueError, match="head must be one of average, flatten, got 'max'"):
        YourCodeNet(*ARGUMENTS, head="max")
