import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from result_documents import (
    build_ablation,
    build_experiment,
    build_layers,
    build_rates,
    build_result,
    build_study,
    rename,
    tabulate,
)

from hw2core.analysis import figures
from hw2core.analysis.figures import cost, curves, dots, draw, key, layers, settings, style
from hw2core.analysis.figures.drawing import save_figure, set_hover
from hw2core.analysis.figures.labels import Label, place_labels, spread_labels
from hw2core.analysis.tables import select, summarize
from hw2core.runs.paths import FIGURE_KINDS, STUDY_FIGURES, figure_paths, study_figure_paths


@pytest.fixture(scope="module")
def study():
    return tabulate(build_study(seeds=(0, 1, 2), epochs=3))


RATES = ("architecture.batchnorm", "training.lr")


@pytest.fixture(scope="module")
def rates():
    """An experiment whose grid varies a rate, with and without batch norm."""
    return tabulate(build_rates(seeds=(0, 1)), settings=RATES)


@pytest.fixture(scope="module")
def forty():
    """An experiment of forty runs: eight depths at five widths, the deepest narrow ones fail."""
    return tabulate(
        [
            build_result(
                f"exp3_L{depth}_K{width}",
                experiment="exp3",
                depth=depth,
                widths=(width,),
                ceiling=50 + 3 * depth**0.5 + width / 16,
                status="at_chance" if depth > 8 and width < 64 else "trained",
                epochs=4,
            )
            for depth in (1, 2, 3, 4, 6, 8, 12, 16)
            for width in (16, 32, 64, 128, 256)
        ]
    )


def find(figure, text):
    """Return the lines whose hover text begins so."""
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    return [x for x in lines if (x.get_gid() or "").startswith(f"hover: {text}")]


def assert_apart(figure):
    """Check that no two texts in the axes of a figure overlap, empty ones left out."""
    FigureCanvasAgg(figure).draw()
    texts = [text for axes in figure.axes for text in axes.texts if text.get_text()]
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]
    assert boxes
    for (first, box), (second, other) in combinations(boxes, 2):
        assert not box.overlaps(other), f"{first!r} and {second!r} overlap"
        assert box.x0 >= 0, first


def test_every_figure_is_registered_and_written(study, rates, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(figures.FIGURES) == {*FIGURE_KINDS, *STUDY_FIGURES}
    written = figures.draw_study(study)
    assert written == study_figure_paths()
    for each in (study, rates):
        experiment = each.experiments[-1]
        written += figures.draw_experiment(each, experiment)
        assert written[-2:] == figure_paths(experiment.name, experiment.settings)[-2:]
    assert "figures/exp3_settings.svg" in written
    for path in written:
        assert (tmp_path / path).stat().st_size > 0


@pytest.mark.parametrize("kind", sorted(figures.FIGURES))
def test_without_results_a_figure_says_so(kind, tmp_path):
    empty = tabulate([], missing={"exp1_1": ["exp1_1_L2_K32"]})
    names = ["exp1_1"] if kind in FIGURE_KINDS else []
    caption, alt = figures.describe(kind, empty, *names)
    assert alt == ""
    figure = draw(kind, empty, *names)
    assert [text.get_text() for text in figure.texts] == [caption]
    save_figure(figure, [tmp_path / "x.svg"])


@pytest.mark.parametrize("kind", sorted(figures.FIGURES))
def test_the_same_results_give_the_same_bytes_and_known_colours(kind, study, rates, tmp_path):
    names = {"curves": ["exp1_5"], "settings": ["exp3"]}.get(kind, [])
    study = rates if kind == "settings" else study
    files = [tmp_path / name for name in ("1.svg", "2.svg", "1.png", "2.png")]
    for pair in (files[::2], files[1::2]):
        save_figure(draw(kind, study, *names), pair)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[2].read_bytes() == files[3].read_bytes()
    svg = files[0].read_text()
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {*style.DARK, "#000000"}
    assert "<text" in svg  # text stays text
    assert figures.describe(kind, study, *names)[1]


def test_hover_titles_are_text_and_cannot_break_out(tmp_path):
    study = tabulate([build_result("exp1_1_L2_K32")])
    figure = draw("curves", study, "exp1_1")
    (line,) = find(figure, "exp1_1_L2_K32")[:1]
    set_hover(line, 'a "b" <script>&')
    save_figure(figure, [tmp_path / "x.svg"])
    svg = (tmp_path / "x.svg").read_text()
    assert "<title>a 'b' &lt;script&gt;&amp;</title>" in svg
    assert "<script" not in svg
    assert "hover: " not in svg


def test_curves_hold_the_numbers_of_the_epochs():
    study = tabulate(build_experiment("exp1_3", epochs=5))
    figure = draw("curves", study, "exp1_3")
    own = select(study.epochs, run="exp1_3_L1_K64-128-256")
    for line, column in zip(find(figure, "exp1_3_L1_"), curves.PANELS, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), own["epoch"])
        np.testing.assert_allclose(line.get_ydata(), own[column])


