import math
import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from result_documents import build_layers, build_result, build_results, tabulate

from hw2core.analysis import figures, findings
from hw2core.analysis.compared import find_best_result
from hw2core.analysis.figures import cost, curves, dots, draw, key, layers, settings, style
from hw2core.analysis.figures.drawing import save_figure, set_hover
from hw2core.analysis.figures.labels import Label, place_labels, spread_labels
from hw2core.analysis.provenance import describe_scope
from hw2core.analysis.publish import list_experiments
from hw2core.analysis.tables import select, summarize
from hw2core.data.prepared import read_manifest
from hw2core.runs.paths import FIGURE_KINDS, STUDY_FIGURES, figure_paths, study_figure_paths

OWN = {"model": "ycn", "widths": (32, 64, 128), "depth": 3, "experiment": "exp2_ablation"}


@pytest.fixture(scope="module")
def study():
    return tabulate(build_results(seeds=(0, 1, 2), epochs=3))


@pytest.fixture(scope="module")
def rates():
    """An experiment whose grid varies a rate, with and without batch norm."""
    varied = ("architecture.batchnorm", "training.lr")
    return tabulate(build_results("exp3", seeds=(0, 1), epochs=3), settings=varied)


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


def build_plain(**statuses):
    """Plain networks by depth: L2="trained"."""
    return [
        build_result(f"exp1_1_{name}_K32", depth=int(name[1:]), test_accuracy=accuracy, status=x)
        for accuracy, (name, x) in enumerate(statuses.items(), start=62)
    ]


def build_mixers(**own):
    """Two networks without L and K, with keys of their own."""
    options = {"experiment": "exp4", "model": "convmixer", "widths": None, "epochs": 3}
    return [
        build_result(f"exp4_{size}", ceiling=ceiling, network={"dim": dim, **own}, **options)
        for size, ceiling, dim in (("small", 75, 8), ("large", 82, 16))
    ]


# Keys of an own network that have the names of L and K, but not their meaning.
OWN_KEYS = [
    {},
    {"filters_per_layer": [4, 8]},
    {"filters_per_layer": 32, "layers_per_block": 2},
    {"filters_per_layer": [4, 8], "layers_per_block": [1, 2]},
    {"layers_per_block": 2},
]
RESIDUAL = build_result(
    "exp1_4_L8_K32", experiment="exp1_4", model="resnet", depth=8, test_accuracy=70.0
)
REMEDIES = [
    build_result(
        f"exp1_5_{label}_L8_K32", experiment="exp1_5", depth=8, network=change, test_accuracy=60.0
    )
    for label, change in (("he", {"initialization": "he"}), ("bn", {"batchnorm": True}))
]


def find(figure, text):
    """Return the lines whose hover text begins so."""
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    return [x for x in lines if (x.get_gid() or "").startswith(f"hover: {text}")]


def read(texts):
    return [text.get_text() for text in texts]


def is_hollow(dot):
    return dot.get_markerfacecolor() == style.PAPER


def assert_apart(figure):
    """Check that no two texts in the axes of a figure overlap, empty ones left out."""
    FigureCanvasAgg(figure).draw()
    texts = [text for axes in figure.axes for text in axes.texts if text.get_text()]
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]
    assert boxes
    for (first, box), (second, other) in combinations(boxes, 2):
        assert not box.overlaps(other), f"{first!r} and {second!r} overlap"
        assert box.x0 >= 0, first


@pytest.fixture(scope="module")
def written(study, rates, tmp_path_factory):
    """A folder with all figures of the study, of an experiment and of a grid over rates."""
    folder = tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert figures.draw_study(study) == study_figure_paths()
        for of, name in ((study, "exp1_5"), (rates, "exp3")):
            (experiment,) = (x for x in of.experiments if x.name == name)
            drawn = figures.draw_experiment(of, experiment)
            assert drawn == figure_paths(name, experiment.settings)
    return folder / "figures"


@pytest.mark.parametrize("kind", [*FIGURE_KINDS, *STUDY_FIGURES])
def test_the_same_results_give_the_same_bytes_and_known_colours(
    kind, study, rates, written, tmp_path
):
    names = {"curves": ["exp1_5"], "settings": ["exp3"]}.get(kind, [])
    study = rates if kind == "settings" else study
    again = [tmp_path / "x.svg", tmp_path / "x.png"]
    save_figure(draw(kind, study, *names), again)
    for path in again:
        first = written / f"{names[0] if names else 'study'}_{kind}{path.suffix}"
        assert path.read_bytes() == first.read_bytes()
    svg = again[0].read_text()
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {*style.DARK, "#000000"}
    assert "<text" in svg  # text stays text
    assert figures.describe(kind, study, *names)[1]


@pytest.mark.parametrize("kind", [*FIGURE_KINDS, *STUDY_FIGURES])
def test_without_results_a_figure_says_so(kind, tmp_path):
    empty = tabulate([], missing={"exp1_1": ["exp1_1_L2_K32"]})
    names = ["exp1_1"] if kind in FIGURE_KINDS else []
    caption, alt = figures.describe(kind, empty, *names)
    assert alt == ""
    figure = draw(kind, empty, *names)
    assert read(figure.texts) == [caption]
    save_figure(figure, [tmp_path / "x.svg"])


