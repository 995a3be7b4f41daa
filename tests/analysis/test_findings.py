"""Compares every sentence of the findings with the numbers of the results."""

import re
from functools import cache
from itertools import groupby, pairwise

import pytest
from result_documents import build_experiment, build_result, build_study, tabulate

from hw2core.analysis import findings
from hw2core.analysis.findings.core import FINDINGS
from hw2core.analysis.findings.own import tabulate_changes
from hw2core.analysis.text import format_number

SEVERAL = ("part3_q2_1", "part3_q2_2", "part3_q3", "part3_q4", "part3_q5", "part3_q6_1")
SEVERAL += ("part3_q6_2", "part2_optim", "part2_q1_1", "part2_q1_2", "public")


def reverse(results):
    """Return the results of each experiment's runs in reverse order of its runs."""
    reversed_results = []
    for _, group in groupby(results, key=lambda x: (x.experiment, x.seed)):
        of_seed = list(group)
        configs = [result.config for result in reversed(of_seed)]
        for result, config in zip(of_seed, configs, strict=True):
            reversed_results.append(result.model_copy(update={"config": config}))
    return reversed_results


def order(results):
    return sorted(results, key=lambda x: (x.experiment, x.seed))


STUDIES = {
    "three seeds": order(build_study(seeds=(0, 2, 3), epochs=3)),
    "two seeds": order(build_study(seeds=(0, 1), epochs=3)),
    "one seed": order(build_study(seeds=(0,), epochs=3)),
    "of experiment 1.1": build_experiment("exp1_1", epochs=3),
}
STUDIES["reversed"] = reverse(STUDIES["three seeds"])
STUDIES["missing"] = [
    x for x in STUDIES["one seed"] if x.name not in ("exp1_1_L4_K32", "exp2_L6_K32-64-128")
]
STUDIES["other"] = [
    build_result("mine_L2_K8", experiment="mine"),
    build_result("mine_L4_K8", depth=4, experiment="mine", status="at_chance"),
]
CHANCE = build_result("x_L2_K32", status="at_chance", epochs=3, best_epoch=1).epochs
STUDIES["at chance"] = [
    x.model_copy(update={"epochs": CHANCE, "best_epoch": 1}) for x in STUDIES["one seed"]
]
STUDIES["none"] = []


@cache
def tabulate_study(name):
    return tabulate(STUDIES[name])


def summarize(results, experiment):
    """Return {run: (depth, widths, trained seeds, seeds, validation, test)} without the tables."""
    runs = {}
    for result in results:
        if result.experiment != experiment:
            continue
        last = max(result.epochs.train_accuracy[-1], result.epochs.validation_accuracy[-1])
        runs.setdefault(result.name, []).append((last >= 25, result))
    summary = {}
    for name, seeds in runs.items():
        trained = [x for good, x in seeds if good]
        kept = trained or [x for _, x in seeds]
        net = seeds[0][1].config["architecture"]
        means = [
            sum(values) / len(kept)
            for values in ([x.validation_accuracy for x in kept], [x.test.accuracy for x in kept])
        ]
        widths = "-".join(map(str, net.get("filters_per_layer", [])))
        summary[name] = (net.get("layers_per_block"), widths, len(trained), len(seeds), *means)
    return summary


@pytest.mark.parametrize("study", STUDIES)
def test_the_best_depth_is_that_of_the_highest_validation_accuracy(study):
    summary = summarize(STUDIES[study], "exp1_1")
    text = findings.answer("part3_q2_1", tabulate_study(study))
    for widths in {row[1] for row in summary.values()}:
        rows = [row for row in summary.values() if row[1] == widths and row[2]]
        if not rows:
            assert re.search(rf"do(es)? not train at K = .*\b{widths}\b", text)
            continue
        best = max(rows, key=lambda row: row[4])
        share = "" if best[2] == best[3] else rf" \({best[2]} of {best[3]} seeds\)"
        depth = rf"(L = {best[0]} is the best depth.*:.*|L = {best[0]} with )"
        value = rf"{format_number(best[5])} %{share} at K = {widths}"
        assert re.search(depth + value, text), (text, best)


