import pytest
import torch
from result_documents import build_result, build_results, tabulate
from torch import nn

from hw2core import layers
from hw2core.analysis.findings import rates, theory
from hw2core.cnn import ConvClassifier, ResidualBottleneckBlock
from hw2core.engine.flops import count_flops


def test_the_jacobian_of_the_question():
    jacobian = theory.measure_jacobian()
    assert jacobian.shape == (128, 2048, 128, 1024)
    assert jacobian.entries == 34_359_738_368
    assert jacobian.size == 137_438_953_472 == 128 * 2**30
    assert (jacobian.nonzero, jacobian.product) == (2**30, 2**19)
    # The gradients by X (128 x 1024), W (2048 x 1024) and b (2048), of four bytes a number.
    expected = 4 * (128 * 1024 + 2048 * 1024 + 2048)
    assert theory.measure_backward_memory() == expected
    torch.set_default_dtype(torch.float64)  # as for a check of gradients
    try:
        with torch.no_grad():
            assert theory.measure_backward_memory() == expected
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_formula_holds_for_a_jacobian_that_fits_into_memory():
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    full = torch.autograd.functional.jacobian(layer, x)
    sizes = theory.measure_jacobian(5, 3, 4)
    assert full.shape == sizes.shape
    assert (full.numel(), full.nbytes) == (sizes.entries, sizes.size)
    blocks = [full[n, :, m] for n in range(5) for m in range(5)]
    assert sum(block.nbytes for block in blocks if block.any()) == sizes.nonzero


def test_the_blocks_of_the_question_cost_what_the_course_says():
    regular, bottleneck = theory.compare_blocks()
    assert regular == (1_179_648, 1_180_160, 5, 256)  # weights, parameters, field, rank
    assert bottleneck == (69_632, 70_016, 3, 64)
    assert set(theory.list_block_ratios()["Ratio"]) == {"16.9"}
    # A block uses every weight once per pixel.
    block = ResidualBottleneckBlock(16, [4], [3])
    assert count_flops(block, (16, 8, 8)) == 2 * 8**2 * theory.measure_block(block).weights


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("num_conv", "pool_every"), [(2, 1), (4, 2), (5, 2), (9, 3), (3, 4)])
def test_the_receptive_field_is_that_of_a_gradient(num_conv, pool_every, kernel):
    size = 128
    convs = {"kernel_size": kernel, "padding": kernel // 2}
    options = {"conv_params": convs, "pooling_type": "avg"}
    network = ConvClassifier((1, size, size), 1, [1] * num_conv, pool_every, [], **options)
    for layer in network.feature_extractor:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)  # a negative one could end the signal
    x = torch.ones(1, 1, size, size, requires_grad=True)
    features = network.feature_extractor(x)
    middle = features.shape[-1] // 2
    features[0, 0, middle, middle].backward()
    side = int((x.grad[0, 0].sum(dim=0) > 0).sum())
    assert theory.measure_field(num_conv, pool_every, kernel) == side


@pytest.mark.parametrize(("depth", "pools"), [(2, 2), (4, 2), (8, 3)])
def test_the_first_linear_layer_has_the_parameters_of_the_network_itself(depth, pools):
    pool_every = depth // pools
    network = ConvClassifier((3, 32, 32), 10, [8] * depth, pool_every, [16])
    count = sum(p.numel() for p in network.classifier[0].parameters())
    assert theory.count_head("4-8", depth, pool_every, 16) == count


def test_networks_are_listed_with_their_share():
    study = tabulate(build_results("exp1_1"))
    networks = theory.list_networks(study, "exp1_1")
    assert list(networks["Network"][:2]) == ["L = 2, K = 32", "L = 2, K = 64"]
    assert len(networks) == 8
    assert theory.list_networks(study, "exp1_2").empty