def test_hover_titles_are_text_and_cannot_break_out(tmp_path):
    figure = draw("curves", tabulate([build_result("exp1_1_L2_K32")]), "exp1_1")
    set_hover(find(figure, "exp1_1_L2_K32")[0], 'a "b" <script>&')
    save_figure(figure, [tmp_path / "x.svg"])
    svg = (tmp_path / "x.svg").read_text()
    assert "<title>a 'b' &lt;script&gt;&amp;</title>" in svg
    assert "<script" not in svg
    assert "hover: " not in svg


def test_a_line_ends_where_the_first_of_its_seeds_stops():
    """A mean over the seeds that are left would jump."""
    early = [
        build_result("exp1_1_L2_K32", seed=seed, epochs=epochs, ceiling=ceiling)
        for seed, (epochs, ceiling) in enumerate([(20, 60), (8, 80), (6, 82)])
    ]
    drawn = find(draw("curves", tabulate(early), "exp1_1"), "exp1_1_L2_K32")
    assert [list(line.get_xdata()) for line in drawn] == 4 * [[1, 2, 3, 4, 5, 6]]
    note = "A line ends where the first of its seeds stops."
    assert note in curves.describe_curves(tabulate(early), "exp1_1")[0]
    assert note not in curves.describe_curves(tabulate(early[:1]), "exp1_1")[0]


def test_curves_are_means_of_the_seeds_that_trained(study):
    drawn = find(draw("curves", study, "exp1_1"), "exp1_1_L8_K32")
    epochs = study.epochs[study.epochs["run"] == "exp1_1_L8_K32"]
    trained, failed = drawn[::2], drawn[1::2]  # seed 1 failed: a line of its own in each panel
    for seeds, lines in (([0, 2], trained), ([1], failed)):
        means = epochs[epochs["seed"].isin(seeds)].groupby("epoch")[list(curves.PANELS)].mean()
        for line, column in zip(lines, curves.PANELS, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), means.index)
            np.testing.assert_allclose(line.get_ydata(), means[column])
    assert "exp1_1_L8_K32, not trained" in failed[-1].get_gid()


def test_a_loss_that_explodes_or_ends_does_not_flatten_the_others():
    shape = {"widths": (64, 128, 256), "depth": 5, "epochs": 4, "experiment": "exp1_3"}
    diverged = build_result("exp1_3_L5_K64-128-256", status="diverged", **shape)
    figure = draw("curves", tabulate([*build_results("exp1_3", epochs=4), diverged]), "exp1_3")
    assert figure.axes[0].get_ylim()[1] < 3
    lines = find(figure, "exp1_3_L5_")
    assert len(lines) == 4
    assert len(lines[0].get_xdata()) == 3  # the last loss is not finite


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("exp1_1_L16_K64", "L = 16, K = 64"),
        ("exp1_3_L2_K64-128-256", "L = 2"),
        ("exp1_5_he_L8_K32", "he, L = 8, K = 32"),
        ("part2_dropout_0.4", "dropout_0.4"),
        ("part2_overfit", "part2_overfit"),
    ],
)
def test_names_of_curves_leave_out_what_all_runs_share(study, run, name):
    experiment = select(study.summary, run=run)["experiment"].item()
    summary = select(study.summary, experiment=experiment).reset_index(drop=True)
    assert curves.add_looks(summary)["name"][run] == name


def test_of_many_curves_the_best_are_named(forty):
    looks = curves.add_looks(forty.summary)
    best = forty.summary.nlargest(curves.FEW, "validation")["run"]
    assert set(looks.index[looks["named"]]) == set(best)
    assert (looks.loc[~looks["named"], "colour"] == style.FAINT).all()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("curves", "exp1_5"), ("curves", "exp1_2"), ("key", None), ("dots", None), ("cost", None)],
)
def test_labels_never_overlap(kind, name, study, forty):
    assert_apart(draw(kind, study, name))
    assert_apart(draw(kind, forty, name and "exp3"))


def test_spread_and_placed_labels_are_apart_even_at_one_point():
    figure = draw("cost", tabulate(build_results("exp1_4")))
    axes = figure.axes[0]
    x, y = axes.get_lines()[-1].get_xydata()[0]
    labels = [Label(x, y, f"label {number}", style.INK) for number in range(6)]
    for place, fewest in ((place_labels, 1), (spread_labels, 6)):
        for text in axes.texts[:]:
            text.remove()
        with style.use_style():
            assert fewest <= len(place(axes, labels)) <= 6
        assert_apart(figure)


def test_the_key_shows_each_network_once_at_its_accuracy(study):
    figure = draw("key", study)
    networks = key.select_networks(study)
    variants = networks[networks["experiment"].isin(["exp1_5", "exp2_ablation"])]
    assert set(variants["family"]) <= {"batch norm"}  # which no other experiment has
    for trained, rows in networks.groupby(networks["status"] == "trained"):
        for run, accuracy in rows.groupby("run")["test_accuracy"].mean().items():
            shown = [x for x in find(figure, f"{run}:") if x.get_markersize() > 2]
            (dot,) = (x for x in shown if np.isclose(x.get_ydata()[0], accuracy))
            assert is_hollow(dot) != trained


def test_the_key_leaves_out_variants_another_budget_and_shared_runs():
    plain = build_results("exp1_1", epochs=3)
    options = {"experiment": "exp1_5", "epochs": 3}
    variant = build_result("exp1_5_he_L8_K32", **options)
    alone = build_result("exp1_5_bn_L8_K32", network={"batchnorm": True}, **options)
    longer = build_result("exp9_L2_K32", experiment="exp9", epochs=9)
    names = {"name": "exp1_2_L2_K32", "experiment": "exp1_2"}
    twin = plain[0].model_copy(update={"config": plain[0].config | names})
    runs = key.select_networks(tabulate([*plain, variant, alone, longer, twin]))["run"]
    assert sorted(runs) == sorted([*(result.name for result in plain), alone.name])


