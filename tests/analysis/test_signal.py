import pytest
from result_documents import build_result, build_results, tabulate

from hw2core.analysis.findings.layers import tabulate_signal
from hw2core.analysis.signal import measure_signal


def test_the_error_signal_is_the_gradient_without_the_scale_of_the_input():
    # Gradients grow by 2 and activations fall by 0.6 per layer, so the signal grows by 2 / 0.6.
    signal = measure_signal(tabulate(build_results("exp1_1", seeds=(0, 1))), "exp1_1")
    # Four networks of two seeds; two convolutions show no slope.
    assert list(signal["num_conv"]) == [4] * 4 + [8] * 4 + [16] * 4
    assert list(signal["seed"]) == [0, 1] * 6
    assert list(signal["backward_start"]) == pytest.approx([2 / 0.6] * 12)
    assert list(signal["last_activation_end"][:1]) == pytest.approx([0.6**3])
    assert list(signal["dead_end"]) == pytest.approx([20.0] * 12)
    assert signal["main_over_shortcut_start"].isna().all()


def test_seeds_that_trained_and_seeds_that_did_not_are_rows_of_their_own():
    results = build_results("exp1_1", seeds=(0, 1, 2))  # at depth 8, seed 1 fails
    dead = [x for x in results if x.name == "exp1_1_L8_K32" and x.seed == 1]
    for result in dead:
        row = [0.5 * (value is not None) for value in result.layers.dead_fraction[-1]]
        result.layers.dead_fraction[-1][:] = row
    table = tabulate_signal(tabulate(results))
    eight = table[table["Convolutions"] == "8"].set_index("Runs")["Dead channels (%)"]
    assert dict(eight) == {"4 trained": "0 → 20", "2 not trained": "0 → 20–50"}
    assert list(table["Runs"]) == ["6 trained", *eight.index, "6 not trained"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_run_that_diverged_hides_no_values_of_others_and_has_no_dead_channels(which):
    """Its last activations are not finite; the engine recorded that no channel was 0."""
    failed = [
        build_result("exp1_1_L8_K32", depth=8, seed=seed, status=status)
        for seed, status in ((which, "diverged"), (1 - which, "at_chance"))
    ]
    layers = failed[0].layers
    layers.activation_std[-1][-1] = layers.gradient_norm[-1][-1] = None
    convolution = max(place for place, name in enumerate(layers.names) if name.startswith("conv"))
    layers.activation_std[-1][convolution] = None
    layers.dead_fraction[-1][:] = [0.0] * len(layers.names)
    study = tabulate(sorted(failed, key=lambda result: result.seed))
    signal = measure_signal(study, "exp1_1").set_index("status")
    assert signal.loc["diverged", ["last_activation_end", "dead_end"]].isna().all()
    (row,) = tabulate_signal(study).to_dict("records")
    assert row["Runs"] == "2 not trained (1 diverged)"
    assert row["Dead channels (%)"] == "0 → 20"
    assert row["Last activations"].split(" → ")[1] == "0.028"


def test_results_without_recorded_layers_have_no_signal():
    assert measure_signal(tabulate([build_result("x_L4_K32", layers=None)]), "exp1_1").empty
