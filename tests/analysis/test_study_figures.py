import numpy as np
import pytest
from result_documents import build_experiment, build_result, build_study, rename

from hw2core.analysis.cost import plot_cost, plot_gap
from hw2core.analysis.figures import PLOTS, draw_study
from hw2core.analysis.gradient_flow import plot_gradient_flow
from hw2core.analysis.layers_table import layers_table
from hw2core.analysis.mistakes import plot_confusion, plot_mistakes
from hw2core.analysis.public_record import COLUMNS, read_public_record
from hw2core.analysis.record_figure import plot_public_record
from hw2core.analysis.remedies import plot_remedies
from hw2core.analysis.study_tables import Pictures, build_tables
from hw2core.analysis.trainability import plot_trainability
from hw2core.config.study import CHECKOUT
from hw2core.runs.paths import PUBLIC_RECORD, STUDY_FIGURES, study_figure_paths

RECORD = read_public_record(CHECKOUT / PUBLIC_RECORD)
CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def tables():
    generator = np.random.default_rng(0)
    pictures = Pictures(generator.integers(0, 255, (30, 32, 32, 3), dtype=np.uint8), CLASSES)
    return build_tables(build_study(seeds=(0, 1, 2), epochs=3), RECORD, pictures)


def find_lines(figure, gid):
    return [line for axes in figure.axes for line in axes.get_lines() if line.get_gid() == gid]


def list_texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_named_figure_has_a_function_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(PLOTS) == set(STUDY_FIGURES)
    written = draw_study(build_experiment("exp1_1", epochs=2))
    assert written == study_figure_paths()
    assert all((tmp_path / path).stat().st_size > 0 for path in written)


@pytest.mark.parametrize("kind", STUDY_FIGURES)
def test_a_figure_without_results_says_so(kind):
    figure = PLOTS[kind](build_tables([], RECORD))
    assert figure.axes == []
    assert figure.get_suptitle()


def test_gradient_flow_holds_the_recorded_numbers(tables):
    figure = plot_gradient_flow(tables)
    assert len(figure.axes) == 8
    line = find_lines(figure, "exp1_1_L2_K32")[0]
    own = next(x.layers for x in tables.results if x.name == "exp1_1_L2_K32")
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(line.get_ydata(), own.gradient_norm[0])
    dead = [x for x in figure.axes[3].get_lines() if x.get_gid() == "exp1_1_L2_K32"]
    np.testing.assert_allclose(dead[0].get_ydata(), [20.0, 20.0, 20.0])


def test_a_layers_table_has_a_row_a_layer_and_moment():
    layers = {
        "names": ["conv1", "fc1"],
        "epochs": [0, 3],
        "gradient_norm": [[1.0, 2.0], [3.0, 4.0]],
        "activation_std": [[0.5, 0.6], [0.7, 0.8]],
        "dead_fraction": [[0.1, None], [0.2, None]],
    }
    table = layers_table(
        [build_result("exp1_1_L2_K32", layers=layers), build_result("x", layers=None)]
    )
    assert len(table) == 4
    last = table.iloc[3]
    assert (last["epoch"], last["layer"], last["place"], last["gradient_norm"]) == (3, "fc1", 2, 4)
    assert np.isnan(last["dead_fraction"])


def test_trainability_counts_a_training_under_two_names_once():
    results = build_experiment("exp1_1", seeds=(0, 1), epochs=2)
    twins = [rename(x, "exp1_2_L8_K32", "exp1_2") for x in results if "L8_K32" in x.name]
    figure = plot_trainability(build_tables([*results, *twins], RECORD))
    line = find_lines(figure, "plain")[0]
    shares = np.asarray(line.get_ydata(), dtype=float)
    np.testing.assert_allclose(shares, [100, 100, 50, 0])  # L = 2, 4, 8, 16


def test_labelled_runs_do_not_enter_the_share_that_trains(tables):
    only = [x for x in tables.results if x.experiment == "exp1_5"]
    assert plot_trainability(build_tables(only, RECORD)).axes == []


def test_cost_and_gap_show_every_run_that_trained(tables):
    nets = tables.summary.dropna(subset="depth")
    trained = set(nets.loc[nets["status"] == "trained", "run"])
    for figure, panels in ((plot_cost(tables), 2), (plot_gap(tables), 1)):
        drawn = [x.get_gid() for axes in figure.axes for x in axes.get_lines() if x.get_gid()]
        assert sorted(set(drawn) & trained) == sorted(trained)
        assert len([gid for gid in drawn if gid in trained]) == panels * len(trained)
        labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert f"{nets['run'].nunique() - len(trained)} runs did not train" in labels