@pytest.mark.parametrize(
    ("results", "finding"),
    [
        (
            build_plain(L2="trained", L4="trained", L8="at_chance"),
            "Of these networks, plain ones train up to 4 convolutions (best: 63.0 %)",
        ),
        (build_plain(L8="at_chance"), "Of these networks, no plain one trains"),
        (
            [*build_plain(L2="trained"), RESIDUAL],
            "Of these networks, plain ones train up to 2 convolutions (best: 62.0 %) and residual "
            "up to 8 (best: 70.0 %)",
        ),
        (
            [RESIDUAL, *REMEDIES],
            "Of these networks, residual ones train up to 8 convolutions (best: 70.0 %), batch "
            "norm up to 8 (best: 60.0 %) and plain variants up to 8 (best: 60.0 %)",
        ),
    ],
)
def test_the_title_of_the_key_follows_the_results(results, finding):
    assert key.describe_finding(key.select_networks(tabulate(results))) == finding


def test_bands_hold_the_public_solutions_of_the_same_images(study):
    bands = select(key.select_baselines(study), family="plain").set_index("num_conv")
    baselines = study.baselines.set_index("run")
    own = baselines.loc["exp1_3_L2_K64-128-256"]
    assert tuple(bands.loc[6, ["median", "highest"]]) == (own["median"], own["highest"])
    eight = baselines[baselines.index.str.match(r"exp1_[12]_L8_")]
    assert bands.loc[8, "highest"] == eight["highest"].max()
    made = build_result("exp1_1_L2_K32")
    made.config["data"]["name"] = "generated"
    assert key.select_baselines(tabulate([made])).empty
    assert dots.compare_with_baselines(tabulate([made]))["highest"].isna().all()


def test_dots_name_every_run_with_its_value(study):
    figure = draw("dots", study)
    (axes,) = figure.axes
    summary = dots.compare_with_baselines(study)
    assert read(axes.get_yticklabels()) == list(summary["run"])
    assert not summary["experiment"].eq("exp2_ablation").any()
    for place, row in zip(axes.get_yticks(), summary.itertuples(), strict=True):
        (dot,) = find(figure, f"{row.run}:")
        assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (row.test, place)
        assert is_hollow(dot) == (row.trained == 0)


def test_cost_shows_what_trained_and_names_the_front():
    results = [
        build_result(f"exp1_1_L{depth}_K32", depth=depth, parameters=size, test_accuracy=accuracy)
        for depth, size, accuracy in ((2, 100, 60.0), (4, 200, 55.0), (8, 300, 70.0))
    ]
    study = tabulate([*results, *build_plain(L16="at_chance")])
    figure = draw("cost", study)
    front = cost.find_front(summarize(cost.select_trained(study)), "parameters")
    assert list(front["run"]) == ["exp1_1_L2_K32", "exp1_1_L8_K32"]
    assert sorted(read(figure.axes[0].texts)) == list(front["run"])
    (dot,) = [x for x in find(figure, "exp1_1_L4_K32") if x in figure.axes[0].get_lines()]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (200, 55)
    assert find(figure, "exp1_1_L16") == []


def test_layers_hold_the_recorded_numbers(study):
    own = select(study.layers, run="exp1_1_L4_K32", seed=0)
    own = own[own["layer"].str.startswith("conv")]
    moments = [(x, y) for x in layers.PANELS for y in (0, own["epoch"].max())]
    drawn = find(draw("layers", study), "exp1_1_L4_K32")
    for line, (quantity, epoch) in zip(drawn, moments, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_allclose(line.get_ydata(), select(own, epoch=epoch)[quantity])


def test_layers_show_seeds_that_did_not_train_apart(study):
    """Seed 1 of the network of depth 8 did not train, all seeds of depth 16 did not."""
    lines = layers.select_networks(study).index
    own, failed = "exp1_1_L8_K32", "exp1_1_L8_K32, not trained"
    assert [line for line in lines if line.startswith("exp1_1_L8_") or "not trained" in line] == [
        own,
        failed,
    ]
    shown = layers.list_layers(study, layers.select_networks(study))
    assert set(select(shown, line=own)["seed"]) == {0, 2}
    assert set(select(shown, line=failed)["seed"]) == {1}
    (legend,) = draw("layers", study).legends
    drawn = dict(zip(read(legend.texts), legend.get_lines(), strict=True))
    assert drawn[own].get_color() == drawn[failed].get_color()
    assert drawn[own].get_linestyle() != drawn[failed].get_linestyle()


def test_layers_after_training_are_those_of_the_last_epoch_of_each_seed():
    short, long = (
        build_result("exp1_1_L4_K32", depth=4, seed=seed, epochs=epochs, status=status)
        for seed, epochs, status in ((0, 1, "trained"), (1, 3, "trained"))
    )
    study = tabulate([short, long])
    shown = layers.list_layers(study, layers.select_networks(study))
    assert set(select(shown, moment=layers.MOMENTS[1])["seed"]) == {0, 1}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("curves", ["Lines are means over seeds", "lines of their own: of exp1_1_L8_K32 and"]),
        ("layers", ["Lines are geometric means", "lines of their own: of exp1_1_L8_K32."]),
        ("key", ["Markers are means over seeds", "Hollow markers are of seeds that do not train."]),
        ("cost", ["Dots are means over the seeds that train"]),
        ("dots", ["Dots are means over the seeds that train"]),
        ("ablation", ["Dots are means over the seeds that train"]),
    ],
)
def test_captions_say_of_which_seeds_a_mean_is(study, kind, said):
    caption, _ = figures.describe(kind, study, "exp1_1" if kind == "curves" else None)
    assert all(words in caption for words in said)
    one = tabulate(build_results(epochs=3))
    caption, _ = figures.describe(kind, one, "exp1_1" if kind == "curves" else None)
    assert "means" not in caption


