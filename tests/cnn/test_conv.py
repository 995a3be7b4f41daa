import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hw2core.cnn import ResNetClassifier, YourCodeNet
from hw2core.cnn.conv import ConvClassifier
from hw2core.engine.flops import count_parameters


def describe(layers):
    """One word a layer: C16, L10, or the name of the activation or pool."""
    words = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            words.append(f"C{layer.out_channels}")
        elif isinstance(layer, nn.Linear):
            words.append(f"L{layer.out_features}")
        else:
            words.append({"MaxPool2d": "P", "AvgPool2d": "P", "ReLU": "A"}[type(layer).__name__])
    return " ".join(words)


@pytest.mark.parametrize(
    ("channels", "pool_every", "features"),
    [
        ([8], 1, "C8 A P"),
        ([8], 2, "C8 A"),
        ([8, 16], 1, "C8 A P C16 A P"),
        ([8, 16], 2, "C8 A C16 A P"),
        ([8, 16, 24], 2, "C8 A C16 A P C24 A"),
        ([4, 5, 6, 7, 8], 2, "C4 A C5 A P C6 A C7 A P C8 A"),
        ([4, 5, 6, 7, 8], 3, "C4 A C5 A C6 A P C7 A C8 A"),
        ([4, 5, 6], 7, "C4 A C5 A C6 A"),
        ([4, 4, 5, 5, 6, 6], 2, "C4 A C4 A P C5 A C5 A P C6 A C6 A P"),
    ],
)
def test_layer_sequence(channels, pool_every, features):
    model = ConvClassifier((3, 16, 16), 10, channels, pool_every, [])
    assert describe(model.feature_extractor) == features
    assert describe(model.classifier) == "L10"


@pytest.mark.parametrize(
    ("hidden_dims", "expected"), [([], "L7"), ([5], "L5 A L7"), ([5, 6], "L5 A L6 A L7")]
)
def test_classifier_sequence(hidden_dims, expected):
    model = ConvClassifier((1, 8, 8), 7, [2], 1, hidden_dims)
    assert describe(model.classifier) == expected


def test_parameter_count_by_hand():
    model = ConvClassifier((3, 32, 32), 10, [32, 64], 1, [100])
    convolutions = (3 * 9 * 32 + 32) + (32 * 9 * 64 + 64)
    linears = (64 * 8 * 8 * 100 + 100) + (100 * 10 + 10)
    assert count_parameters(model) == convolutions + linears


def test_defaults_keep_the_size_and_halve_it_in_pools():
    model = ConvClassifier((3, 32, 32), 10, [4, 4], 2, [])
    convolution, _, _, _, pool = model.feature_extractor
    assert convolution.kernel_size == (3, 3)
    assert convolution.padding == (1, 1)
    assert convolution.bias is not None
    assert isinstance(pool, nn.MaxPool2d)
    assert pool.kernel_size == 2
    assert model.classifier[0].in_features == 4 * 16 * 16


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
    layers = list(model.feature_extractor)
    assert [type(layer) for layer in layers] == [
        *[nn.Conv2d, nn.LeakyReLU] * 3,
        nn.AvgPool2d,
        *[nn.Conv2d, nn.LeakyReLU],
    ]
    assert layers[0].kernel_size == (5, 5)
    assert layers[0].stride == (2, 2)
    assert layers[0].padding == (3, 3)
    assert layers[6].kernel_size == 3
    slopes = [m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.05] * 6  # four after convolutions, two in the classifier
    assert model(torch.randn(2, 3, 100, 100)).shape == (2, 10)


def test_conv_params_override_one_default_only():
    model = ConvClassifier((1, 8, 8), 2, [3], 1, [], conv_params={"padding": 0, "bias": False})
    convolution = model.feature_extractor[0]
    assert convolution.kernel_size == (3, 3)
    assert convolution.padding == (0, 0)
    assert convolution.bias is None


def test_scores_are_the_layers_applied_in_order():
    torch.manual_seed(0)
    model = ConvClassifier((2, 6, 6), 3, [4, 5], 2, [7])
    conv1, conv2 = model.feature_extractor[0], model.feature_extractor[2]
    linear1, linear2 = model.classifier[0], model.classifier[2]
    x = torch.randn(4, 2, 6, 6)
    h = nn.functional.conv2d(x, conv1.weight, conv1.bias, padding=1).relu()
    h = nn.functional.conv2d(h, conv2.weight, conv2.bias, padding=1).relu()
    h = nn.functional.max_pool2d(h, 2).reshape(4, 5 * 3 * 3)
    h = (h @ linear1.weight.T + linear1.bias).relu()
    expected = h @ linear2.weight.T + linear2.bias  # raw scores: a softmax would differ
    torch.testing.assert_close(model(x), expected)