def test_curves_are_means_of_the_seeds_that_trained(study):
    figure = draw("curves", study, "exp1_1")
    drawn = find(figure, "exp1_1_L8_K32")
    assert len(drawn) == 8  # seed 1 failed: apart, in each of the four panels
    epochs = study.epochs[study.epochs["run"] == "exp1_1_L8_K32"]
    for seeds, line in (([0, 2], drawn[-2]), ([1], drawn[-1])):
        rows = epochs[epochs["seed"].isin(seeds)]
        mean = rows.groupby("epoch")["validation_accuracy"].mean()
        np.testing.assert_allclose(line.get_ydata(), mean)
    assert "seeds that did not train" in drawn[-1].get_gid()


def test_a_loss_that_explodes_or_ends_does_not_flatten_the_others():
    results = build_experiment("exp1_3", epochs=4)
    diverged = build_result(
        "exp1_3_L5_K64-128-256",
        experiment="exp1_3",
        widths=(64, 128, 256),
        depth=5,
        epochs=4,
        status="diverged",
    )
    figure = draw("curves", tabulate([*results, diverged]), "exp1_3")
    assert figure.axes[0].get_ylim()[1] < 3
    assert len(find(figure, "exp1_3_L5_")[0].get_xdata()) == 3  # the last loss is not finite
    assert len(find(figure, "exp1_3_L5_")) == 4


def test_names_of_curves_leave_out_what_all_runs_share(study, forty):
    def name(experiment, of=study):
        looks = curves.add_looks(select(of.summary, experiment=experiment).reset_index(drop=True))
        return dict(looks["name"])

    assert name("exp1_1")["exp1_1_L16_K64"] == "L = 16, K = 64"
    assert name("exp1_3")["exp1_3_L2_K64-128-256"] == "L = 2"
    assert name("exp1_5")["exp1_5_he_L8_K32"] == "he, L = 8, K = 32"
    assert name("part2_dropout")["part2_dropout_0.4"] == "dropout_0.4"
    assert name("part2_overfit")["part2_overfit"] == "part2_overfit"
    looks = curves.add_looks(forty.summary)
    assert looks["named"].sum() == curves.FEW
    assert (looks.loc[~looks["named"], "colour"] == style.FAINT).all()


@pytest.mark.parametrize("kind", ["curves", "key", "dots", "cost"])
def test_labels_never_overlap(kind, study, forty):
    cases = [(study, "exp1_5"), (study, "exp1_2"), (forty, "exp3")]
    for of, experiment in cases if kind == "curves" else [(study, None), (forty, None)]:
        assert_apart(draw(kind, of, *filter(None, [experiment])))


def test_spread_and_placed_labels_are_apart_even_at_one_point():
    figure = draw("cost", tabulate(build_experiment("exp1_4")))
    axes = figure.axes[0]
    for text in axes.texts[:]:
        text.remove()
    x, y = axes.get_lines()[-1].get_xydata()[0]
    labels = [Label(x, y, f"label {number}", style.INK) for number in range(6)]
    assert 0 < len(place_labels(axes, labels)) <= 6
    assert_apart(figure)
    for text in axes.texts[:]:
        text.remove()
    with style.use_style():
        assert len(spread_labels(axes, labels)) == 6
    assert_apart(figure)


def test_the_key_shows_each_network_once_at_its_accuracy(study):
    figure = draw("key", study)
    networks = key.select_networks(study)
    assert not networks["experiment"].isin(["exp1_5", "exp2_ablation"]).any()
    for status in (True, False):
        rows = networks[(networks["status"] == "trained") == status]
        for run, accuracy in rows.groupby("run")["test_accuracy"].mean().items():
            dots = [x for x in find(figure, f"{run}:") if x.get_markersize() > 2]
            assert any(np.isclose(dot.get_ydata()[0], accuracy) for dot in dots)
    (hollow,) = find(figure, "exp1_1_L16_K32:")
    assert hollow.get_markerfacecolor() == style.PAPER


