import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from result_documents import Experiment, build_experiment, build_result

from hw2core.analysis.accuracy import plot_accuracy
from hw2core.analysis.curves import plot_curves
from hw2core.analysis.drawing import save_figure
from hw2core.analysis.looks import DEPTH_PLACES, darken, depth_colour, width_marker
from hw2core.analysis.tables import epochs_table, summary_table


def draw_curves(name, results):
    return plot_curves(Experiment(name), summary_table(results), epochs_table(results))


def draw_accuracy(name, results):
    return plot_accuracy(Experiment(name), summary_table(results))


def list_texts(figure):
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    texts += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return texts


def find_lines(figure, gid):
    return [line for axes in figure.axes for line in axes.get_lines() if line.get_gid() == gid]


def test_curves_of_two_widths_stand_in_two_rows_and_untrained_runs_are_marked():
    results = build_experiment("exp1_1", epochs=5)
    figure = draw_curves("exp1_1", results)
    assert len(figure.axes) == 8
    assert [axes.get_title("left") for axes in figure.axes[:4]] == [
        "Training loss (nats)",
        "Validation loss (nats)",
        "Training accuracy (%)",
        "Validation accuracy (%)",
    ]
    texts = list_texts(figure)
    assert {"K = 32", "K = 64", "L = 2", "L = 16 (at chance)"} <= set(texts)
    assert any(text.startswith("chance: 10 %") for text in texts)
    assert {line.get_linestyle() for line in find_lines(figure, "exp1_1_L16_K32/seed0")} == {"--"}
    assert {line.get_linestyle() for line in find_lines(figure, "exp1_1_L2_K32/seed0")} == {"-"}
    assert figure.get_suptitle() == f"exp1_1: {Experiment('exp1_1').question}\nOne seed per run."


def test_curves_hold_the_numbers_of_the_results():
    results = build_experiment("exp1_3", epochs=5)
    figure = draw_curves("exp1_3", results)
    curves = results[0].epochs
    fields = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    for axes, field in zip(figure.axes, fields, strict=True):
        line = next(x for x in axes.get_lines() if x.get_gid() == "exp1_3_L1_K64-128-256/seed0")
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
        np.testing.assert_allclose(line.get_ydata(), getattr(curves, field))
    best = results[0].best_epoch
    dots = find_lines(figure, "best epoch")
    assert len(dots) == 4
    dot = next(dot for dot in dots if dot.get_color() == depth_colour(1))
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (best, results[0].validation_accuracy)


def test_every_seed_is_drawn_and_the_mean_leaves_out_seeds_at_chance():
    results = build_experiment("exp1_1", seeds=(0, 1, 2), epochs=4)
    figure = draw_curves("exp1_1", results)
    assert "L = 8 (1 of 3 at chance)" in list_texts(figure)
    for seed in (0, 1, 2):
        assert len(find_lines(figure, f"exp1_1_L8_K32/seed{seed}")) == 4
    own = [x.epochs.validation_accuracy for x in results if x.name == "exp1_1_L8_K32"]
    mean = (np.array(own[0]) + np.array(own[2])) / 2
    drawn = [np.asarray(line.get_ydata()) for line in figure.axes[3].get_lines()]
    assert any(y.shape == mean.shape and np.allclose(y, mean) for y in drawn)
    assert "3 seeds per run." in figure.get_suptitle()


def test_a_band_spans_the_seeds_that_trained():
    results = [build_result("exp1_1_L2_K32", seed=seed, epochs=4) for seed in range(3)]
    figure = draw_curves("exp1_1", results)
    curves = [result.epochs.validation_accuracy for result in results]
    (band,) = figure.axes[3].collections
    edges = band.get_paths()[0].vertices
    for epoch, values in enumerate(zip(*curves, strict=True), start=1):
        heights = edges[edges[:, 0] == epoch, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [min(values), max(values)])


def test_a_diverged_run_ends_in_a_cross_and_leaves_the_scale_to_the_others():
    results = build_experiment("exp1_3", epochs=5)
    results[1] = build_result(
        "exp1_3_L2_K64-128-256",
        experiment="exp1_3",
        widths=(64, 128, 256),
        status="diverged",
        epochs=5,
    )
    figure = draw_curves("exp1_3", results)
    assert "L = 2 (diverged)" in list_texts(figure)
    top = figure.axes[0].get_ylim()[1]
    assert top < 3
    (cross, *_) = find_lines(figure, "diverged")
    assert cross.get_marker() == "x"
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (4, top)


def test_labels_do_not_overlap():
    figure = draw_curves("exp1_2", build_experiment("exp1_2", epochs=4))
    figure.draw_without_rendering()
    for axes in figure.axes[3::4]:
        boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
        assert len(boxes) == 3
        assert all(low.y1 <= high.y0 + 0.5 for low, high in pairwise(boxes))


def test_a_run_that_is_missing_changes_nothing_for_the_others():
    results = build_experiment("exp1_1", epochs=3)
    figure = draw_curves("exp1_1", results[1:])
    labels = {text.get_text(): text.get_color() for text in figure.axes[3].texts}
    assert set(labels) == {"L = 4", "L = 8", "L = 16 (at chance)"}
    assert labels["L = 4"] == darken(depth_colour(4))


@pytest.mark.parametrize("draw", [draw_curves, draw_accuracy])
def test_an_experiment_without_results_says_so(draw):
    figure = draw("exp1_2", build_experiment("exp1_1", epochs=2))
    assert figure.axes == []
    assert figure.get_suptitle().endswith("No result yet.")


