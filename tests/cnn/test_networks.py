"""What holds for all three networks."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from networks import list_modules
from torch import nn

from hw2core.cnn import ConvClassifier, ResNetClassifier, YourCodeNet

NETWORKS = [ConvClassifier, ResNetClassifier, YourCodeNet]
every_network = pytest.mark.parametrize("cls", NETWORKS)
SIZES = {
    "in_size": (3, 8, 8),
    "out_classes": 4,
    "channels": [5, 6, 7],
    "pool_every": 2,
    "hidden_dims": [9],
}


def build(cls, seed=0, **changed):
    torch.manual_seed(seed)
    return cls(**SIZES | changed)


@every_network
def test_the_seed_decides_the_weights(cls):
    first, again, other = (build(cls, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(next(iter(first.values())), next(iter(other.values())))


@every_network
def test_gradients_reach_every_parameter_and_the_image(cls):
    model = build(cls)
    x = (-torch.rand(8, 3, 8, 8)).requires_grad_()  # a ReLU on the image would lose all of it
    model(x).square().sum().backward()
    assert (x.grad != 0).float().mean() > 0.9
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 1e-5, name


@every_network
def test_counting_features_changes_neither_generator_nor_statistics_nor_mode(cls):
    model = build(cls, batchnorm=True, dropout=0.5, hidden_dims=[])
    state = torch.get_rng_state()
    assert model._n_features() == model.classifier[0].in_features
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    norms = list_modules(model, nn.BatchNorm2d)
    assert norms
    assert all(norm.num_batches_tracked == 0 for norm in norms)
    assert all(torch.equal(norm.running_var, torch.ones_like(norm.bias)) for norm in norms)
    model.eval()
    model._n_features()
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@every_network
def test_channels_last_memory_and_bf16_give_the_same_logits(cls, precision):
    model, x = build(cls), torch.randn(16, 3, 8, 8)
    expected = model(x)
    model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        logits = model(x.to(memory_format=torch.channels_last))
    tolerance = {"atol": 0.05, "rtol": 0.05} if precision == torch.bfloat16 else {}
    torch.testing.assert_close(logits.float(), expected, **tolerance)


@pytest.mark.parametrize("number", [np.int64, np.uint8, torch.tensor])
@every_network
def test_integers_of_other_libraries_are_integers(cls, number):
    given = {
        key: [number(n) for n in size] if isinstance(size, list | tuple) else number(size)
        for key, size in SIZES.items()
    }
    x = torch.ones(1, 3, 8, 8)
    model, expected = build(cls, **given), build(cls)
    assert torch.equal(model(x), expected(x))
    assert [type(n) for n in (*model.channels, model.pool_every)] == [int] * 4
    assert build(cls, channels=np.array([4, 6]), hidden_dims=np.array([7])).channels == [4, 6]


@every_network
def test_arguments_are_neither_kept_nor_changed(cls):
    channels, conv_params = [4], {"kernel_size": 3}
    model = build(cls, channels=channels, conv_params=conv_params)
    channels.append(5)
    assert model.channels == [4]
    assert conv_params == {"kernel_size": 3}


REFUSED = [
    ({"in_size": (3, 32)}, "in_size"),
    ({"in_size": (3, 0, 32)}, "in_size"),
    ({"out_classes": 0}, "out_classes"),
    ({"channels": []}, "channels"),
    ({"channels": [4, 0]}, "channels"),
    ({"channels": [4.5]}, "channels"),
    ({"pool_every": 0}, "pool_every"),
    ({"pool_every": -1}, "pool_every"),
    ({"hidden_dims": [0]}, "hidden_dims"),
    ({"dropout": -0.1}, r"dropout must lie in \[0, 1\], got -0.1"),
    ({"dropout": 1.1}, r"dropout must lie in \[0, 1\]"),
    ({"activation_type": "best"}, "activation_type must be one of relu, lrelu, gelu, .* 'best'"),
    ({"pooling_type": "best"}, "pooling_type must be one of max, avg, got 'best'"),
    ({"channels": [4] * 4, "pool_every": 1}, r"map is empty: in_size \(3, 8, 8\) .* \[4, 4, 4, 4"),
    ({"channels": [4] * 8}, "pool_every 2"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED)
@every_network
def test_values_out_of_range_are_refused(cls, changed, message):
    with pytest.raises(ValueError, match=message):
        build(cls, **changed)
    with pytest.raises(TypeError, match="colour"):
        build(cls, colour=1)


C, R, Y = NETWORKS
PLAIN = [
    *[([k], n, n // 2, k * 8 * 8) for k in (32, 64) for n in (2, 4, 8, 16)],
    *[([k], n, n // 2, k * 8 * 8) for k in (128, 256) for n in (2, 4, 8)],
    *[([64, 128, 256], n, n, 256 * 4 * 4) for n in (1, 2, 3, 4)],
]
RESIDUAL = [
    *[([32], n, n // 4, 32 * 2 * 2) for n in (8, 16, 32)],
    *[([64, 128, 256], 2, 2, 256 * 4 * 4), ([64, 128, 256], 4, 3, 256 * 2 * 2)],
    ([64, 128, 256], 8, 6, 256 * 2 * 2),
]
STUDY = [
    *[(C, *case) for case in PLAIN],
    *[(R, *case) for case in RESIDUAL],
    *[(Y, [32, 64, 128], n, n, 128) for n in (3, 6, 9, 12)],
]


@pytest.mark.parametrize(("cls", "widths", "depth", "pool_every", "features"), STUDY)
@torch.no_grad()
def test_networks_of_the_study(cls, widths, depth, pool_every, features):
    channels = [k for k in widths for _ in range(depth)]
    model = cls((3, 32, 32), 10, channels, pool_every, [128])
    convolutions = [m for m in list_modules(model, nn.Conv2d) if m.kernel_size == (3, 3)]
    assert [m.out_channels for m in convolutions] == channels
    assert len(list_modules(model, nn.MaxPool2d)) == len(channels) // pool_every
    assert model.classifier[0].in_features == features
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_importing_one_architecture_loads_no_other():
    code = (
        "import sys, hw2core.cnn.conv\n"
        "assert 'hw2core.cnn.residual' not in sys.modules\n"
        "from hw2core.cnn import ResNetClassifier\n"
        "assert 'hw2core.cnn.yourcodenet' not in sys.modules\n"
        "import hw2core.cnn as cnn\n"
        "assert all(getattr(cnn, name).__name__ == name for name in cnn.__all__)\n"
        "assert set(cnn.__all__) <= set(dir(cnn))\n"
        "assert not hasattr(cnn, 'AlexNet')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
