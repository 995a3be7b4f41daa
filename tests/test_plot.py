from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hw2core.history import FitResult, ValidatedFit
from hw2core.plot import plot_exp_results, plot_fit
from hw2core.runs import files
from hw2core.runs.schema import Epochs

FIT = FitResult(2, [2.0, 1.0], [30.0, 50.0], [2.1, 1.2], [29.0, 45.0])
TITLES = ("Training loss", "Training accuracy (%)", "{} loss", "{} accuracy (%)")


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def get_curves(axes, number=0):
    """The x and y of a line of each panel."""
    lines = [panel.get_lines()[number] for panel in axes]
    return [list(line.get_xdata()) for line in lines], [list(line.get_ydata()) for line in lines]


def get_legend(panel):
    return panel.get_legend() and [text.get_text() for text in panel.get_legend().get_texts()]


def get_titles(axes):
    return [panel.get_title("left") for panel in axes]


def name_panels(set_name):
    return [title.format(set_name) for title in TITLES]


@pytest.mark.parametrize("log_loss", [False, True])
def test_a_fit_is_drawn_in_four_panels(log_loss):
    figure, axes = plot_fit(FIT, log_loss=log_loss)
    assert list(figure.axes) == list(axes)
    assert get_titles(axes) == name_panels("Test")
    assert get_curves(axes) == ([[1, 2]] * 4, list(FIT[1:]))
    loss_scale = "log" if log_loss else "linear"
    assert [panel.get_yscale() for panel in axes] == [loss_scale, "linear"] * 2
    assert [get_legend(panel) for panel in axes] == [None] * 4


def test_fits_are_laid_over_each_other_and_one_of_the_same_name_replaces_the_earlier():
    figure, _ = plot_fit(FIT, legend="first")
    plot_fit(FIT, fig=figure, legend="second")
    figure.canvas.draw()  # as a notebook does, which fixes the limits
    longer = FitResult(3, [9.0, 8.0, 7.0], [1.0, 2.0, 99.0], [9.0, 8.0, 7.0], [1.0, 2.0, 3.0])
    again, axes = plot_fit(longer, fig=figure, legend="first")
    assert again is figure
    assert list(figure.axes) == list(axes)
    assert get_curves(axes)[1] == list(longer[1:])
    assert get_curves(axes, 1)[1] == list(FIT[1:])
    for panel, values in zip(axes, longer[1:], strict=True):
        assert get_legend(panel) == ["first", "second"]
        first, second = panel.get_lines()
        assert first.get_color() != second.get_color()
        assert panel.get_xlim()[1] >= 3
        assert panel.get_ylim()[1] >= max(values)


def test_fits_without_a_name_are_laid_over_each_other():
    figure, _ = plot_fit(FIT)
    _, axes = plot_fit(FIT, fig=figure)
    assert [len(panel.get_lines()) for panel in axes] == [2] * 4


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_ticks_are_whole_epochs(epochs):
    curve = [1.0] * epochs
    _, axes = plot_fit(FitResult(epochs, curve, curve, curve, curve))
    for panel in axes:
        ticks = panel.get_xticks()
        np.testing.assert_array_equal(ticks, np.round(ticks))
        assert panel.get_lines()[0].get_marker() == ("o" if epochs == 1 else "None")


def test_titles_say_validation_where_it_is_validation():
    figure, axes = plot_fit(ValidatedFit(*FIT))
    assert get_titles(axes) == name_panels("Validation")
    for fit in (FIT, ValidatedFit(*FIT)):
        plot_fit(fit, fig=figure)
        assert get_titles(axes) == name_panels("Validation or test")


@pytest.mark.parametrize("num_epochs", [2, 9])  # it may be wrong in files of others
def test_losses_of_batches_are_at_their_share_of_the_epoch(num_epochs):
    fit = FitResult(num_epochs, [4.0, None, 2.0, 1.0], [10.0, 20.0], [None, 3.0], [10.0, 20.0])
    places, values = get_curves(plot_fit(fit)[1])
    assert places == [[0.5, 1.0, 1.5, 2.0], [1, 2], [1, 2], [1, 2]]
    np.testing.assert_array_equal(values[0], [4.0, math.nan, 2.0, 1.0])