def test_channels_last_gives_the_same_scores():
    torch.manual_seed(0)
    model = ConvClassifier((3, 8, 8), 3, [4, 5], 1, [6])
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    model.to(memory_format=torch.channels_last)
    scores = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(scores, expected)


def test_parameters_are_created_in_forward_order():
    torch.manual_seed(7)
    model = ConvClassifier((3, 8, 8), 4, [5, 6], 2, [9])
    torch.manual_seed(7)
    expected = [
        nn.Conv2d(3, 5, 3, padding=1),
        nn.Conv2d(5, 6, 3, padding=1),
        nn.Linear(6 * 4 * 4, 9),
        nn.Linear(9, 4),
    ]
    wanted = [parameter for layer in expected for parameter in layer.parameters()]
    for found, parameter in zip(model.parameters(), wanted, strict=True):
        assert torch.equal(found, parameter)


def test_state_dict_keys_are_stable():
    model = ConvClassifier((3, 8, 8), 4, [5, 6], 1, [9])
    assert list(model.state_dict()) == [
        *["feature_extractor.0.weight", "feature_extractor.0.bias"],
        *["feature_extractor.3.weight", "feature_extractor.3.bias"],
        *["classifier.0.weight", "classifier.0.bias"],
        *["classifier.2.weight", "classifier.2.bias"],
    ]


def test_n_features_changes_neither_the_generator_nor_the_mode():
    model = ConvClassifier((3, 9, 9), 4, [5], 1, [])
    model.feature_extractor.append(nn.Dropout(0.5))
    state = torch.get_rng_state()
    assert model._n_features() == 5 * 4 * 4
    assert torch.equal(torch.get_rng_state(), state)
    assert model.feature_extractor.training
    model.eval()
    model._n_features()
    assert not model.feature_extractor.training


@pytest.mark.parametrize(("count", "pool_every"), [(6, 1), (12, 2)])
def test_empty_feature_map_is_refused(count, pool_every):
    with pytest.raises(ValueError, match="feature map is empty") as caught:
        ConvClassifier((3, 32, 32), 10, [4] * count, pool_every, [])
    for part in ("in_size (3, 32, 32)", f"channels {[4] * count}", f"pool_every {pool_every}"):
        assert part in str(caught.value)


def test_five_pools_still_fit():
    assert ConvClassifier((3, 32, 32), 10, [4] * 5, 1, []).classifier[0].in_features == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in_size", (3, 32)),
        ("in_size", (3, 0, 32)),
        ("out_classes", 0),
        ("channels", []),
        ("channels", [4, 0]),
        ("channels", [4.5]),
        ("pool_every", 0),
        ("pool_every", -1),
        ("hidden_dims", [0]),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    arguments = {
        "in_size": (3, 32, 32),
        "out_classes": 10,
        "channels": [4],
        "pool_every": 1,
        "hidden_dims": [],
    }
    with pytest.raises(ValueError, match=name):
        ConvClassifier(**{**arguments, name: value})


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("activation_type", "relu, lrelu, gelu, silu, elu"), ("pooling_type", "max, avg")],
)
def test_unknown_choices_are_refused(name, allowed):
    with pytest.raises(ValueError, match=rf"{name} must be one of {allowed}, got 'best'"):
        ConvClassifier((3, 8, 8), 10, [4], 1, [], **{name: "best"})


@pytest.mark.parametrize("number", [np.int64, np.uint8, torch.tensor])
@pytest.mark.parametrize("cls", [ConvClassifier, ResNetClassifier, YourCodeNet])
def test_integers_of_other_libraries_are_integers(cls, number):
    sizes = ([3, 8, 8], 5, [4, 6], 2, [7])
    torch.manual_seed(0)
    expected = cls(*sizes)(torch.ones(1, 3, 8, 8))
    of_numpy = [
        [number(n) for n in size] if isinstance(size, list) else number(size) for size in sizes
    ]
    torch.manual_seed(0)
    model = cls(*of_numpy)
    assert torch.equal(model(torch.ones(1, 3, 8, 8)), expected)
    assert [type(n) for n in (*model.channels, model.pool_every)] == [int] * 3
    assert cls((3, 8, 8), 5, np.array([4, 6]), 2, np.array([7])).channels == [4, 6]