def test_the_front_joins_runs_that_no_cheaper_one_equals():
    results = [
        build_result(f"exp1_1_L{depth}_K32", depth=depth, parameters=size, test_accuracy=accuracy)
        for depth, size, accuracy in ((2, 100, 60.0), (4, 200, 55.0), (8, 300, 70.0))
    ]
    figure = plot_cost(build_tables(results, RECORD))
    named = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(named) == ["exp1_1_L2", "exp1_1_L8"]


def test_confusion_is_in_percent_of_the_true_class(tables):
    figure = plot_confusion(tables)
    texts = list_texts(figure)
    assert texts.count("90.0") == 10
    assert texts.count("10.0") == 10
    assert [x.get_text() for x in figure.axes[0].get_xticklabels()] == list(CLASSES)
    assert "One seed per run." in figure.get_suptitle()


def test_the_best_net_by_validation_is_the_one_that_is_shown(tables):
    def name_best(*better):
        return plot_confusion(build_tables([*tables.results, *better], RECORD)).get_suptitle()

    best = build_result("exp1_1_best", best_validation=99.0)
    assert "exp1_1_best, seed 0" in name_best(best)
    for unfit in (
        build_result("exp1_1_unfit", best_validation=99.9, test=None),
        build_result("exp1_1_unfit", best_validation=99.9, status="at_chance"),
        build_result("part2_unfit", best_validation=99.9, widths=None),
    ):
        assert "exp1_1_best, seed 0" in name_best(best, unfit)


def test_without_an_evaluation_there_is_no_confusion_and_no_mistake(tables):
    only = build_tables([build_result("exp1_1_L2_K32", test=None)], RECORD, tables.pictures)
    for plot in (plot_confusion, plot_mistakes):
        assert "no network is evaluated yet" in plot(only).get_suptitle()


def test_worst_mistakes_are_shown_with_their_names_or_left_out(tables):
    texts = list_texts(plot_mistakes(tables))
    assert len(texts) == 25
    assert texts[0] == "plane,\ntaken for\ncar\n(99.0 %)"
    without = plot_mistakes(tables._replace(pictures=None))
    assert "not on this machine" in without.get_suptitle()
    assert [
        x.get_text()
        for x in plot_confusion(tables._replace(pictures=None)).axes[0].get_xticklabels()
    ] == list("0123456789")


def test_ours_stands_beside_the_public_median(tables):
    figure = plot_public_record(tables)
    (axes,) = figure.axes
    assert [x.get_text() for x in axes.get_yticklabels()] == list(RECORD["run"])
    (dot,) = find_lines(figure, "exp1_1_L2_K32")
    own = tables.summary[tables.summary["run"] == "exp1_1_L2_K32"]["test_accuracy"]
    assert dot.get_xdata()[0] == pytest.approx(own.mean())


def test_every_seed_is_shown_and_one_that_did_not_train_is_hollow(tables):
    figure = plot_public_record(tables)
    for seed, face in ((0, "#0072b2"), (1, "white")):
        (dot,) = find_lines(figure, f"exp1_1_L8_K32/seed{seed}")
        assert dot.get_markerfacecolor() == face
    for experiment in ("exp1_1: plain", "exp1_4: residual", "exp2: custom"):
        assert experiment in list_texts(figure)


def test_remedies_show_every_seed_beside_the_untreated_net(tables):
    figure = plot_remedies(tables)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "L = 8, K = 32",
        "L = 8, K = 64",
        "L = 16, K = 32",
        "L = 16, K = 64",
    ]
    ticks = [x.get_text() for x in figure.axes[0].get_xticklabels()]
    assert ticks[0] == "none"
    assert set(ticks) == {"none", "he", "bn", "residual", "warmup"}
    (seed,) = find_lines(figure, "exp1_5_warmup_L16_K32/seed0")
    assert seed.get_markerfacecolor() == "white"
    (seed,) = find_lines(figure, "exp1_5_he_L16_K32/seed0")
    assert seed.get_markerfacecolor() != "white"
    assert len(find_lines(figure, "exp1_1_L8_K64/seed1")) == 1


def test_the_public_record_is_whole_and_a_wrong_one_refused(tmp_path):
    assert len(RECORD) == 34
    assert RECORD["at_chance_share"].between(0, 1).all()
    assert (RECORD["lowest"] <= RECORD["median"]).all()
    assert (RECORD["median"] <= RECORD["highest"]).all()
    (tmp_path / "x.csv").write_text("run,median\na,1\n")
    with pytest.raises(ValueError, match=rf"x\.csv: columns .*must be \['{COLUMNS[0]}'"):
        read_public_record(tmp_path / "x.csv")