def test_a_figure_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="fig: has 1 axes"):
        plot_fit(FIT, fig=plt.subplots()[0])


def write_files(folder, make_result, make_evaluation):
    """The one file of the course with other accuracies, and the files of runs of the study."""
    result = make_result(epochs=Epochs.of(FIT))
    evaluation = make_evaluation(result)
    for name in ("L2_K32/seed0", "L2_K32/seed10", "L2_K32/seed2", "L2_K64/seed0"):
        path = folder / f"exp1_1_{name}.json"
        files.write_result(path, result)
        files.write_evaluation(path.with_suffix(".test.json"), evaluation)
    result = make_result(epochs=Epochs.of(FIT._replace(test_acc=[1.0, 2.0])))
    files.write_single_file(folder / "exp1_1_L16_K32.json", result, evaluation)


ANYWHERE = ("exp1_1_L*_K32", "exp1_1_L*_K32.json", "*_K32*", Path("exp1_1_L*_K32*.json"))


def test_results_of_both_kinds_are_found_in_natural_order(tmp_path, make_result, make_evaluation):
    write_files(tmp_path, make_result, make_evaluation)
    cases = [(pattern, tmp_path) for pattern in ANYWHERE]
    cases += [(kind(tmp_path / ANYWHERE[1]), "elsewhere") for kind in (Path, str)]
    for pattern, folder in cases:
        _, axes = plot_exp_results(pattern, results_dir=folder)
        assert get_titles(axes) == name_panels("Validation")
        assert get_legend(axes[0]) == [
            "exp1_1_L2_K32, seed0",
            "exp1_1_L2_K32, seed2",
            "exp1_1_L2_K32, seed10",
            "exp1_1_L16_K32",
        ]
        assert get_curves(axes, 3)[1][3] == [1.0, 2.0]
    for pattern in ("exp1_1_*/*", "exp1_1_L2_K*/seed*", "exp1_1_L2_K*/seed*.json"):
        _, axes = plot_exp_results(pattern, results_dir=tmp_path)
        assert len(get_legend(axes[0])) == 4  # the evaluations match as well, and are left out
    (tmp_path / "exp1_1_L2_K64/seed0.json").unlink()  # its evaluation alone is no result
    for pattern in ("exp1_1_L2_K64", "exp1_1_L2_K64/*", "exp1_1_L2_K64/seed0.test.json", "exp9"):
        with pytest.raises(FileNotFoundError, match=re.escape(f"'{pattern}'")):
            plot_exp_results(pattern, results_dir=tmp_path)


def test_files_of_the_course_are_drawn(tmp_path):
    document = {"config": {"lr": 0.1, "filters_per_layer": [32]}, "results": FIT._asdict()}
    (tmp_path / "exp1_1_L2_K32.json").write_text(json.dumps(document))
    _, axes = plot_exp_results("exp1_1_L*_K32*.json", tmp_path)
    assert get_titles(axes) == name_panels("Test")
    assert get_curves(axes)[1] == list(FIT[1:])
    assert get_legend(axes[0]) == ["exp1_1_L2_K32"]


def test_files_of_the_same_name_are_labelled_with_their_folders(
    tmp_path, make_result, make_evaluation
):
    for folder in ("a/of", "b/of"):
        write_files(tmp_path / folder, make_result, make_evaluation)
    _, axes = plot_exp_results("*/of/exp1_1_L16_K32", tmp_path)
    assert get_legend(axes[0]) == ["a/of/exp1_1_L16_K32", "b/of/exp1_1_L16_K32"]
    _, axes = plot_exp_results("*/of/exp1_1_L2_K64", tmp_path)
    assert get_legend(axes[0]) == ["a/of/exp1_1_L2_K64, seed0", "b/of/exp1_1_L2_K64, seed0"]
    _, axes = plot_exp_results("a/of/*K64", tmp_path)
    assert get_legend(axes[0]) == ["exp1_1_L2_K64, seed0"]


def test_plotting_imports_no_torch():
    code = "import hw2core.plot, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
