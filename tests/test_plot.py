from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hw2core.history import FitResult, ValidatedFit
from hw2core.plot import plot_exp_results, plot_fit
from hw2core.runs import files
from hw2core.runs.schema import Epochs

FIT = FitResult(2, [2.0, 1.0], [30.0, 50.0], [2.1, 1.2], [29.0, 45.0])


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def write(make_result, make_evaluation) -> Callable[..., None]:
    """Writes the one file of the course, or result and evaluation of a run of the study."""

    def write(path: Path, fit: FitResult = FIT) -> None:
        result = make_result(epochs=Epochs.of(fit))
        evaluation = make_evaluation(result)
        if path.stem.startswith("seed"):
            files.write_result(path, result)
            files.write_evaluation(path.with_suffix(".test.json"), evaluation)
        else:
            files.write_single_file(path, result, evaluation)

    return write


def test_a_fit_is_drawn_in_four_panels():
    figure, axes = plot_fit(FIT)
    assert axes.shape == (4,)
    assert [x.get_title("left") for x in axes] == [
        "Training loss",
        "Training accuracy (%)",
        "Test loss",
        "Test accuracy (%)",
    ]
    fields = (FIT.train_loss, FIT.train_acc, FIT.test_loss, FIT.test_acc)
    for panel, values in zip(axes, fields, strict=True):
        (line,) = panel.get_lines()
        np.testing.assert_array_equal(line.get_xdata(), [1, 2])
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert list(figure.axes) == list(axes)


def test_fits_are_laid_over_each_other_with_a_legend():
    figure, _ = plot_fit(FIT, legend="first")
    again, axes = plot_fit(FIT, fig=figure, legend="second")
    assert again is figure
    assert len(figure.axes) == 4
    for panel in axes:
        first, second = panel.get_lines()
        assert first.get_color() != second.get_color()
        assert [x.get_text() for x in panel.get_legend().get_texts()] == ["first", "second"]


def test_the_legend_is_left_out_unless_named_and_only_losses_are_logarithmic():
    _, axes = plot_fit(FIT, log_loss=True)
    assert [x.get_yscale() for x in axes] == ["log", "linear", "log", "linear"]
    assert all(x.get_legend() is None for x in axes)


def test_a_fit_of_the_same_name_replaces_the_earlier_one():
    figure, _ = plot_fit(FIT, legend="first")
    plot_fit(FIT, fig=figure, legend="second")
    longer = FitResult(3, [9.0, 8.0, 7.0], [1.0, 2.0, 99.0], [9.0, 8.0, 7.0], [1.0, 2.0, 3.0])
    _, axes = plot_fit(longer, fig=figure, legend="first")
    for panel, values in zip(axes, longer[1:], strict=True):
        assert [x.get_text() for x in panel.get_legend().get_texts()] == ["first", "second"]
        first, second = panel.get_lines()
        np.testing.assert_array_equal(first.get_ydata(), values)
        assert len(second.get_ydata()) == 2
        assert panel.get_xlim()[1] >= 3
        assert panel.get_ylim()[1] >= max(values)


def test_fits_without_a_name_are_laid_over_each_other():
    figure, _ = plot_fit(FIT)
    _, axes = plot_fit(FIT, fig=figure)
    assert [len(panel.get_lines()) for panel in axes] == [2] * 4


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 30])
def test_ticks_are_whole_epochs(epochs):
    curve = [1.0] * epochs
    figure, axes = plot_fit(FitResult(epochs, curve, curve, curve, curve))
    figure.canvas.draw()
    for panel in axes:
        ticks = panel.get_xticks()
        np.testing.assert_array_equal(ticks, np.round(ticks))


def test_titles_say_validation_where_it_is_validation():
    figure, axes = plot_fit(ValidatedFit(*FIT))
    assert [x.get_title("left") for x in axes] == [
        "Training loss",
        "Training accuracy (%)",
        "Validation loss",
        "Validation accuracy (%)",
    ]
    for fit in (FIT, ValidatedFit(*FIT)):
        plot_fit(fit, fig=figure)
        assert axes[0].get_title("left") == "Training loss"
        assert axes[3].get_title("left") == "Validation or test accuracy (%)"