def test_a_variant_counts_for_a_family_that_has_nothing_else():
    bn = build_result("exp1_5_bn_L8_K32", experiment="exp1_5", network={"batchnorm": True})
    runs = key.select_networks(tabulate([*build_experiment("exp1_1"), bn]))
    assert list(select(runs, family="batch norm")["run"]) == ["exp1_5_bn_L8_K32"]


def test_the_key_leaves_out_another_budget_and_shared_runs():
    results = build_experiment("exp1_1", epochs=3)
    longer = build_result("exp9_L2_K32", experiment="exp9", epochs=9)
    twin = rename(results[0], "exp1_2_L2_K32", "exp1_2")
    runs = key.select_networks(tabulate([*results, longer, twin]))["run"]
    assert sorted(runs) == sorted(result.name for result in results)


def test_the_title_of_the_key_follows_the_results():
    def say(*results):
        return key.describe_finding(key.select_networks(tabulate(results)))

    plain = [
        build_result(f"exp1_1_L{depth}_K32", depth=depth, test_accuracy=60.0 + depth, status=status)
        for depth, status in ((2, "trained"), (4, "trained"), (8, "at_chance"))
    ]
    assert say(*plain) == "Plain networks train up to 4 convolutions (best: 64.0 %)"
    assert say(plain[2]) == "No plain network trains"
    deep = build_result("exp1_4_L8_K32", experiment="exp1_4", model="resnet", depth=8)
    assert "and residual up to 8" in say(*plain, deep)


def test_bands_hold_the_public_solutions_of_the_same_images(study):
    bands = key.select_baselines(study)
    own = study.baselines[study.baselines["run"].isin(["exp1_3_L2_K64-128-256"])].iloc[0]
    row = bands[(bands["family"] == "plain") & (bands["num_conv"] == 6)].iloc[0]
    assert (row["median"], row["highest"]) == (own["median"], own["highest"])
    eight = study.baselines[study.baselines["run"].str.match(r"exp1_[12]_L8_")]
    row = bands[(bands["family"] == "plain") & (bands["num_conv"] == 8)].iloc[0]
    assert row["highest"] == eight["highest"].max()
    made = build_result("exp1_1_L2_K32")
    made.config["data"]["name"] = "generated"
    assert key.select_baselines(tabulate([made])).empty
    assert dots.compare_with_baselines(tabulate([made]))["highest"].isna().all()


def test_dots_name_every_run_with_its_value(study):
    figure = draw("dots", study)
    (axes,) = figure.axes
    summary = dots.compare_with_baselines(study)
    assert [x.get_text() for x in axes.get_yticklabels()] == list(summary["run"])
    assert not summary["experiment"].eq("exp2_ablation").any()
    for place, row in zip(axes.get_yticks(), summary.itertuples(), strict=True):
        (dot,) = find(figure, f"{row.run}:")
        assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (row.test, place)
        assert (dot.get_markerfacecolor() == style.PAPER) == (row.trained == 0)


def test_cost_shows_what_trained_and_names_the_front():
    results = [
        build_result(f"exp1_1_L{depth}_K32", depth=depth, parameters=size, test_accuracy=accuracy)
        for depth, size, accuracy in ((2, 100, 60.0), (4, 200, 55.0), (8, 300, 70.0))
    ]
    failed = build_result("exp1_1_L16_K32", depth=16, status="at_chance")
    study = tabulate([*results, failed])
    figure = draw("cost", study)
    front = cost.find_front(summarize(cost.select_trained(study)), "parameters")
    assert list(front["run"]) == ["exp1_1_L2_K32", "exp1_1_L8_K32"]
    assert sorted(text.get_text() for text in figure.axes[0].texts) == list(front["run"])
    (dot,) = [x for x in find(figure, "exp1_1_L4_K32") if x in figure.axes[0].get_lines()]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (200, 55)
    assert find(figure, "exp1_1_L16") == []