def test_a_best_run_that_others_beat_on_the_test_images_is_said_to():
    accuracies = {2: (70.0, 71.5), 4: (72.0, 71.0), 8: (71.0, 70.0)}  # validation and test
    results = [
        build_result(
            f"exp1_1_L{depth}_K32",
            depth=depth,
            best_validation=validation,
            test_accuracy=test,
            ceiling=60.0,
        )
        for depth, (validation, test) in accuracies.items()
    ]
    text = findings.answer("part3_q2_1", tabulate(results))
    assert text.startswith(
        "L = 4 is the best depth of a plain network at K = 32: 71.0 % at K = 32 (by validation; on "
        "the test images L = 2 is 0.5 points above it)."
    )


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize(("name", "experiment"), [("part3_q2_2", "exp1_1"), ("part3_q3", "exp1_2")])
def test_what_does_not_train_is_said_of_these_alone(study, name, experiment):
    summary = summarize(STUDIES[study], experiment)
    text = findings.answer(name, tabulate_study(study))
    said = set()
    for depths, widths in re.findall(
        r"L = ([\d, and]+?) do(?:es)? not train at K = ([\d, and]+)", text
    ):
        said |= {(d, w) for d in re.findall(r"\d+", depths) for w in re.findall(r"\d+", widths)}
    assert said == {(str(row[0]), row[1]) for row in summary.values() if not row[2]}


@pytest.mark.parametrize("study", STUDIES)
def test_width_helps_only_where_it_does(study):
    summary = summarize(STUDIES[study], "exp1_2")
    rows = sorted(
        (row for row in summary.values() if row[2]), key=lambda row: (row[0], int(row[1]))
    )
    steps = [b[5] - a[5] for a, b in pairwise(rows) if a[0] == b[0]]
    text = findings.answer("part3_q3", tabulate_study(study))
    assert text.startswith("Width helps wherever") == bool(steps and min(steps) > 0)
    assert text.startswith("Width does not help") == bool(steps and max(steps) <= 0)


@pytest.mark.parametrize("study", STUDIES)
def test_the_own_network_is_compared_with_the_best_of_experiment_1(study):
    results = STUDIES[study]
    own = [row for row in summarize(results, "exp2").values() if row[2]]
    others = {
        run: row
        for number in range(1, 5)
        for run, row in summarize(results, f"exp1_{number}").items()
        if row[2]
    }
    text = findings.answer("part3_q6_2", tabulate_study(study))
    if not own or not others:
        assert "not part of this study" in text or text.startswith("YourCodeNet does not train")
        return
    best, other = max(own, key=lambda row: row[4]), max(others, key=lambda run: others[run][4])
    difference = best[5] - others[other][5]
    side = "above" if difference > 0 else "below"
    assert f"L = {best[0]} is {format_number(abs(difference))} point" in text
    assert (
        f"{side} the best of experiment 1 (`{other}`, {format_number(others[other][5])} %" in text
    )


@pytest.mark.parametrize("study", STUDIES)
def test_the_counts_against_public_solutions_are_right(study):
    built = tabulate_study(study)
    baselines = built.baselines.set_index("run")
    rows = {
        run: row
        for name in ("exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2")
        for run, row in summarize(STUDIES[study], name).items()
        if run in baselines.index
    }
    if not rows:
        assert "public solutions that train" not in findings.answer("public", built)
        return
    trained = {run: row for run, row in rows.items() if row[2]}
    median, best = (
        sum(row[5] > baselines.loc[run, column] for run, row in trained.items())
        for column in ("median", "highest")
    )
    text = findings.answer("public", built)
    if not trained:
        assert text.startswith(f"None of the {len(rows)} runs that have public solutions trains")
        return
    assert f"Of the {len(trained)} runs that train, {median or 'none'} are above the median" in text
    assert f"and {best or 'none'} above the best" in text


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("name", FINDINGS)
def test_every_answer_is_whole_whatever_the_study_has(study, name):
    built = tabulate_study(study)
    text = findings.answer(name, built)
    assert not re.search(r"\b(nan|None(?! of)|<NA>|inf)\b|–\s%|  |\.\.|[,;:][.;,]", text), text
    assert not text or text.endswith(".")
    known = set(built.runs["run"]) | {
        e for found in FINDINGS.values() for e in (*found.needs, *found.uses)
    }
    assert set(re.findall(r"`([^`]+)`", text)) <= known


@pytest.mark.parametrize("name", SEVERAL)
def test_reversed_results_change_the_direct_sentence(name):
    first, second = (findings.answer(name, tabulate_study(x)) for x in ("three seeds", "reversed"))
    assert first.partition(". ")[0] != second.partition(". ")[0] or name == "part3_q6_1"
    assert first != second


def test_reversed_results_change_page_one():
    first, second = (findings.list_findings(tabulate_study(x)) for x in ("three seeds", "reversed"))
    assert len(first) == len(second) == 5
    for one, other in zip(first, second, strict=True):
        assert one.split("**")[1] == other.split("**")[1]
        assert one != other