@pytest.mark.parametrize("draw", [draw_curves, draw_accuracy])
def test_reduced_data_and_a_single_epoch_are_drawn_and_said(draw, tmp_path):
    results = build_experiment("exp1_1", epochs=1, study_size=False)[:1]
    figure = draw("exp1_1", results)
    assert "Reduced data: 4,000 training images." in figure.get_suptitle()
    save_figure(figure, [tmp_path / "one.png"])


def test_accuracy_shows_depth_and_width_and_breaks_the_axis_above_chance():
    results = build_experiment("exp1_1", seeds=(0, 2), epochs=3)
    figure = draw_accuracy("exp1_1", results)
    by_depth, by_width, depth_below, width_below = figure.axes
    assert by_depth.get_title("left") == "Test accuracy against depth"
    assert by_width.get_title("left") == "Test accuracy against width"
    assert [x.get_text() for x in depth_below.get_xticklabels()] == ["2", "4", "8", "16"]
    assert [x.get_text() for x in width_below.get_xticklabels()] == ["32", "64"]
    assert by_depth.get_ylim()[0] > 50
    assert depth_below.get_ylim()[0] < 10 < depth_below.get_ylim()[1] < 30
    assert {"K = 32", "K = 64", "L = 2", "L = 16", "chance: 10 %"} <= set(list_texts(figure))

    accuracies = sorted(x.test.accuracy for x in results if x.status == "trained")
    trained = [x for x in by_depth.get_lines() if x.get_gid() == "trained"]
    assert sorted(x.get_ydata()[0] for x in trained) == accuracies
    hollow = [x for x in by_depth.get_lines() if x.get_gid() == "at_chance"]
    assert len(hollow) == 4
    assert {x.get_markerfacecolor() for x in hollow} == {"white"}
    assert {x.get_color() for x in hollow} == {depth_colour(16)}
    assert {x.get_markeredgecolor() for x in hollow} == {depth_colour(16)}


def test_lines_join_the_means_of_the_seeds_that_trained():
    results = build_experiment("exp1_1", seeds=(0, 1, 2), epochs=3)
    summary = summary_table(results)
    figure = plot_accuracy(Experiment("exp1_1"), summary)
    line = next(x for x in figure.axes[0].get_lines() if x.get_gid() == "K = 64")
    own = summary[(summary["widths"] == "64") & (summary["status"] == "trained")]
    means = own.groupby("depth")["test_accuracy"].mean()
    assert list(means.index) == [2, 4, 8]
    np.testing.assert_allclose(line.get_ydata(), means)


def test_one_varied_size_gives_one_panel_without_a_broken_axis():
    figure = draw_accuracy("exp2", build_experiment("exp2", epochs=3))
    (axes,) = figure.axes
    assert axes.get_title("left") == "Test accuracy against depth"
    assert "chance: 10 %, below the axis" in list_texts(figure)


def test_a_diverged_seed_without_accuracy_is_a_cross_at_chance():
    results = build_experiment("exp1_3", epochs=3)
    results[0] = results[0].model_copy(update={"status": "diverged", "test": None})
    figure = draw_accuracy("exp1_3", results)
    cross = find_lines(figure, "diverged")[0]
    assert cross.get_marker() == "x"
    assert cross.get_ydata()[0] == 10.0
    assert "a seed that diverged" in list_texts(figure)


@pytest.mark.parametrize(
    ("model", "widths", "names"),
    [("mlp", None, ["p0", "p04"]), ("resnet", (32,), ["bn_L2_K32", "plain_L2_K32"])],
)
def test_runs_that_do_not_differ_in_size_get_a_row_each(model, widths, names):
    results = [
        build_result(f"trial_{name}", experiment="trial", model=model, widths=widths, seed=seed)
        for name in names
        for seed in (0, 1)
    ]
    figure = draw_accuracy("trial", results)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert len(find_lines(figure, "trained")) == 4
    curves = draw_curves("trial", results)
    assert len(curves.axes) == 4
    labels = {text.get_text(): text.get_color() for text in curves.axes[3].texts}
    assert {name.partition("_")[0] for name in names} <= set(labels)
    assert len({labels[name.partition("_")[0]] for name in names}) == 2


def test_colours_and_markers_depend_on_the_value_alone():
    assert len({depth_colour(depth) for depth in DEPTH_PLACES}) == len(DEPTH_PLACES)
    assert depth_colour(64) == depth_colour(32)
    assert width_marker("32") != width_marker("64")
    assert width_marker("48-96") == width_marker("48-96")
    assert darken("#f0b400") != "#f0b400"
    assert darken("#000000") == "#000000"


def test_the_same_figure_gives_the_same_bytes_without_a_date(tmp_path):
    results = build_experiment("exp1_3", epochs=3)
    for folder in ("one", "two"):
        figure = draw_curves("exp1_3", results)
        save_figure(figure, [tmp_path / folder / "x.svg", tmp_path / folder / "x.png"])
    for name in ("x.svg", "x.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert not re.search(r"<dc:date>", (tmp_path / "one" / "x.svg").read_text())


def test_pictures_are_300_dots_an_inch_on_180_mm(tmp_path):
    figure = draw_accuracy("exp1_3", build_experiment("exp1_3", epochs=2))
    save_figure(figure, [tmp_path / "x.png"])
    header = (tmp_path / "x.png").read_bytes()[16:24]
    assert int.from_bytes(header[:4], "big") == round(7.1 * 300)


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "x.nonsense"
    path.write_text("old")
    with pytest.raises(ValueError, match="nonsense"):
        save_figure(Figure(), [path])
    assert [x.name for x in tmp_path.iterdir()] == ["x.nonsense"]
    assert path.read_text() == "old"