def test_a_grid_names_hollow_dots_only_if_it_has_them():
    def describe(*statuses):
        results = [
            build_result(f"exp3_lr{rate}_L2_K32", seed=seed, status=status, training={"lr": rate})
            for rate in (0.1, 1)
            for seed, status in enumerate(statuses)
        ]
        return figures.describe("settings", tabulate(results, settings=["training.lr"]), "exp1_1")

    assert "Hollow" not in describe("trained", "at_chance")[0]
    assert "Dots are means over the seeds that train" in describe("trained", "at_chance")[0]
    assert "Hollow" in describe("at_chance", "at_chance")[0]


def test_a_variant_that_is_not_shown_contradicts_no_caption():
    """It trains deeper than the networks shown, and is cheaper and better than all of them."""
    plain = build_plain(L2="trained", L4="trained", L8="at_chance")
    options = {"experiment": "exp1_5", "depth": 16, "parameters": 10, "flops_per_image": 10}
    variant = build_result("exp1_5_he_L16_K32", test_accuracy=90.0, **options)
    study = tabulate([*plain, variant])
    assert figures.describe("key", study)[0].startswith("Of these networks, plain ones train up to")
    caption, alt = figures.describe("cost", study)
    for text in (caption, alt):
        assert "2 different networks that train. None of these with fewer parameters" in text
    assert "Not shown, variants of these networks or of another budget: 1 of exp1_5." in caption


@pytest.mark.parametrize("stopping", [False, True])
def test_all_seeds_of_a_network_are_shown_and_each_network_left_out_is_counted_once(stopping):
    def build(name, seed, **options):
        training = {"epochs": 20, "early_stopping": 3} if stopping else {}
        epochs = 12 + seed + options.get("depth", 2) if stopping else 20
        twin = name.replace("exp1_2", "exp1_1")
        hashed = f"{twin}/{seed}".encode().hex()[-64:].zfill(64)
        return build_result(
            name, seed=seed, epochs=epochs, training=training, spec_hash=hashed, **options
        )

    results = [
        build(f"{experiment}_L{depth}_K32", seed, experiment=experiment, depth=depth)
        for experiment in ("exp1_1", "exp1_2")
        for depth in (2, 4)
        for seed in (0, 1, 2)
    ]
    results += [build("exp1_5_he_L8_K32", seed, experiment="exp1_5", depth=8) for seed in (0, 1, 2)]
    study = tabulate(results)
    shown = key.select_all_networks(study)
    assert shown[["run", "seed"]].drop_duplicates().shape[0] == 6
    for kind in "key", "cost":
        caption, _ = figures.describe(kind, study)
        assert "of another budget: 1 of exp1_5." in caption
        assert "unequal" not in caption
        assert "3 seeds per network" in caption


@pytest.mark.parametrize("seeds", [((0,), (0, 1, 2)), ((1, 2), (0, 1, 2)), ((0,), (1, 2))])
def test_a_network_of_two_names_is_one_whatever_the_seeds_of_each(seeds):
    names = ["exp1_1", "exp1_2"]
    results = [
        build_result(f"{name}_L{depth}_K32", experiment=name, depth=depth, seed=seed)
        for name, chosen in zip(names, seeds, strict=True)
        for seed in chosen
        for depth in (2, 4)
    ]
    # As in a study, a hash includes the seed.
    hashes = [f"{x.config['architecture']['layers_per_block']}{x.seed}" * 32 for x in results]
    results = [
        result.model_copy(update={"spec_hash": spec_hash})
        for result, spec_hash in zip(results, hashes, strict=True)
    ]
    study = tabulate(results)
    shown = key.select_all_networks(study)
    assert set(shown["run"]) == {"exp1_1_L2_K32", "exp1_1_L4_K32"}
    assert shown.groupby("run")["seed"].apply(sorted).tolist() == [[0, 1, 2]] * 2
    caption, _ = figures.describe("cost", study)
    assert "2 different networks that train" in caption
    assert "Not shown" not in caption
    scope = describe_scope(study)
    assert scope.startswith("2 convolutional networks were trained under 4 names, as 2 have")


OWN_IMAGES = {"data": {"name": "cifar100"}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (OWN_IMAGES, ", of another budget or of other images"),
        ({"epochs": 5}, " or of another budget"),
    ],
)
def test_the_assignments_images_and_budgets_are_shown_whatever_is_more_frequent(changes, why):
    course = build_results("exp1_1", "exp1_4") + build_results("exp2", epochs=60)
    own = [
        build_result(
            f"exp5_L{depth}_K{width}",
            **{"experiment": "exp5", "model": model, "widths": (width,), "depth": depth} | changes,
        )
        for model, widths in (("resnet", (8, 16, 24)), ("densenet", (12,)))
        for width in widths
        for depth in range(2, 30, 2)
    ]
    study = tabulate(course + own)
    shown = key.select_all_networks(study)
    assert set(shown["run"]) == {result.name for result in course}
    for kind in ("key", "cost"):
        said = f"Not shown, variants of these networks{why}: {len(own)} of exp5."
        assert said in figures.describe(kind, study)[0]
    alone = key.select_all_networks(tabulate(own))
    assert set(alone["run"]) == {result.name for result in own}