@pytest.mark.parametrize(
    ("kernel", "fields"), [(1, (4, 4)), (3, (10, 16)), (5, (16, 28)), (None, (10, 16))]
)
def test_a_receptive_field_is_that_of_the_kernels_of_its_network(kernel, fields):
    own = {"kernel_size": kernel} if kernel else {}
    results = [
        build_result(f"exp1_1_L{depth}_K4", depth=depth, network={"pool_every": depth // 2, **own})
        for depth in (2, 4)
    ]
    other = build_result("exp1_2_L2_K4", experiment="exp1_2", network={"kernel_size": 7})
    part_2 = build_results("part2_dropout")
    for study in (tabulate(results), tabulate([*results, other, *part_2])):
        networks = theory.list_networks(study, "exp1_1")
        assert [*networks["Receptive field"]] == [f"{side} × {side}" for side in fields]


SEARCHED = {"momentum": 0.9, "schedule": "one_cycle", "weight_decay": 5e-4}
SEARCHED |= {"flip": True, "translate": 4}
SCRATCH = {"epochs": 10, "network": {"hidden_dims": [128] * 5, "wstd": 0.08}}
PART_2 = {"batch_size": 50, "batches": 100, "weight_decay": 1e-4}
PART_2 |= {"schedule": "constant", "flip": False, "translate": 0}


def test_the_rates_are_those_of_the_search():
    plain = build_results("exp1_1", training=SEARCHED)
    study = tabulate([*plain, *build_results("part2_optim")])
    assert "| 0.05 | 67.3 | 72.4 |" in rates.read_rates(study)
    assert rates.read_rates(tabulate(build_results("exp1_1", training={"lr": 0.003}))) == ""
    assert not rates.has_searched_rates(study)  # SGD with a rate of 0.1
    assert rates.list_searched(study) == ["exp1_1"]
    published = {"vanilla": 0.12, "momentum": 0.01, "rmsprop": 5e-4}
    results = [
        build_result(
            name,
            experiment="part2_optim",
            training=PART_2 | {"optimizer": name, "lr": rate, "momentum": 0.9},
            **SCRATCH,
        )
        for name, rate in published.items()
    ]
    others = [
        build_result("exp1_5_he_L8_K32", experiment="exp1_5", training=SEARCHED),
        build_result("exp1_4_L8_K32", experiment="exp1_4", training=SEARCHED | {"lr": 0.1}),
        build_result("exp2_L3_K32", experiment="exp2"),  # searched with no network of its kind
    ]
    searched = tabulate([*results, *others])
    assert rates.has_searched_rates(searched)
    assert rates.list_searched(searched) == ["exp1_5", "part2_optim"]
    assert rates.read_rates(searched) == ""


@pytest.mark.parametrize(
    "change",
    [
        *({"batch_size": 512}, {"optimizer": "adamw"}, {"momentum": 0.5}, {"weight_decay": 0.0}),
        *({"schedule": "constant"}, {"warmup": 0.5}, {"flip": False}, {"translate": 0}),
        *({"label_smoothing": 0.1}, {"cutout": 8}, {"average": 0.01}, {"nesterov": False}),
    ],
)
def test_a_rate_that_was_searched_with_another_recipe_was_not_chosen(change):
    study = tabulate(build_results("exp1_1", training=SEARCHED | change))
    assert rates.list_searched(study) == []
    assert rates.read_rates(study) == ""


@pytest.mark.parametrize(
    "network", [{"kernel_size": 5}, {"activation_type": "gelu"}, {"initialization": "he"}]
)
def test_a_rate_that_was_searched_with_other_networks_was_not_chosen(network):
    for change, chosen in (({}, ["exp1_1"]), (network, [])):
        study = tabulate(build_results("exp1_1", training=SEARCHED, network=change))
        assert rates.list_searched(study) == chosen


def test_a_rate_is_that_of_a_plain_network_and_of_a_residual_one_with_batch_norm():
    for experiment, model, norm in (("exp1_1", "cnn", False), ("exp1_4", "resnet", True)):
        for batchnorm in (False, True):
            network = {"batchnorm": batchnorm}
            results = build_results(experiment, model=model, training=SEARCHED, network=network)
            found = rates.list_searched(tabulate(results))
            assert found == [experiment] * (batchnorm == norm)


@pytest.mark.parametrize(
    "change",
    [
        *({"lr": 0.001}, {"batch_size": 128}, {"batches": 50}, {"epochs": 50}, {"flip": True}),
        *({"weight_decay": 0.1}, {"schedule": "one_cycle"}, {"translate": 4}, {"momentum": 0.5}),
    ],
)
def test_a_rate_of_part_2_that_was_searched_but_is_not_the_best_was_not_chosen(change):
    training = PART_2 | {"optimizer": "momentum", "momentum": 0.9, "lr": 0.01}
    for recipe, chosen in ((training, True), (training | change, False)):
        options = SCRATCH | {"epochs": recipe.get("epochs", SCRATCH["epochs"])}
        result = build_result("momentum", experiment="part2_optim", training=recipe, **options)
        assert rates.has_searched_rates(tabulate([result])) == chosen
    for network in ({"wstd": 0.08}, SCRATCH["network"] | {"wstd": 0.001}):
        options = {"training": training, "epochs": 10, "network": network}
        other = build_result("momentum", experiment="part2_optim", **options)
        assert not rates.has_searched_rates(
            tabulate([other])
        )  # one hidden layer, or too small weights


def test_every_layer_by_hand_agrees_with_autograd():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    norms = theory.check_gradients()
    assert len(norms) == 8
    assert max(norms.values()) < 1e-12, norms
    assert torch.equal(torch.rand(2), expected)  # the generator is left as it was


def test_a_wrong_gradient_would_show(monkeypatch):
    right, by_weights = layers.TanH.backward, layers.Linear.backward

    def backward(self, dout):
        dx = by_weights(self, dout)
        self.dw *= 1.001
        return dx

    monkeypatch.setattr(layers.TanH, "backward", lambda self, dout: 1.001 * right(self, dout))
    monkeypatch.setattr(layers.Linear, "backward", backward)
    norms = theory.check_gradients()
    assert min(norms["TanH"], norms["Linear"]) > 1e-3