def test_arguments_are_neither_kept_nor_changed():
    channels, conv_params = [4], {"bias": False}
    model = ConvClassifier((3, 8, 8), 10, channels, 1, [], conv_params=conv_params)
    channels.append(5)
    assert model.channels == [4]
    assert conv_params == {"bias": False}


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    model = ConvClassifier((3, 8, 8), 4, [5, 6], 1, [9])
    model(torch.randn(8, 3, 8, 8)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    ("width", "depth"),
    [
        *[(width, depth) for width in (32, 64) for depth in (2, 4, 8, 16)],
        *[(width, depth) for width in (128, 256) for depth in (2, 4, 8)],
    ],
)
@torch.no_grad()
def test_study_networks_of_one_width(width, depth):
    model = ConvClassifier((3, 32, 32), 10, [width] * depth, depth // 2, [128])
    assert model.classifier[0].in_features == width * 8 * 8
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@torch.no_grad()
def test_study_networks_of_three_widths(depth):
    channels = [k for k in [64, 128, 256] for _ in range(depth)]
    model = ConvClassifier((3, 32, 32), 10, channels, depth, [128])
    widths = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [64] * depth + [128] * depth + [256] * depth
    assert model.classifier[0].in_features == 256 * 4 * 4
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_importing_one_architecture_loads_no_other():
    code = (
        "import sys, hw2core.cnn.conv\n"
        "assert 'hw2core.cnn.residual' not in sys.modules\n"
        "from hw2core.cnn import ResNetClassifier\n"
        "assert 'hw2core.cnn.yourcodenet' not in sys.modules\n"
        "import hw2core.cnn as cnn\n"
        "assert all(getattr(cnn, name).__name__ == name for name in cnn.__all__)\n"
        "assert not hasattr(cnn, 'AlexNet')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_he_initialisation_keeps_the_scale_through_depth():
    torch.manual_seed(0)
    arguments = ((3, 32, 32), 10, [32] * 8, 4, [128])
    x = torch.randn(32, 3, 32, 32)
    default = ConvClassifier(*arguments)
    he = ConvClassifier(*arguments, initialization="he")
    assert he.feature_extractor(x).std() > 10 * default.feature_extractor(x).std()
    convolution = he.feature_extractor[2]
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)
    assert not convolution.bias.any()


def test_batch_norm_stands_between_convolution_and_activation():
    model = ConvClassifier((3, 32, 32), 10, [4, 8], 1, [], batchnorm=True)
    kinds = [type(layer).__name__ for layer in model.feature_extractor]
    assert kinds == 2 * ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(ValueError, match="initialization must be one of default, he, got 'xavier'"):
        ConvClassifier((3, 32, 32), 10, [4], 1, [], initialization="xavier")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gelu", nn.GELU), ("silu", nn.SiLU), ("elu", nn.ELU), ("lrelu", nn.LeakyReLU)],
)
def test_each_activation_follows_every_layer_but_the_last(name, kind):
    model = ConvClassifier((3, 8, 8), 10, [4, 4], 2, [6], activation_type=name)
    assert sum(isinstance(module, kind) for module in model.modules()) == 3
    assert not any(isinstance(module, nn.ReLU) for module in model.modules())


def test_dropout_drops_channels_after_each_activation_in_training_only():
    model = ConvClassifier((3, 8, 8), 10, [4, 4], 2, [], dropout=0.5)
    assert [type(layer) for layer in model.feature_extractor] == [
        *[nn.Conv2d, nn.ReLU, nn.Dropout2d] * 2,
        nn.MaxPool2d,
    ]
    plain = ConvClassifier((3, 8, 8), 10, [4, 4], 2, [])
    weights = zip(plain.parameters(), model.parameters(), strict=True)
    with torch.no_grad():
        for target, source in weights:
            target.copy_(source)
    x = torch.randn(2, 3, 8, 8)
    assert not torch.equal(model(x), model(x))
    torch.testing.assert_close(model.eval()(x), plain(x))


@pytest.mark.parametrize("dropout", [-0.1, 1.1])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\]"):
        ConvClassifier((3, 8, 8), 10, [4], 1, [], dropout=dropout)