def test_the_best_network_is_the_best_on_the_images_of_the_assignment():
    easy = build_result("exp5_L2_K8", experiment="exp5", widths=(8,), ceiling=97, **OWN_IMAGES)
    plain = build_results("exp1_1")
    study = tabulate([*plain, easy])
    best = find_best_result(tabulate(plain)).name
    assert find_best_result(study).name == best
    assert (
        f"The best by validation on CIFAR-10 images, {best}, " in figures.describe("dots", study)[0]
    )
    caption, _ = figures.describe("confusion", study)
    assert f"of {best}, seed 0, the best by validation on CIFAR-10 images: " in caption
    assert find_best_result(tabulate([easy])).name == easy.name


def test_the_cost_figure_counts_seeds_that_fail_too():
    """They are not taken for seeds that were not run."""
    results = [build_result("exp1_1_L2_K32", seed=seed) for seed in range(2)]
    results += [
        build_result("exp1_1_L8_K32", depth=8, seed=seed, status=status)
        for seed, status in enumerate(("trained", "at_chance"))
    ]
    results += build_plain(L16="at_chance")
    caption, _ = figures.describe("cost", tabulate(results[:4]))
    assert "2 different networks that train" in caption
    assert caption.endswith("2 seeds per network.")
    networks = cost.select_trained(tabulate(results))["run"]
    assert set(networks) == {"exp1_1_L2_K32", "exp1_1_L8_K32"}


def test_an_ablation_alone_is_shown_with_all_runs():
    study = tabulate(build_results("exp2_ablation", seeds=(0,)))
    caption, _ = figures.describe("dots", study)
    assert caption.startswith("Test accuracy of 9 named networks.")
    assert "Not shown" not in caption
    assert draw("dots", study).axes


