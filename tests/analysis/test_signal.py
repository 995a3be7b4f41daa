import pytest
from result_documents import build_result, build_results, tabulate

from hw2core.analysis.signal import measure_signal


def test_the_error_signal_is_the_gradient_without_the_scale_of_the_input():
    # Gradients grow by 2 and activations fall by 0.6 per layer, so the signal grows by 2 / 0.6.
    signal = measure_signal(tabulate(build_results("exp1_1", seeds=(0, 1))), "exp1_1")
    assert list(signal["num_conv"]) == [4, 4, 8, 8, 16, 16]  # two convolutions show no slope
    assert list(signal["backward_start"]) == pytest.approx([2 / 0.6] * 6)
    assert list(signal["last_activation_end"][:1]) == pytest.approx([0.6**3])
    assert list(signal["dead_end"]) == pytest.approx([20.0] * 6)
    assert signal["main_over_shortcut_start"].isna().all()


def test_results_without_recorded_layers_have_no_signal():
    assert measure_signal(tabulate([build_result("x_L4_K32", layers=None)]), "exp1_1").empty