def test_layers_hold_the_recorded_numbers(study):
    figure = draw("layers", study)
    own = select(study.layers, run="exp1_1_L4_K32", seed=0)
    own = own[own["layer"].str.startswith("conv")]
    drawn = find(figure, "exp1_1_L4_K32")
    for line, (quantity, epoch) in zip(
        drawn, [(x, y) for x in layers.PANELS for y in (0, own["epoch"].max())], strict=True
    ):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_allclose(line.get_ydata(), select(own, epoch=epoch)[quantity])


def test_layers_name_each_line_whatever_was_not_recorded():
    """The last activations of one network, or everything of all, are not finite."""
    results = build_experiment("exp1_1")
    lost = build_layers(2)
    lost = lost.model_copy(update={"activation_std": [*lost.activation_std[:-1], [None] * 4]})
    results[0] = results[0].model_copy(update={"layers": lost})
    figure = draw("layers", tabulate(results))
    (legend,) = figure.legends
    named = dict(zip((x.get_text() for x in legend.texts), legend.get_lines(), strict=True))
    assert list(named)[:2] == ["exp1_1_L2_K32", "exp1_1_L4_K32"]
    assert list(named)[-1] == layers.DASHED
    for name in ("exp1_1_L2_K32", "exp1_1_L4_K32"):
        assert named[name].get_color() == find(figure, name)[0].get_color()

    nothing = {key: [[None] * 4] * 3 for key in layers.PANELS}
    results = [
        x.model_copy(update={"layers": build_layers(2).model_copy(update=nothing)}) for x in results
    ]
    (legend,) = draw("layers", tabulate(results)).legends
    assert legend.texts == []


def test_layers_compare_the_deepest_plain_network_with_its_equals():
    def build(label="", model="cnn", factor=1.0, experiment="exp1_5"):
        name = "_".join(filter(None, [experiment, label, "L16_K32"]))
        result = build_result(name, experiment=experiment, model=model, depth=16)
        recorded = result.layers
        changed = [[factor * x for x in values] for values in recorded.gradient_norm]
        return result.model_copy(
            update={"layers": recorded.model_copy(update={"gradient_norm": changed})}
        )

    others = [build("he", factor=2), build("warmup"), build("residual", "resnet", 3)]
    study = tabulate([*build_experiment("exp1_1"), *others])
    assert list(layers.select_networks(study).index) == [
        "exp1_1_L2_K32",
        "exp1_1_L4_K32",
        "exp1_1_L8_K32",
        "exp1_1_L16_K32",
        "exp1_5_he_L16_K32",
        "exp1_5_residual_L16_K32",
    ]


def test_the_ablation_is_sorted_and_paired_by_seed():
    study = tabulate(build_ablation(seeds=(0, 1)))
    parts = dots.compare_parts(study)
    assert parts["difference"].is_monotonic_increasing
    accuracy = study.runs.set_index(["label", "seed"])["test_accuracy"]
    pairs = [accuracy["no_cutout", seed] - accuracy["full", seed] for seed in (0, 1)]
    row = parts.set_index("label").loc["no_cutout"]
    assert row["difference"] == pytest.approx(np.mean(pairs))
    assert (row["low"], row["high"]) == pytest.approx((min(pairs), max(pairs)))
    figure = draw("ablation", study)
    assert [x.get_text() for x in figure.axes[0].get_yticklabels()] == list(parts["label"])


def test_a_part_without_which_nothing_trains_does_not_set_the_scale():
    kept = ("full_L3_K32-64-128", "cutout_L3_K32-64-128")
    full, other = (result for result in build_ablation() if result.name.endswith(kept))
    stuck = build_result(
        "exp2_ablation_stuck_L3_K32-64-128",
        experiment="exp2_ablation",
        model="ycn",
        widths=(32, 64, 128),
        depth=3,
        status="at_chance",
    )
    figure = draw("ablation", tabulate([full, other, stuck]))
    assert figure.axes[0].get_xlim()[0] > -20
    (dot,) = find(figure, "exp2_ablation_stuck")
    assert dot.get_markerfacecolor() == style.PAPER


def test_confusion_is_in_percent_of_the_true_class(study):
    figure = draw("confusion", study)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("90.0") == texts.count("10.0") == 10
    assert [x.get_text() for x in figure.axes[0].get_xticklabels()] == list("0123456789")