def test_networks_of_several_data_sets_are_not_ranked():
    results = [
        build_result("exp3_a_L2_K32", experiment="exp3"),
        build_result("exp3_b_L2_K32", experiment="exp3", **OWN_IMAGES),
    ]
    study = tabulate(results, settings=["data.name"])
    assert "best by" not in figures.describe("curves", study, "exp3")[0]
    assert " best (" not in figures.describe("settings", study, "exp3")[0]
    assert findings.describe_experiment(study, "exp3") == "2 of 2 networks train."
    assert set(list_experiments(study)["Best by validation"]) == {"–"}
    levels = [
        {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"}
        for axes in draw("curves", study, "exp3").axes
    ]
    assert levels == [{math.log(10), math.log(100)}] * 2 + [{10.0, 1.0}] * 2
    dotted = [line for line in draw("dots", study).axes[0].lines if line.get_linestyle() == ":"]
    assert {line.get_xdata()[0] for line in dotted} == {10.0, 1.0}


def test_a_cost_figure_of_nothing_says_what_it_leaves_out():
    own = build_result("exp5_L2_K8", experiment="exp5", widths=(8,), **OWN_IMAGES)
    study = tabulate([build_result("exp1_1_L2_K32", status="at_chance"), own])
    caption, alt = figures.describe("cost", study)
    assert alt == ""
    assert caption.startswith("No network that can be compared has trained and has a test accuracy")
    assert caption.endswith(" or of other images: 1 of exp5.")
    figure = draw("cost", study)
    figure.draw_without_rendering()
    (text,) = figure.texts
    assert text.get_window_extent().x1 <= figure.bbox.x1


def test_of_equally_frequent_budgets_the_largest_is_shown():
    for key_, values, changes in (
        ("epochs", (10, 20, 40), lambda n: {"epochs": n}),
        ("train_images", (5000, 10_000, 20_000), lambda n: {"train_images": n}),
    ):
        results = [
            build_result(f"exp3_{key_}{n}_L2_K8", experiment="exp3", **changes(n)) for n in values
        ]
        study = tabulate(results)
        (shown,) = key.select_all_networks(study)["run"]
        assert shown == f"exp3_{key_}{values[-1]}_L2_K8"
        assert "or of another budget: 2 of exp3." in figures.describe("cost", study)[0]


def test_layers_are_those_of_the_assignment_if_it_has_plain_networks():
    own = [
        build_result(f"exp5_L{depth}_K8", experiment="exp5", depth=depth, widths=(8,))
        for depth in range(2, 9)
    ]
    plain = [build_result(f"exp1_1_L{depth}_K32", depth=depth) for depth in (2, 4)]
    shown = layers.select_networks(tabulate([*own, *plain]))
    assert shown["run"].tolist() == ["exp1_1_L2_K32", "exp1_1_L4_K32"]
    assert set(layers.select_networks(tabulate(own))["experiment"]) == {"exp5"}


def test_layers_name_each_line_whatever_was_not_recorded():
    """The last activations of one network, or everything of all, are not finite."""

    def lose(result, **quantities):
        changed = build_layers(2).model_copy(update=quantities)
        return result.model_copy(update={"layers": changed})

    first, *others = build_results("exp1_1")
    last_lost = [*first.layers.activation_std[:-1], [None] * 4]
    figure = draw("layers", tabulate([lose(first, activation_std=last_lost), *others]))
    (legend,) = figure.legends
    named = dict(zip(read(legend.texts), legend.get_lines(), strict=True))
    assert list(named)[:2] == ["exp1_1_L2_K32", "exp1_1_L4_K32"]
    assert list(named)[-1] == layers.DASHED
    for name in list(named)[:2]:
        assert named[name].get_color() == find(figure, name)[0].get_color()
    nothing = {quantity: [[None] * 4] * 3 for quantity in layers.PANELS}
    (legend,) = draw("layers", tabulate([lose(x, **nothing) for x in others])).legends
    assert legend.texts == []


def test_layers_compare_the_deepest_plain_network_with_its_equals():
    def build(label, factor, model="cnn"):
        result = build_result(f"exp1_5_{label}_L16_K32", experiment="exp1_5", model=model, depth=16)
        changed = [[factor * x for x in values] for values in result.layers.gradient_norm]
        recorded = result.layers.model_copy(update={"gradient_norm": changed})
        return result.model_copy(update={"layers": recorded})

    others = [build("he", 2), build("warmup", 1), build("residual", 3, "resnet")]
    study = tabulate([*build_results("exp1_1"), *others])
    plain = [f"exp1_1_L{depth}_K32" for depth in (2, 4, 8, 16)]
    equals = ["exp1_5_he_L16_K32", "exp1_5_residual_L16_K32"]  # the other starts as plain ones do
    assert list(layers.select_networks(study).index) == [*plain, *equals]


def test_parts_of_an_ablation_are_compared_with_the_full_network_of_their_size():
    accuracies = {("full", 3): 80.0, ("full", 6): 84.0, ("part", 3): 81.0, ("part", 6): 85.0}
    study = tabulate(
        [
            build_result(
                f"exp2_ablation_{label}_L{depth}_K32-64-128",
                test_accuracy=accuracy,
                **OWN | {"depth": depth},
            )
            for (label, depth), accuracy in accuracies.items()
        ]
    )
    parts = dots.compare_parts(study)
    assert parts["label"].tolist() == ["part_L3_K32-64-128", "part_L6_K32-64-128"]
    for column in "difference", "low", "high":
        assert parts[column].tolist() == pytest.approx([1, 1])


def test_the_ablation_is_sorted_and_paired_by_seed():
    study = tabulate(build_results("exp2_ablation", seeds=(0, 1)))
    parts = dots.compare_parts(study)
    assert parts["difference"].is_monotonic_increasing
    accuracy = study.runs.set_index(["label", "seed"])["test_accuracy"]
    pairs = [accuracy["no_cutout", seed] - accuracy["full", seed] for seed in (0, 1)]
    row = parts.set_index("label").loc["no_cutout"]
    assert row["difference"] == pytest.approx(np.mean(pairs))
    assert (row["low"], row["high"]) == pytest.approx((min(pairs), max(pairs)))
    (axes,) = draw("ablation", study).axes
    assert read(axes.get_yticklabels()) == list(parts["label"])


def test_a_part_without_which_nothing_trains_does_not_set_the_scale():
    stuck = build_result("exp2_ablation_stuck_L3_K32-64-128", status="at_chance", **OWN)
    figure = draw("ablation", tabulate([*build_results("exp2_ablation")[:2], stuck]))
    assert figure.axes[0].get_xlim()[0] > -20
    assert is_hollow(*find(figure, "exp2_ablation_stuck"))


def test_confusion_is_in_percent_of_the_true_class(study):
    (axes,) = draw("confusion", study).axes
    confusion = find_best_result(study).test.confusion
    shares = [f"{100 * count / sum(row):.1f}" for row in confusion for count in row if count]
    assert len(shares) == 20
    assert [text for text in read(axes.texts) if text in shares] == shares
    assert read(axes.get_xticklabels()) == list("0123456789")


def test_a_class_without_test_images_has_no_shares(study):
    best = find_best_result(study)
    confusion = [*best.test.confusion[:-1], [0] * 10]
    test = best.test.model_copy(update={"confusion": confusion})
    (axes,) = draw("confusion", tabulate([best.model_copy(update={"test": test})])).axes
    assert len(axes.texts) == 90


def test_a_network_without_mistakes_is_said_to_make_none(study, tiny_manifest):
    best = find_best_result(study)
    right = best.model_copy(update={"test": best.test.model_copy(update={"mistakes": []})})
    caption, _ = figures.describe("mistakes", tabulate([right]))
    images = f"{best.test.num_images:,} test images"
    assert caption == f"{best.name}, seed {best.seed}, makes no mistake on the {images}."
    assert draw("mistakes", tabulate([right]), manifest=tiny_manifest).axes == []


def test_the_probability_that_all_mistakes_have_is_not_rounded_up_to_certainty(study):
    best = find_best_result(study)
    mistakes = [x.model_copy(update={"probability": 0.99996}) for x in best.test.mistakes]
    test = best.test.model_copy(update={"mistakes": mistakes})
    caption, _ = figures.describe("mistakes", tabulate([best.model_copy(update={"test": test})]))
    assert "each with a probability of at least 99.9 % for the wrong class." in caption


def test_mistakes_are_shown_with_their_names_or_left_out(study, tiny_manifest):
    best = find_best_result(study)
    own = {"data_sha256": read_manifest(tiny_manifest).sha256}
    tested = best.model_copy(update={"test": best.test.model_copy(update=own)})
    shown = read(draw("mistakes", tabulate([tested]), manifest=tiny_manifest).axes[0].texts)
    assert shown[0] == "b\nis a"
    assert len(shown) == 15
    (axes,) = draw("confusion", tabulate([tested]), manifest=tiny_manifest).axes
    assert read(axes.get_xticklabels()) == list("abcdefghij")
    assert draw("mistakes", study).axes == []


def test_pictures_and_names_of_other_images_are_not_shown(study, tiny_manifest):
    assert draw("mistakes", study, manifest=tiny_manifest).axes == []
    (axes,) = draw("confusion", study, manifest=tiny_manifest).axes
    assert read(axes.get_xticklabels()) == list("0123456789")


def test_colours_of_depth_get_lighter_and_text_is_readable():
    lightness = [max(to_rgb(style.colour_depth(depth))) for depth in (1, 2, 4, 8, 16, 32)]
    assert lightness == sorted(lightness)
    assert len({style.colour_depth(depth) for depth in (1, 2, 3, 4, 6, 9, 12, 16, 32)}) == 9
    for colour in style.DARK:
        assert style.darken(colour) == style.darken(style.darken(colour))


def test_a_grid_with_the_default_among_its_values_is_drawn():
    results = [
        build_result("exp3_gamma0.1_L2_K32", experiment="exp3"),
        build_result("exp3_gamma0.5_L2_K32", experiment="exp3", training={"gamma": 0.5}),
    ]
    study = tabulate(results, settings=("training.gamma",))
    assert settings.find_setting(study, "exp3").distinct == [0.1, 0.5]


def test_a_grid_over_rates_is_drawn_against_the_rate(rates):
    caption, _ = figures.describe("settings", rates, "exp3")
    best = select(rates.summary, run="exp3_bn-true_lr0.01_L4_K32")
    assert f"({best['run'].item()}, {best['validation'].item():.1f} %)" in caption
    (axes,) = draw("settings", rates, "exp3").axes
    assert axes.get_xlabel() == "training.lr (log scale)"
    assert read(axes.get_xticklabels()) == ["0.01", "0.1", "1"]
    points = settings.list_points(rates, "exp3", settings.find_setting(rates, "exp3"))
    assert set(points["line"]) == {"bn-false", "bn-true"}
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    highest = max(y for line in lines for y in line.get_ydata())
    assert highest == pytest.approx(best["validation"].item())
    assert is_hollow(*find(axes.figure, "exp3_bn-true_lr1_L4_K32"))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([True, False], ["true", "false"]),
        (["relu", "lrelu"], ["relu", "lrelu"]),
        ([[64], [128, 64], []], ["64", "128-64", "none"]),
        ([0.2, 0.1], ["0.1", "0.2"]),
    ],
)
def test_settings_are_drawn_in_the_order_of_their_numbers_or_of_the_runs(values, shown):
    results = [
        build_result(f"exp3_{i}_L2_K32", experiment="exp3", network={"part": value}, epochs=2)
        for i, value in enumerate(values)
    ]
    study = tabulate(results, settings=["architecture.absent", "architecture.part"])
    (axes,) = draw("settings", study, "exp3").axes
    assert read(axes.get_xticklabels()) == shown
    assert axes.get_xlabel() == "architecture.part"