def test_page_one_has_only_what_has_results():
    assert len(findings.list_findings(tabulate_study("of experiment 1.1"))) == 2  # and public
    assert findings.list_findings(tabulate([])) == []
    (own,) = findings.list_findings(tabulate_study("other"))
    assert own.startswith("**mine.** 1 of 2 runs train; the best by validation, `mine_L2_K8`,")


def test_what_is_missing_is_named():
    missing = {"exp1_1": ["exp1_1_L4_K32"], "exp1_5": ["a", "b"]}
    text = findings.answer("part3_q2_2", tabulate(STUDIES["missing"][:0], missing))
    assert text == "Experiments `exp1_1` and `exp1_5` have no result yet."
    rest = [x for x in build_experiment("exp1_1", epochs=3) if x.name != "exp1_1_L4_K32"]
    text = findings.answer("part3_q2_2", tabulate(rest, missing))
    assert "Experiment `exp1_5` has no result yet." in text
    assert text.endswith("Without a result: `exp1_1_L4_K32`.")
    many = tabulate(rest, {"exp1_1": [f"r{i}" for i in range(9)]})
    assert "`r0`, `r1`, `r2`, `r3` and 5 more." in findings.answer("part3_q2_1", many)


def test_what_was_never_planned_is_not_mentioned_by_an_answer_that_has_something_to_say():
    text = findings.answer("part3_q6_2", tabulate(build_experiment("exp2", epochs=3)))
    assert text.startswith("YourCodeNet reaches")
    assert "exp1" not in text
    assert findings.answer("part3_q4", tabulate([])).endswith(
        "Experiment `exp1_3` is not part of this study."
    )


def test_a_run_that_trains_in_part_of_its_seeds_is_said_to():
    text = findings.answer(
        "part3_q2_2", tabulate(build_experiment("exp1_1", seeds=(0, 1, 2), epochs=3))
    )
    assert "`exp1_1_L8_K32` in 2 of 3 seeds and `exp1_1_L8_K64` in 2 of 3 seeds" in text


def test_the_ablation_says_what_each_change_is_worth():
    changes = tabulate_changes(tabulate_study("one seed")).set_index("Change")["Gain"]
    tests = {x.name: x.test.accuracy for x in STUDIES["one seed"]}
    full = tests["exp2_ablation_full_L3_K32-64-128"]
    worth = full - tests["exp2_ablation_no_cutout_L3_K32-64-128"]
    assert changes["Cutout"] == f"{worth:+.1f}"
    assert set(tabulate_changes(tabulate([]))["Gain"]) == {"not measured"}
    broken = [
        build_result(
            x.name,
            experiment=x.experiment,
            model="ycn",
            widths=(32, 64, 128),
            depth=3,
            status="at_chance",
        )
        if "no_batchnorm" in x.name
        else x
        for x in STUDIES["one seed"]
    ]
    study = tabulate(broken)
    assert "does not train without" in set(tabulate_changes(study)["Gain"])
    assert (
        "Without Batch norm before every activation the network does not train."
        in findings.answer("part3_q6_1", study)
    )


def test_dropout_is_judged_by_paired_seeds():
    def build(gains, seeds=5):
        return tabulate(
            [
                build_result(
                    f"part2_dropout_{p:g}",
                    experiment="part2_dropout",
                    model="mlp",
                    widths=None,
                    seed=seed,
                    epochs=3,
                    network={"dropout": p},
                    test_accuracy=40.0 + seed + gain * (1 + 0.1 * seed),
                )
                for p, gain in gains.items()
                for seed in range(seeds)
            ]
        )

    assert "helps on new images" in findings.answer("part2_q1_1", build({0: 0, 0.4: 3}))
    assert "hurts on new images" in findings.answer("part2_q1_1", build({0: 0, 0.4: -3}))
    text = findings.answer("part2_q1_1", build({0: 0, 0.4: 0}))
    assert "has no significant effect on new images with 5 seeds" in text
    text = findings.answer("part2_q1_1", build({0: 0, 0.4: 3}, seeds=1))
    assert "changes accuracy on new images by +3.0 points" in text


def test_the_epoch_that_leaves_chance_level_follows_the_rule_of_a_trained_run():
    curves = {"train_accuracy": [10.0, 30.0, 30.0], "validation_accuracy": [10.0, 20.0, 20.0]}
    options = {"experiment": "exp1_2", "depth": 4, "epochs": 3}
    narrow = build_result("exp1_2_L4_K32", status="at_chance", **options)
    wide = build_result("exp1_2_L4_K64", widths=(64,), best_epoch=3, **options, **curves)
    text = findings.answer("part3_q3_layers", tabulate([narrow, wide]))
    assert "K = 64 leave chance level in epoch 2 and K = 32 never do" in text
