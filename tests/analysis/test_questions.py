import pytest
import torch
from result_documents import build_experiment, build_result, tabulate
from torch import nn

from hw2core import layers
from hw2core.analysis.findings import theory
from hw2core.analysis.findings.part2 import find_joint_rise
from hw2core.analysis.signal import measure_signal
from hw2core.cnn import ConvClassifier, ResidualBottleneckBlock
from hw2core.engine.flops import count_flops


def test_the_jacobian_of_the_question():
    jacobian = theory.measure_jacobian()
    assert jacobian.shape == (128, 2048, 128, 1024)
    assert jacobian.entries == 34_359_738_368
    assert jacobian.size == 137_438_953_472 == 128 * 2**30
    assert (jacobian.nonzero, jacobian.product) == (2**30, 2**19)
    # The gradients by X (128 x 1024), W (2048 x 1024) and b (2048), of four bytes a number.
    assert theory.measure_backward_memory() == 4 * (128 * 1024 + 2048 * 1024 + 2048)


def test_the_formula_holds_for_a_jacobian_that_fits_into_memory():
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    full = torch.autograd.functional.jacobian(layer, x)
    sizes = theory.measure_jacobian(5, 3, 4)
    assert full.shape == sizes.shape
    assert (full.numel(), full.nbytes) == (sizes.entries, sizes.size)
    assert sum(full[n, :, m].nbytes for n in range(5) for m in range(5) if full[n, :, m].any()) == (
        sizes.nonzero
    )
    assert all(torch.equal(full[n, :, n], layer.weight) for n in range(5))


def test_the_blocks_of_the_question_cost_what_the_course_says():
    regular, bottleneck = theory.compare_blocks()
    assert (regular.weights, regular.parameters) == (1_179_648, 1_180_160)
    assert (bottleneck.weights, bottleneck.parameters) == (69_632, 70_016)
    assert (regular.field, bottleneck.field) == (5, 3)
    assert (regular.rank, bottleneck.rank) == (256, 64)
    assert set(theory.list_block_ratios()["Ratio"]) == {"16.9"}


def test_a_block_uses_every_weight_once_per_pixel():
    block = ResidualBottleneckBlock(16, [4], [3])
    assert count_flops(block, (16, 8, 8)) == 2 * 8**2 * theory.measure_block(block).weights


@pytest.mark.parametrize(("num_conv", "pool_every"), [(2, 1), (4, 2), (5, 2), (9, 3), (3, 4)])
def test_the_receptive_field_is_that_of_a_gradient(num_conv, pool_every):
    network = ConvClassifier((1, 64, 64), 1, [1] * num_conv, pool_every, [], pooling_type="avg")
    for layer in network.feature_extractor:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    x = torch.ones(1, 1, 64, 64, requires_grad=True)
    features = network.feature_extractor(x)
    middle = features.shape[-1] // 2
    features[0, 0, middle, middle].backward()
    side = int((x.grad[0, 0].sum(dim=0) > 0).sum())
    assert theory.measure_field(num_conv, pool_every) == side


@pytest.mark.parametrize(("depth", "pools"), [(2, 2), (4, 2), (8, 3)])
def test_the_first_linear_layer_has_the_parameters_of_the_network_itself(depth, pools):
    pool_every = depth // pools
    network = ConvClassifier((3, 32, 32), 10, [8] * depth, pool_every, [16])
    count = sum(p.numel() for p in network.classifier[0].parameters())
    assert theory.count_head("4-8", depth, pool_every, 16) == count


def test_networks_are_listed_with_their_share():
    study = tabulate(build_experiment("exp1_1"))
    networks = theory.list_networks(study, "exp1_1")
    assert list(networks["Network"][:2]) == ["L = 2, K = 32", "L = 2, K = 64"]
    assert len(networks) == 8
    assert theory.list_networks(study, "exp1_2").empty


def test_the_rates_are_those_of_the_search():
    assert "| 0.05 | 67.3 | 72.4 |" in theory.read_rates()


def test_every_layer_by_hand_agrees_with_autograd():
    norms = theory.check_gradients()
    assert len(norms) == 8
    assert max(norms.values()) < 1e-12, norms


def test_a_wrong_gradient_would_show(monkeypatch):
    right = layers.TanH.backward
    monkeypatch.setattr(layers.TanH, "backward", lambda self, dout: 1.001 * right(self, dout))
    assert theory.check_gradients()["TanH"] > 1e-3


def test_a_wrong_gradient_by_a_parameter_would_show(monkeypatch):
    right = layers.Linear.backward

    def backward(self, dout):
        dx = right(self, dout)
        self.dw *= 1.001
        return dx

    monkeypatch.setattr(layers.Linear, "backward", backward)
    assert theory.check_gradients()["Linear"] > 1e-3


def test_checking_leaves_the_generator_as_it_was():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    theory.check_gradients()
    assert torch.equal(torch.rand(2), expected)


def test_the_error_signal_is_the_gradient_without_the_scale_of_the_input():
    # Gradients grow by 2 and activations fall by 0.6 per layer, so the signal grows by 2 / 0.6.
    signal = measure_signal(tabulate(build_experiment("exp1_1", seeds=(0, 1))), "exp1_1")
    assert list(signal["num_conv"]) == [4, 4, 8, 8, 16, 16]  # two convolutions show no slope
    assert list(signal["backward_start"]) == pytest.approx([2 / 0.6] * 6)
    assert list(signal["last_activation_end"][:1]) == pytest.approx([0.6**3])
    assert list(signal["dead_end"]) == pytest.approx([20.0] * 6)
    assert signal["main_over_shortcut_start"].isna().all()


def test_results_without_recorded_layers_have_no_signal():
    assert measure_signal(tabulate([build_result("x_L4_K32", layers=None)]), "exp1_1").empty


def test_the_strongest_joint_rise_maximises_the_smaller_one():
    flat = {"train_loss": [1.0] * 3, "train_accuracy": [50.0] * 3}

    def build(run, losses, accuracies, **changes):
        curves = {"validation_loss": losses, "validation_accuracy": accuracies}
        return build_result(run, epochs=3, best_epoch=1, **flat, **curves, **changes)

    results = [
        build("exp1_1_L2_K32", [1.0, 1.5, 1.5], [50.0, 50.1, 50.1]),  # one rise is tiny
        build("exp1_1_L4_K32", [1.0, 1.1, 1.2], [50.0, 53.0, 52.0]),
        build("exp1_1_L8_K32", [1.0, 0.9, 0.8], [50.0, 51.0, 52.0]),
    ]
    case = find_joint_rise(tabulate(results))
    assert (case.run, case.epoch, case.validation_images) == ("exp1_1_L4_K32", 2, 6000)
    assert (case.loss_before, case.loss) == (1.0, 1.1)
    assert (case.accuracy_before, case.accuracy) == (50.0, 53.0)
    assert (case.found, case.compared) == (2, 6)
    assert case.accuracy_rise == pytest.approx(3 / (100 * ((0.25 + 0.53 * 0.47) / 6000) ** 0.5))
    assert case.loss_rise == pytest.approx(0.1 / ((1 + 1.21) / 6000) ** 0.5)
    assert find_joint_rise(tabulate(results[2:])) is None
    assert find_joint_rise(tabulate([])) is None