def build_grid(names, **options):
    """Results of a grid by the middle of their names: the options of each."""
    return [
        build_result(f"exp3_{name}_L4_K32", experiment="exp3", depth=4, epochs=2, **own, **options)
        for name, own in names.items()
    ]


@pytest.mark.parametrize(
    ("best", "grid", "curve"),
    [
        ((80.0, 70.0, 60.0), "0.1 is best (exp3_a_L4_K32, 80.0 %).", "exp3_a_L4_K32 is best by"),
        (
            (80.0, 80.0, 60.0),
            "0.1 and 0.2 are best (80.0 %).",
            "exp3_a_L4_K32 and exp3_b_L4_K32 are best by validation: 80.0 %.",
        ),
    ],
)
def test_all_runs_that_are_equally_good_are_named(best, grid, curve):
    networks = {
        name: {"training": {"lr": lr}, "best_validation": accuracy}
        for name, lr, accuracy in zip("abc", (0.1, 0.2, 0.3), best, strict=True)
    }
    study = tabulate(build_grid(networks), settings=["training.lr"])
    assert grid in figures.describe("settings", study, "exp3")[0]
    assert curve in figures.describe("curves", study, "exp3")[0]
    more = " (and 1 more)" if len(set(best)) == 2 else ""
    sentence = findings.describe_experiment(study, "exp3")
    assert f"the best by validation, `exp3_a_L4_K32`{more}, has" in sentence
    assert set(list_experiments(study)["Best by validation"]) == {f"`exp3_a_L4_K32`{more}"}
    what = "one of the 2" if more else "the"
    assert (
        f"{what.capitalize()} best by validation, exp3_a_L4_K32, reaches "
        in (figures.describe("dots", study)[0])
    )
    assert (
        f"of exp3_a_L4_K32, seed 0, {what} best by validation: "
        in (figures.describe("confusion", study)[0])
    )