def test_mistakes_are_shown_with_their_names_or_left_out(study, tiny_manifest):
    figure = draw("mistakes", study, manifest=tiny_manifest)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[0] == "b\nis a"
    assert len(texts) == 15
    assert draw("mistakes", study).axes == []


def test_colours_of_depth_get_lighter_and_text_is_readable():
    lightness = [max(to_rgb(style.colour_depth(depth))) for depth in (1, 2, 4, 8, 16, 32)]
    assert lightness == sorted(lightness)
    assert len({style.colour_depth(depth) for depth in (1, 2, 3, 4, 6, 9, 12, 16, 32)}) == 9
    for colour in style.DARK:
        assert style.darken(colour) == style.darken(style.darken(colour))


def test_a_grid_over_rates_is_drawn_against_the_rate(rates):
    caption, _ = figures.describe("settings", rates, "exp3")
    assert caption.startswith(
        "Validation accuracy of exp3 against training.lr. 0.01 is best "
        "(exp3_bn-true_lr0.01_L4_K32, "
    )
    assert "Hollow: at chance." in caption
    (axes,) = draw("settings", rates, "exp3").axes
    assert axes.get_xlabel() == "training.lr (log scale)"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.01", "0.1", "1"]
    points = settings.list_points(rates, "exp3", settings.find_setting(rates, "exp3"))
    assert set(points["line"]) == {"bn-false", "bn-true"}
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    best = select(summarize(rates.runs), run="exp3_bn-true_lr0.01_L4_K32")["validation"].item()
    assert max(y for line in lines for y in line.get_ydata()) == pytest.approx(best)
    (failed,) = find(axes.figure, "exp3_bn-true_lr1_L4_K32")
    assert failed.get_markerfacecolor() == style.PAPER


@pytest.mark.parametrize("values", [[True, False], ["relu", "lrelu"], [[64], [128, 64], []]])
def test_settings_without_numbers_are_drawn_in_the_order_of_the_runs(values):
    results = [
        build_result(f"exp3_{i}_L2_K32", experiment="exp3", network={"part": value}, epochs=2)
        for i, value in enumerate(values)
    ]
    study = tabulate(results, settings=["architecture.part", "architecture.pools"])
    (axes,) = draw("settings", study, "exp3").axes
    shown = {"True": "true", "False": "false", "[64]": "64", "[128, 64]": "128-64", "[]": "none"}
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == [shown.get(str(value), value) for value in values]
    assert axes.get_xlabel() == "architecture.part"


def build_mixers():
    """Two networks without L and K, one run at chance, next to plain ones."""
    options = {"experiment": "exp4", "model": "convmixer", "widths": None, "epochs": 3}
    return [
        build_result(
            f"exp4_{size}", ceiling=ceiling, parameters=10**6, network={"dim": 8}, **options
        )
        for size, ceiling in (("small", 75), ("large", 82))
    ]


def test_networks_without_l_and_k_are_shown_by_their_cost_and_named_elsewhere():
    study = tabulate([*build_experiment("exp1_1", epochs=3), *build_mixers()])
    assert find(draw("cost", study), "exp4_large: ")
    assert len(find(draw("dots", study), "exp4_")) == 2
    assert figures.describe("confusion", study)[1].startswith("Confusion matrix of exp4_large")
    for kind in ("key", "layers"):
        caption, _ = figures.describe(kind, study)
        assert "Not shown, without L and K: exp4_large and exp4_small." in caption
        draw(kind, study)
    assert len(find(draw("curves", study, "exp4"), "exp4_")) == 8


def test_a_study_of_networks_without_l_and_k_is_drawn(tmp_path):
    study = tabulate(build_mixers())
    missing = figures.describe("key", study)
    assert missing == (
        "No network of L and K has a test accuracy yet. "
        "Not shown, without L and K: exp4_large and exp4_small.",
        "",
    )
    for kind in (*STUDY_FIGURES, "curves"):
        save_figure(draw(kind, study, *["exp4"] * (kind == "curves")), [tmp_path / "x.svg"])
    assert figures.describe("cost", study)[1].startswith("Accuracy against cost of the 2 networks")


def test_networks_with_and_without_l_and_k_share_an_experiment():
    own, other = build_mixers()[0], build_result("exp4_L2_K32", experiment="exp4", epochs=3)
    figure = draw("curves", tabulate([own, other]), "exp4")
    assert len(find(figure, "exp4_")) == 8
