import pytest
import torch
from networks import describe, list_modules
from torch import nn

from hw2core.cnn.conv import ConvClassifier


@pytest.mark.parametrize(
    ("channels", "pool_every", "features"),
    [
        ([8], 1, [8, "act", "pool"]),
        ([8], 2, [8, "act"]),
        ([8, 16], 1, [8, "act", "pool", 16, "act", "pool"]),
        ([8, 16, 24], 2, [8, "act", 16, "act", "pool", 24, "act"]),
        ([4, 5, 6, 7, 8], 3, [4, "act", 5, "act", 6, "act", "pool", 7, "act", 8, "act"]),
        ([4, 5, 6], 7, [4, "act", 5, "act", 6, "act"]),
    ],
)
def test_layer_sequence(channels, pool_every, features):
    model = ConvClassifier((3, 16, 16), 10, channels, pool_every, [])
    assert describe(model.feature_extractor) == features
    assert describe(model.classifier) == ["L10"]


def test_hidden_layers_come_before_the_last():
    model = ConvClassifier((1, 8, 8), 7, [2], 1, [5, 6])
    assert describe(model.classifier) == ["L5", "act", "L6", "act", "L7"]


def test_course_example_with_everything_given():
    model = ConvClassifier(
        (3, 100, 100),
        10,
        channels=[32] * 4,
        pool_every=3,
        hidden_dims=[100] * 2,
        conv_params={"kernel_size": 5, "stride": 2, "padding": 3},
        activation_type="lrelu",
        activation_params={"negative_slope": 0.05},
        pooling_type="avg",
        pooling_params={"kernel_size": 3},
    )
    layers = model.feature_extractor
    assert describe(layers) == [*[32, "act"] * 3, "pool", 32, "act"]
    assert (layers[0].kernel_size, layers[0].stride, layers[0].padding) == ((5, 5), (2, 2), (3, 3))
    assert isinstance(layers[6], nn.AvgPool2d)
    assert layers[6].kernel_size == 3
    slopes = [m.negative_slope for m in list_modules(model, nn.LeakyReLU)]
    assert slopes == [0.05] * 6  # four after convolutions, two in the classifier
    assert model(torch.randn(2, 3, 100, 100)).shape == (2, 10)


def test_conv_params_override_one_default_only():
    model = ConvClassifier((1, 8, 8), 2, [3], 1, [], conv_params={"padding": 0, "bias": False})
    convolution = model.feature_extractor[0]
    assert convolution.kernel_size == (3, 3)
    assert convolution.padding == (0, 0)
    assert convolution.bias is None


def test_logits_are_the_layers_applied_in_order():
    torch.manual_seed(0)
    model = ConvClassifier((2, 6, 6), 3, [4, 5], 2, [7])
    conv1, conv2 = model.feature_extractor[0], model.feature_extractor[2]
    linear1, linear2 = model.classifier[0], model.classifier[2]
    x = torch.randn(4, 2, 6, 6)
    h = nn.functional.conv2d(x, conv1.weight, conv1.bias, padding=1).relu()
    h = nn.functional.conv2d(h, conv2.weight, conv2.bias, padding=1).relu()
    h = nn.functional.max_pool2d(h, 2).reshape(4, 5 * 3 * 3)
    h = (h @ linear1.weight.T + linear1.bias).relu()
    expected = h @ linear2.weight.T + linear2.bias  # no softmax
    torch.testing.assert_close(model(x), expected)


def test_parameters_are_created_in_forward_order_with_stable_names():
    torch.manual_seed(7)
    model = ConvClassifier((3, 8, 8), 4, [5, 6], 1, [9])
    torch.manual_seed(7)
    expected = {
        "feature_extractor.0": nn.Conv2d(3, 5, 3, padding=1),
        "feature_extractor.3": nn.Conv2d(5, 6, 3, padding=1),
        "classifier.0": nn.Linear(6 * 2 * 2, 9),
        "classifier.2": nn.Linear(9, 4),
    }
    wanted = {f"{n}.{k}": p for n, layer in expected.items() for k, p in layer.named_parameters()}
    assert list(model.state_dict()) == list(wanted)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, wanted[name])


def test_five_pools_still_fit():
    assert ConvClassifier((3, 32, 32), 10, [4] * 5, 1, []).classifier[0].in_features == 4


def test_he_initialisation_keeps_the_scale_through_depth():
    torch.manual_seed(0)
    arguments = ((3, 32, 32), 10, [32] * 8, 4, [128])
    x = torch.randn(32, 3, 32, 32)
    default = ConvClassifier(*arguments)
    he = ConvClassifier(*arguments, initialization="he")
    assert he.feature_extractor(x).std() > 10 * default.feature_extractor(x).std()
    for layer, fan_in in ((he.feature_extractor[2], 9 * 32), (he.classifier[0], 32 * 8 * 8)):
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
        assert not layer.bias.any()
    with pytest.raises(ValueError, match="initialization must be one of default, he, got 'xavier'"):
        ConvClassifier(*arguments, initialization="xavier")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gelu", nn.GELU), ("silu", nn.SiLU), ("elu", nn.ELU), ("lrelu", nn.LeakyReLU)],
)
def test_each_activation_follows_every_layer_but_the_last(name, kind):
    model = ConvClassifier((3, 8, 8), 10, [4, 4], 2, [6], activation_type=name)
    assert len(list_modules(model, kind)) == 3
    assert not list_modules(model, nn.ReLU)


def test_batch_norm_precedes_and_dropout_follows_each_activation():
    model = ConvClassifier((3, 8, 8), 10, [4, 8], 1, [], batchnorm=True, dropout=0.5)
    between = ["norm", "act", "drop", "pool"]
    assert describe(model.feature_extractor) == [4, *between, 8, *between]
    drops = list_modules(model, nn.Dropout2d)  # whole channels
    assert [drop.p for drop in drops] == [0.5] * 2