def test_the_number_of_epochs_may_be_wrong_in_files_of_others():
    fit = FitResult(9, [4.0, 3.0, 2.0, 1.0], [10.0, 20.0], [4.0, 3.0], [10.0, 20.0])
    _, axes = plot_fit(fit)
    np.testing.assert_allclose(axes[0].get_lines()[0].get_xdata(), [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(axes[3].get_lines()[0].get_xdata(), [1, 2])


def test_losses_of_batches_stand_at_their_share_of_the_epoch():
    fit = FIT._replace(train_loss=[4.0, 3.0, 2.0, 1.0])
    _, axes = plot_fit(fit)
    np.testing.assert_allclose(axes[0].get_lines()[0].get_xdata(), [0.5, 1.0, 1.5, 2.0])


def test_a_diverged_fit_with_missing_values_is_drawn():
    _, axes = plot_fit(FitResult(2, [2.0, None], [10.0], [None], [10.0]))
    assert np.isnan(axes[0].get_lines()[0].get_ydata()[1])


def test_a_figure_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="fig: has 1 axes"):
        plot_fit(FIT, fig=plt.subplots()[0])


def test_results_of_both_kinds_are_found_in_natural_order(tmp_path, write):
    write(tmp_path / "exp1_1_L16_K32.json", FIT._replace(test_acc=[1.0, 2.0]))
    write(tmp_path / "exp1_1_L2_K32" / "seed0.json")
    write(tmp_path / "exp1_1_L2_K32" / "seed10.json")
    write(tmp_path / "exp1_1_L2_K32" / "seed2.json")
    write(tmp_path / "exp1_1_L2_K64" / "seed0.json")
    absolute = tmp_path / "exp1_1_L*_K32*.json"
    patterns = ("exp1_1_L*_K32", "exp1_1_L*_K32.json", "exp1_1_L*_K32*.json", "*_K32*")
    for pattern in (*patterns, Path("exp1_1_L*_K32*"), absolute, str(absolute)):
        folder = tmp_path if pattern not in (absolute, str(absolute)) else "elsewhere"
        _, axes = plot_exp_results(pattern, results_dir=folder)
        assert axes[3].get_title("left") == "Validation accuracy (%)"
        assert [x.get_text() for x in axes[0].get_legend().get_texts()] == [
            "exp1_1_L2_K32, seed0",
            "exp1_1_L2_K32, seed2",
            "exp1_1_L2_K32, seed10",
            "exp1_1_L16_K32",
        ]
        np.testing.assert_array_equal(axes[3].get_lines()[3].get_ydata(), [1.0, 2.0])


def test_a_pattern_without_results_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="'exp9'"):
        plot_exp_results("exp9", results_dir=tmp_path)


def test_files_of_the_course_are_drawn(tmp_path):
    curves = {"train_loss": [2.0, math.nan, 1.0, 0.5], "train_acc": [30, 50.0]}
    results = {"num_epochs": 2, **curves, "test_loss": [2.1, 1.9], "test_acc": [29.0, 45.0]}
    document = {"config": {"lr": 0.1, "filters_per_layer": [32]}, "results": results}
    (tmp_path / "exp1_1_L2_K32.json").write_text(json.dumps(document))
    _, axes = plot_exp_results("exp1_1_L*_K32*.json", tmp_path)
    assert axes[3].get_title("left") == "Test accuracy (%)"
    np.testing.assert_array_equal(axes[3].get_lines()[0].get_ydata(), [29.0, 45.0])
    assert [x.get_text() for x in axes[0].get_legend().get_texts()] == ["exp1_1_L2_K32"]


def test_evaluations_alone_are_no_result(tmp_path, write):
    write(tmp_path / "run" / "seed0.json")
    (tmp_path / "run" / "seed0.json").unlink()
    with pytest.raises(FileNotFoundError, match="'run'"):
        plot_exp_results("run", results_dir=tmp_path)


def test_plotting_imports_no_torch():
    code = "import hw2core.plot, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