def test_a_confusion_matrix_next_to_a_better_mlp_is_not_that_of_the_best():
    mlp = {"experiment": "part2_optim", "model": "mlp", "widths": None}
    study = tabulate(
        [
            build_result("exp1_1_L2_K32", best_validation=50.0),
            build_result("part2_optim_momentum", best_validation=60.0, **mlp),
        ]
    )
    assert "The best by validation, part2_optim_momentum, " in figures.describe("dots", study)[0]
    assert (
        "L2_K32, seed 0, the best by validation without MLPs: "
        in (figures.describe("confusion", study)[0])
    )


def test_seeds_that_fail_in_different_ways_are_one_dot():
    results = [
        build_result(
            "exp3_a_L4_K32",
            experiment="exp3",
            seed=seed,
            status=status,
            training={"lr": 0.5},
        )
        for seed, status in enumerate(("at_chance", "diverged"))
    ]
    results += build_grid({"b": {"training": {"lr": 0.1}}})
    figure = draw("settings", tabulate(results, settings=["training.lr"]), "exp3")
    (dot,) = (x for x in find(figure, "exp3_a_L4_K32") if x.get_marker() == "o")
    assert is_hollow(dot)


def test_the_caption_of_an_ablation_says_with_which_seeds_a_part_trains():
    parts = {"full": {}, "no_cutout": {}, "stuck": {"status": "at_chance"}}
    results = [
        build_result(
            f"exp2_ablation_{label}_L3_K32-64-128",
            seed=seed,
            **OWN | ({"status": "at_chance"} if (label, seed) == ("no_cutout", 0) else options),
        )
        for seed in (0, 1)
        for label, options in parts.items()
    ]
    caption, _ = dots.describe_ablation(tabulate(results))
    assert re.search(r"no_cutout \S+ \(1 of 2 seeds\)", caption)
    assert re.search(r"stuck \S+ \(does not train\)", caption)
    assert "over the seeds that train, or over all seeds where none does, with" in caption


def test_a_grid_over_pools_is_drawn_against_the_pools_of_the_networks():
    # Three pools are not evenly spaced between four convolutions: there are two.
    every = {1: 4, 2: 2, 3: 2, 4: 1}
    networks = {f"pools{x}": {"network": {"pool_every": y}} for x, y in every.items()}
    study = tabulate(build_grid(networks), settings=["architecture.pools"])
    caption, _ = figures.describe("settings", study, "exp3")
    assert caption.startswith("Validation accuracy of exp3 against architecture.pools.")
    (axes,) = draw("settings", study, "exp3").axes
    assert read(axes.get_xticklabels()) == ["1", "2", "4"]
    points = settings.list_points(study, "exp3", settings.find_setting(study, "exp3"))
    assert set(points["line"]) == {"exp3"}
    assert [*points["x"]] == [1, 2, 2, 4]


def test_a_grid_is_drawn_against_what_varies_and_rather_not_against_a_split():
    grid = {
        f"split{split}_lr{lr}": {"data": {"split_seed": split}, "training": {"lr": lr}}
        for split in (0, 1, 2)
        for lr in (0.1, 0.5)
    }
    keys = ["data.split_seed", "training.lr"]
    found = settings.find_setting(tabulate(build_grid(grid), settings=keys), "exp3")
    assert (found.key, found.distinct) == ("training.lr", [0.1, 0.5])
    splits = tabulate(build_grid(grid), settings=keys[:1])
    assert settings.find_setting(splits, "exp3").distinct == [0, 1, 2]

    names = {f"act-{x}_lr0.1": {"network": {"activation_type": x}} for x in ("relu", "lrelu")}
    study = tabulate(build_grid(names), settings=["architecture.activation_type", "training.lr"])
    assert settings.find_setting(study, "exp3").distinct == ["lrelu", "relu"]


def test_networks_without_l_and_k_are_shown_by_their_cost_and_named_elsewhere():
    other = build_result("exp4_L2_K32", experiment="exp4", epochs=3)
    study = tabulate([*build_results("exp1_1", epochs=3), *build_mixers(), other])
    assert find(draw("cost", study), "exp4_large: ")
    assert len(find(draw("dots", study), "exp4_")) == 3
    assert figures.describe("confusion", study)[1].startswith("Confusion matrix of exp4_large")
    for kind in ("key", "layers"):
        assert "exp4_large and exp4_small" in figures.describe(kind, study)[0]
        draw(kind, study)
    assert len(find(draw("curves", study, "exp4"), "exp4_")) == 12


@pytest.mark.parametrize("own", OWN_KEYS)
def test_a_study_of_networks_without_l_and_k_is_drawn(tmp_path, own):
    study = tabulate(build_mixers(**own))
    caption, alt = figures.describe("key", study)
    assert "exp4_large and exp4_small" in caption
    assert alt == ""
    for kind in (*STUDY_FIGURES, "curves"):
        save_figure(draw(kind, study, *["exp4"] * (kind == "curves")), [tmp_path / "x.svg"])
    assert "cost of 2 different networks" in figures.describe("cost", study)[1]


def test_a_budget_is_what_a_network_was_trained_on():
    """With ``batches``, an epoch is a part of the images."""
    part, whole = (
        build_result(f"exp1_1_L{depth}_K32", depth=depth, epochs=3, training={"batches": batches})
        for depth, batches in ((2, 2), (4, None))
    )
    caption, _ = figures.describe("dots", tabulate([part, whole]))
    assert "Trained on unequal budgets. exp1_1: 3 epochs of 256 of 20,000 images; exp1_1: 3 " in (
        caption
    )
    assert "3 epochs of 20,000 images." in caption
    assert "unequal" not in figures.describe("dots", tabulate([part]))[0]
