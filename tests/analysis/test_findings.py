"""Compares every sentence of the findings with the numbers of the results."""

import re
from functools import cache
from itertools import groupby, pairwise

import pytest
from result_documents import SIZE, Experiment, build_result, build_results, tabulate

from hw2core.analysis import findings
from hw2core.analysis.claims import judge
from hw2core.analysis.course import keep_course
from hw2core.analysis.figures import curves, dots, key
from hw2core.analysis.figures.dots import compare_parts, describe_ablation
from hw2core.analysis.findings import changes
from hw2core.analysis.findings.changes import measure_ablation, tabulate_changes
from hw2core.analysis.findings.core import FINDINGS
from hw2core.analysis.findings.part2 import find_joint_rise
from hw2core.analysis.findings.residual import tabulate_pairs
from hw2core.analysis.tables import build, find_best, list_rows, select, split_trained
from hw2core.analysis.text import format_number
from hw2core.runs.code_hash import hash_modules
from hw2core.runs.outcome import judge_status

SEVERAL = ("part3_q2_1", "part3_q2_2", "part3_q3", "part3_q4", "part3_q5", "part3_q6_1")
SEVERAL += ("part3_q6_2", "part2_optim", "part2_q1_1", "part2_q1_2", "public")


def reverse(results):
    """Return the results of each experiment's runs in reverse order of its runs."""
    reversed_results = []
    for _, group in groupby(results, key=lambda x: (x.experiment, x.seed)):
        of_seed = list(group)
        for result, other in zip(of_seed, reversed(of_seed), strict=True):
            of_network = ("config", "parameters", "flops_per_image")
            update = {name: getattr(other, name) for name in of_network}
            reversed_results.append(result.model_copy(update=update))
    return reversed_results


ONE_SEED = build_results(epochs=3)
CHANCE = build_result("x_L2_K32", status="at_chance", epochs=3)
CHANCE_CURVES = {"epochs": CHANCE.epochs, "best_epoch": CHANCE.best_epoch}
STUDIES = {
    "three seeds": build_results(seeds=(0, 2, 3), epochs=3),
    "two seeds": build_results(seeds=(0, 1), epochs=3),
    "one seed": ONE_SEED,
    "of experiment 1.1": build_results("exp1_1", epochs=3),
    "missing": [x for x in ONE_SEED if x.name not in ("exp1_1_L4_K32", "exp2_L6_K32-64-128")],
    "other": [
        build_result("mine_L2_K8", experiment="mine"),
        build_result("mine_L4_K8", depth=4, experiment="mine", status="at_chance"),
    ],
    "at chance": [x.model_copy(update=CHANCE_CURVES) for x in ONE_SEED],
    "none": [],
}
STUDIES["reversed"] = reverse(STUDIES["three seeds"])


@cache
def tabulate_study(name):
    return tabulate(STUDIES[name])


@pytest.fixture(params=STUDIES)
def study(request):
    return tabulate_study(request.param)


def test_the_best_depth_is_that_of_the_highest_validation_accuracy(study):
    text = findings.answer("part3_q2_1", study)
    for widths, rows in select(study.summary, experiment="exp1_1").groupby("widths"):
        best = find_best(rows)
        if best is None:
            assert re.search(rf"do(es)? not train at K = .*\b{widths}\b", text)
            continue
        share = "" if best.trained == best.seeds else rf" \({best.trained} of {best.seeds} seeds\)"
        depth = rf"(L = {best.depth} is the best depth.*:.*|L = {best.depth} with )"
        value = rf"{format_number(best.test)} %{share}( at K = {widths}| \()"
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
        "L = 4 is the best depth of a plain network at K = 32: 71.0 % (by validation; on the test "
        "images L = 2 is 0.5 points above it)."
    )


def test_equal_training_accuracies_are_no_better_fit():
    results = [
        build_result(
            f"exp1_1_L{depth}_K32",
            depth=depth,
            best_validation=best,
            train_accuracy=[*[50.0] * 19, fit],
        )
        for depth, best, fit in ((2, 70.0, 99.96), (4, 72.0, 99.98))
    ]
    text = findings.answer("part3_q2_1", tabulate(results))
    assert "differs from the next best by 0.0 points." in text


def test_a_plain_network_does_not_train_too_where_the_residual_one_fails():
    results = [
        build_result("exp1_1_L4_K32", depth=4),
        build_result(
            "exp1_4_L4_K32", experiment="exp1_4", model="resnet", depth=4, status="at_chance"
        ),
    ]
    text = findings.answer("part3_q5", tabulate(results))
    assert "does not train; the plain network" in text
    assert "same channels trains." in text


@pytest.mark.parametrize(("name", "experiment"), [("part3_q2_2", "exp1_1"), ("part3_q3", "exp1_2")])
def test_what_does_not_train_is_said_of_these_alone(study, name, experiment):
    said = set()
    for depths, widths in re.findall(
        r"L = ([\d, and]+?) do(?:es)? not train at K = ([\d, and]+)", findings.answer(name, study)
    ):
        said |= {
            (int(d), w) for d in re.findall(r"\d+", depths) for w in re.findall(r"\d+", widths)
        }
    failed = select(study.summary, experiment=experiment, trained=0)
    assert said == set(zip(failed["depth"], failed["widths"], strict=True))


def test_width_helps_only_where_it_does(study):
    trained, _ = split_trained(select(study.summary, experiment="exp1_2"))
    steps = [b.test - a.test for a, b in pairwise(list_rows(trained)) if a.depth == b.depth]
    text = findings.answer("part3_q3", study)
    assert text.startswith("Width helps wherever") == bool(steps and min(steps) > 0)
    assert text.startswith("Width does not help") == bool(steps and max(steps) <= 0)


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        # Per step and seed; the second step hurts significantly, the last has one seed.
        (([2.0, 2.1, 2.2], [-2.0, -2.1, -2.2], [3.0]), "in 1 of the 2 with several seeds)"),
        (([2.0, -2.1, 2.2], [2.0, -1.0, 0.5], [3.0]), "in none of the 2 with several seeds)"),
        (([2.0, 2.1, 2.2], [2.0, 2.1, 2.2]), None),
        (([2.0], [-1.0]), None),
        (([2.0, -2.1, 2.2],), "(not significantly over seeds)"),
    ],
)
def test_steps_in_width_are_significant_only_if_tested_and_towards_the_verdict(gains, said):
    reached, results = {}, []
    for step in range(len(gains) + 1):
        for seed in range(len(gains[max(0, step - 1)])):
            reached[seed] = reached.get(seed, 60.0) + (gains[step - 1][seed] if step else 0.0)
            results.append(
                build_result(
                    f"exp1_2_L2_K{32 * 2**step}",
                    seed=seed,
                    experiment="exp1_2",
                    widths=(32 * 2**step,),
                    test_accuracy=reached[seed],
                    epochs=3,
                )
            )
    text = findings.answer("part3_q3", tabulate(results)).partition(":")[0]
    assert said in text if said else "seeds" not in text


def test_the_own_network_is_compared_with_the_best_of_experiment_1(study):
    names = study.summary["experiment"]
    best, other = (find_best(study.summary[names.str.match(x)]) for x in ("exp2$", "exp1_[1-4]"))
    text = findings.answer("part3_q6_2", study)
    if best is None or other is None:
        assert "not part of this study" in text or "custom network does not train" in text
        return
    side = "above" if best.test > other.test else "below"
    assert f"L = {best.depth} is {format_number(abs(best.test - other.test))} point" in text
    there = names[names.str.match("exp1_[1-4]")].nunique()
    compared = "experiment 1.1" if there == 1 else "experiments 1.1 to 1.4"
    assert f"{side} the best of {compared} (`{other.run}`, {format_number(other.test)} %" in text


def test_the_counts_against_public_solutions_are_right(study):
    runs = study.summary.merge(study.baselines, on="run")
    trained, _ = split_trained(runs)
    text = findings.answer("public", study)
    if trained.empty:
        assert "public solutions that train" not in text
    else:
        median, best = (
            "all" if count == len(trained) else count or "none"
            for count in ((trained["test"] > trained[x]).sum() for x in ("median", "highest"))
        )
        assert text.startswith(f"Of the {len(trained)} named networks that train and have public")
        assert f", {median} are above the median of" in text
        assert f"and {best} above the best" in text


@pytest.mark.parametrize(
    ("stuck", "said"),
    [
        ([2], "The one network that does not train does so in all public solutions."),
        ([2, 4], "The 2 networks that do not train do so in all public solutions."),
        ([8], "The one network that does not train fails in 55 % of the public solutions too."),
        ([4, 8], "The 2 networks that do not train fail in 0–55 % of the public solutions too."),
    ],
)
def test_public_solutions_of_networks_that_do_not_train_are_said_to_train_or_fail(stuck, said):
    results = [
        build_result(
            f"exp1_1_L{depth}_K32", depth=depth, **{"status": "at_chance"} if depth in stuck else {}
        )
        for depth in (2, 4, 8, 16)
    ]
    assert findings.answer("public", tabulate(results)).endswith(said)


@pytest.mark.parametrize("change", [{"name": "generated"}, {"train": 500}])
def test_only_results_of_full_size_on_cifar10_are_compared_with_public_solutions(change):
    result = build_result("exp1_1_L2_K32")
    result.config["data"] |= change
    study = build([Experiment("exp1_1", sizes={result.name: SIZE})], [result])
    assert study.baselines.empty
    assert not findings.answer("public", study).startswith("Of")
    assert not any("ublic" in finding for finding in findings.list_findings(study))
    text = findings.answer("public", tabulate([build_result("exp1_1_L2_K32", test_accuracy=99.0)]))
    assert text.startswith("The one network that trains and has public solutions is above the ")


def test_what_was_found_is_said_in_few_sentences_with_few_numbers():
    study = tabulate(build_results(epochs=3))
    sentences = findings.list_briefly(study)
    assert len(sentences) <= 4
    assert len(re.findall(r"\d+(?:\.\d+)?", re.sub("`.*?`", "", " ".join(sentences)))) <= 6
    plain = study.summary[study.summary["experiment"].isin(["exp1_1", "exp1_2"])]
    depths = {find_best(rows).depth for _, rows in plain.groupby("widths")}
    said = [text for text in sentences if "are most accurate with L = " in text]
    assert bool(said) == (len(depths) == 1)
    assert all(f"are most accurate with L = {depth}" in said[0] for depth in depths if said)
    best = find_best(select(study.summary, experiment="exp2"))
    assert f"classifies {format_number(best.test)} % of the test images" in sentences[-1]
    own = tabulate_study("other")
    assert findings.list_briefly(own) == findings.list_findings(own)


def test_seeds_that_train_are_counted_wherever_a_network_is_said_to_train():
    """Also on the first page, in README, and in titles and captions of figures."""
    results = build_results("exp1_1", seeds=(0, 1, 2))
    for seed in range(3):
        deep = {"seed": seed, "status": "at_chance" if seed else "trained"}
        for model, experiment in (("resnet", "exp1_4"), ("ycn", "exp2")):
            parts: dict = {"model": model, "experiment": experiment, "ceiling": 90.0}
            results += [
                build_result(f"{experiment}_L4_K32", depth=4, seed=seed, **parts | {"ceiling": 80}),
                build_result(f"{experiment}_L32_K32", depth=32, **parts, **deep),
            ]
    study = tabulate(results)
    brief, found = " ".join(findings.list_briefly(study)), " ".join(findings.list_findings(study))
    assert "all networks train (one of them not with every seed), with up to 32" in brief
    assert "of the test images correctly with 1 of 3 seeds, " in brief
    assert "norm train (one of them not with every seed), with 4–32 convolutions" in found
    title = key.describe_finding(key.select_networks(study))
    assert "plain ones train up to 8 convolutions with 2 of 3 seeds (best: " in title
    assert re.search(r"custom up to 32 with 1 of 3 seeds \(best: \d+\.\d %, 1 of 3 seeds\)", title)
    for caption, _ in (dots.describe_dots(study), curves.describe_curves(study, "exp2")):
        assert re.search(r"\d % \(1 of 3 seeds\)\.", caption)
    steady = tabulate([result for result in results if not result.seed])
    assert "seed" not in " ".join(findings.list_briefly(steady))


@pytest.mark.parametrize("name", FINDINGS)
def test_every_answer_is_whole_whatever_the_study_has(study, name):
    text = findings.answer(name, study)
    assert not re.search(r"\b(nan|None(?! of)|<NA>|inf)\b|–\s%|  |\.\.|[,;:][.;,]", text), text
    assert not text or text.endswith(".")
    experiments = {x for found in FINDINGS.values() for x in (*found.needs, *found.uses)}
    assert set(re.findall(r"`([^`]+)`", text)) <= {*study.runs["run"], *experiments}


@pytest.mark.parametrize("name", SEVERAL)
def test_reversed_results_change_the_direct_sentence(name):
    first, second = (findings.answer(name, tabulate_study(x)) for x in ("three seeds", "reversed"))
    assert first.partition(". ")[0] != second.partition(". ")[0] or name == "part3_q6_1"
    assert first != second


def test_page_one_has_only_what_has_results():
    first, second = (findings.list_findings(tabulate_study(x)) for x in ("three seeds", "reversed"))
    assert len(first) == len(second) == 5
    for one, other in zip(first, second, strict=True):
        assert one.split("**")[1] == other.split("**")[1]
        assert one != other
    assert len(findings.list_findings(tabulate_study("of experiment 1.1"))) == 2  # and public
    assert findings.list_findings(tabulate([])) == []
    (own,) = findings.list_findings(tabulate_study("other"))
    assert own.startswith("**mine.** 1 of 2 networks trains; the best by validation, `mine_L2_K8`,")


REST = [x for x in build_results("exp1_1", epochs=3) if x.name != "exp1_1_L4_K32"]


@pytest.mark.parametrize(
    ("name", "results", "missing", "end"),
    [
        (
            "part3_q2_2",
            [],
            {"exp1_1": ["a"], "exp1_5": ["b"]},
            "Experiments `exp1_1` and `exp1_5` have no result yet.",
        ),
        (
            "part3_q2_2",
            REST,
            {"exp1_1": ["exp1_1_L4_K32"], "exp1_5": ["a"]},
            "Experiment `exp1_5` has no result yet. Without a result: `exp1_1_L4_K32`.",
        ),
        (
            "part3_q2_1",
            REST,
            {"exp1_1": [f"r{i}" for i in range(9)]},
            "`r0`, `r1`, `r2`, `r3` and 5 more.",
        ),
        (
            "part3_q4",
            [],
            {},
            "Experiment `exp1_3` is not part of this study as the assignment defines it.",
        ),
    ],
)
def test_what_is_missing_is_named(name, results, missing, end):
    assert findings.answer(name, tabulate(results, missing)).endswith(end)


def test_what_was_never_planned_is_not_mentioned_by_an_answer_that_has_something_to_say():
    text = findings.answer("part3_q6_2", tabulate(build_results("exp2", epochs=3)))
    assert text.startswith("The custom network reaches")
    assert "exp1" not in text


def test_a_run_that_trains_in_part_of_its_seeds_is_said_to():
    results = build_results("exp1_1", seeds=(0, 1, 2), epochs=3)
    text = findings.answer("part3_q2_2", tabulate(results))
    assert "`exp1_1_L8_K32` in 2 of 3 seeds and `exp1_1_L8_K64` in 2 of 3 seeds" in text
    pairs = tabulate_pairs(tabulate([*results, *build_results("exp1_4", epochs=3)]))
    assert "(2 of 3 seeds)" in pairs.set_index("Network")["Plain (%)"]["L = 8, K = 32"]


def test_the_depth_up_to_which_networks_train_is_said_of_an_experiment():
    """Residual networks, in the same report, train with more convolutions."""
    text = findings.answer("part3_q4", tabulate(build_results(epochs=3)))
    borders = re.findall(
        r"[^.]*with up to \d+ convolutions train", re.sub(r"1\.(\d)", r"1_\1", text)
    )
    assert [text.strip()[:18] for text in borders] == ["In experiment 1_3,", "In experiment 1_1,"]


def test_the_ablation_says_what_each_change_is_worth():
    results = build_results("exp2_ablation", epochs=3)
    gains = tabulate_changes(tabulate(results)).set_index("Change")["Gain"]
    tests = {x.name.removesuffix("_L3_K32-64-128"): x.test.accuracy for x in results}
    worth = tests["exp2_ablation_full"] - tests["exp2_ablation_no_cutout"]
    assert gains["Cutout"] == f"{worth:+.1f}"
    assert "Gain" not in tabulate_changes(tabulate([]))
    stuck = [x.model_copy(update=CHANCE_CURVES) if "no_batchnorm" in x.name else x for x in results]
    study = tabulate(stuck)
    (broken,) = select(tabulate_changes(study), Gain="does not train without")["Change"]
    text = findings.answer("part3_q6_1", study)
    assert f"Without {broken[0].lower()}{broken[1:]} the network does not train." in text


def test_gains_are_named_by_what_the_run_leaves_out():
    text = findings.answer("part3_q6_1", tabulate(build_results("exp2_ablation", epochs=3)))
    ablation = text[text.index("In the ablation") :]
    # no_augmentation has no cutout either, no_shortcuts no division, and no run a hidden layer.
    assert "flips, shifts and cutout (" in ablation
    assert "identity shortcuts and the division of" in ablation
    assert "global average pooling instead of flattening the last feature map (" in ablation
    assert "hidden" not in ablation
    assert "significant" not in ablation  # one seed
    assert "pre-activation" not in ablation


def test_nothing_is_said_of_a_part_without_a_trained_full_network_of_the_same_seed():
    options = {"experiment": "exp2_ablation", "model": "ycn", "widths": (32, 64, 128), "epochs": 3}
    full, part = "exp2_ablation_full_L3_K32-64-128", "exp2_ablation_no_cutout_L3_K32-64-128"
    stuck = [build_result(full, status="at_chance", **options), build_result(part, **options)]
    other_seed = [build_result(full, **options), build_result(part, seed=1, **options)]
    mine = [build_result(f"mine_{x}_L2_K8", experiment="mine", epochs=3) for x in ("full", "half")]
    for study in map(tabulate, ([*stuck, *mine], [*other_seed, *mine])):
        assert "does not train" not in findings.answer("part3_q6_1", study)
        assert "Gain" not in tabulate_changes(study)
        assert describe_ablation(study)[0].startswith("No ablation has a full network that trains")


def test_the_ablation_is_drawn_with_the_numbers_of_its_text():
    others = [build_result(f"a_{x}_L2_K8", experiment="a", epochs=3) for x in ("full", "half")]
    results = build_results("exp2_ablation", seeds=(0, 1, 2), epochs=3)
    stuck = {("exp2_ablation_full_", 1), ("exp2_ablation_no_batchnorm_", 0)}
    results = [
        x.model_copy(update=CHANCE_CURVES) if (x.name.partition("L3")[0], x.seed) in stuck else x
        for x in results
    ]
    assert sum(judge_status(x) == "at_chance" for x in results) == 2
    study = tabulate([*others, *results])
    shown = compare_parts(study).set_index("label")["difference"]
    worth = measure_ablation(study)
    assert {label: pytest.approx(-points) for label, points in worth.items()} == dict(shown)


@pytest.mark.parametrize(
    ("name", "question", "model", "settings"),
    [
        ("exp1_1", "part3_q2_1", "cnn", [{"training": {"lr": lr}} for lr in (0.01, 0.1)]),
        ("exp1_2", "part3_q3", "cnn", [{"training": {"lr": lr}} for lr in (0.01, 0.1)]),
        ("exp1_4", "part3_q5", "resnet", [{"network": {"batchnorm": b}} for b in (True, False)]),
    ],
)
def test_an_experiment_that_varies_more_than_the_assignment_answers_no_question(
    name, question, model, settings
):
    results = [
        build_result(f"{name}_{label}_L{depth}_K32", experiment=name, model=model, depth=depth, **x)
        for label, x in zip("ab", settings, strict=True)
        for depth in (2, 4)
    ]
    said = f"Experiment `{name}` is not part of this study as the assignment defines it."
    assert findings.answer(question, keep_course(tabulate(results))) == said
    assert judge(tabulate(results)).empty
    assert name in keep_course(tabulate(results[:2])).runs["experiment"].tolist()


def test_an_edited_custom_network_is_not_described_as_the_original(study):
    said = "The code of the custom network was edited;"
    assert said not in findings.answer("part3_q6_1", study)
    codes = [{changes.CODE: code} for code in (changes.DESCRIBED, "0")]
    results = [
        build_result(f"exp2_L{depth}_K32", experiment="exp2", model="ycn", depth=depth, code=code)
        for depth, code in zip((2, 4), codes, strict=True)
    ]
    assert said not in findings.answer("part3_q6_1", tabulate(results[:1]))
    assert findings.answer("part3_q6_1", tabulate(results)).startswith(said)
    plain = build_result("exp1_1_L2_K32", depth=2)
    for own, described in ((results[:1], True), (results, False)):
        brief = findings.list_briefly(tabulate([plain, *own]))[-1]
        assert brief.startswith("The custom network")
        assert ("pre-activation" in brief) == described


def test_the_changes_are_those_of_the_code():
    """After an edit of the network: report/changes.csv, part3_q6.md.j2, and then the hash."""
    assert hash_modules([changes.CODE])[changes.CODE] == changes.DESCRIBED


@pytest.mark.parametrize("other", ["svhn", "cifar10"])
def test_an_experiment_on_another_data_set_is_not_compared_with_the_others(other):
    def build(experiment, model, depth, data):
        name = f"{experiment}_L{depth}_K32"
        options = {"experiment": experiment, "model": model, "data": {"name": data}}
        return build_result(name, depth=depth, **options)

    results = [build("exp1_1", "cnn", depth, "cifar10") for depth in (2, 4, 8)]
    results += [build("exp1_4", "resnet", depth, other) for depth in (2, 4)]
    study = keep_course(tabulate(results))
    said = "Experiment `exp1_4` is not part of this study as the assignment defines it."
    assert (said in findings.answer("part3_q5", study)) == (other == "svhn")
    assert tabulate_pairs(study).empty == (other == "svhn")
    mixed = [build("exp1_1", "cnn", 2, "cifar10"), build("exp1_1", "cnn", 4, other)]
    assert keep_course(tabulate(mixed)).runs.empty == (other == "svhn")


def test_runs_that_diverge_are_not_said_to_be_at_chance_or_to_end_at_their_last_loss():
    results = build_results("exp1_4", epochs=3)
    results += [
        build_result(f"exp1_1_L{depth}_K32", depth=depth, status=status, epochs=3)
        for depth, status in ((2, "trained"), (4, "trained"), (8, "diverged"), (16, "diverged"))
    ]
    study = tabulate(results)
    assert findings.list_briefly(study)[0].endswith(", and 2 of 2 deeper ones do not train.")
    assert set(select(tabulate_pairs(study), Difference="–")["Plain (%)"]) == {"does not train"}

    options = {"experiment": "part2_dropout", "model": "mlp", "widths": None}
    rates = {p: {"network": {"dropout": p}, **options} for p in (0, 0.4, 0.8)}
    dropout = [build_result(f"part2_dropout_{p}", **rates[p]) for p in (0.4, 0.8)]
    dropout += [build_result("part2_dropout_0", status="diverged", **rates[0])]
    study = tabulate(dropout)
    text = findings.answer("part2_q1_1", study)
    assert text.startswith("Left out, as the loss diverged: `part2_dropout_0` (one seed).")
    assert "for p = 0.4 and 0.8" in text
    assert "part2_dropout_0`" not in findings.answer("part2_q2", study)
    only = findings.answer("part2_q1_1", tabulate(dropout[2:]))
    assert only == "Left out, as the loss diverged: `part2_dropout_0` (one seed)."


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([3.0, 3.3, 3.6], "helps on new images"),
        ([-3.0, -3.3, -3.6], "hurts on new images"),
        ([1.0, -0.5, 0.4], "has no significant effect on new images with 3 seeds"),
        ([3.0], "changes accuracy on new images by +3.0 points"),
        ([4.0, 4.0], "2 seeds (p = 0.4: +4.0 points with every seed, which gives no interval)"),
    ],
)
def test_dropout_is_judged_by_paired_seeds(gains, verdict):
    options = {"experiment": "part2_dropout", "model": "mlp", "widths": None, "epochs": 3}
    results = [
        build_result(
            f"part2_dropout_{p}",
            seed=seed,
            network={"dropout": p},
            test_accuracy=40.0 + seed + bool(p) * gain,
            **options,
        )
        for p in (0, 0.4)
        for seed, gain in enumerate(gains)
    ]
    assert verdict in findings.answer("part2_q1_1", tabulate(results))


@pytest.mark.parametrize(
    ("loss", "accuracy", "verdict"),
    [
        (1.004, 70.4, "learns as fast and overfits as much: training loss ends at 1.00"),
        (1.1, 60.0, "learns more slowly and overfits less: training loss ends at 1.10"),
        (0.996, 69.5, "learns as fast and overfits as much: training loss ends at 1.00"),
        (0.9, 80.0, "learns faster and overfits more: training loss ends at 0.90"),
    ],
)
def test_dropouts_are_compared_as_they_are_shown(loss, accuracy, verdict):
    options = {"experiment": "part2_dropout", "model": "mlp", "widths": None, "epochs": 2}
    results = [
        build_result(
            f"part2_dropout_{p}",
            network={"dropout": p},
            train_loss=[2.0, loss],
            train_accuracy=[30.0, accuracy],
            validation_accuracy=[30.0, 40.0],
            **options,
        )
        for p, loss, accuracy in ((0.4, 1.0, 70.0), (0.8, loss, accuracy))
    ]
    text = findings.answer("part2_q1_2", tabulate(results))
    assert f"Compared with p = 0.4, p = 0.8 {verdict}" in text


def test_the_dropout_probability_is_chosen_by_the_best_epochs():
    options = {"experiment": "part2_dropout", "model": "mlp", "widths": None, "epochs": 2}
    curves = {0: [30.0, 31.0], 0.4: [32.0, 32.0], 0.8: [33.0, 31.0]}  # in the last epoch 0.4 leads
    results = [
        build_result(
            f"part2_dropout_{p}",
            network={"dropout": p},
            validation_accuracy=curve,
            test_accuracy=curve[0],
            **options,
        )
        for p, curve in curves.items()
    ]
    text = findings.answer("part2_q1_1", tabulate(results))
    assert "changes accuracy on new images by +3.0 points at p = 0.8" in text


def test_the_epoch_that_leaves_chance_level_follows_the_rule_of_a_trained_run():
    curves = {"train_accuracy": [10.0, 30.0, 30.0], "validation_accuracy": [10.0, 20.0, 20.0]}
    options = {"experiment": "exp1_2", "depth": 4, "epochs": 3}
    narrow = build_result("exp1_2_L4_K32", status="at_chance", **options)
    wide = build_result("exp1_2_L4_K64", widths=(64,), **options, **curves)
    text = findings.answer("part3_q3_layers", tabulate([narrow, wide]))
    assert "K = 64 leave chance level in epoch 2 and K = 32 never do" in text
    fallen = build_result(
        "exp1_2_L4_K32",
        **options,
        **{key: [20.0, 40.0, 10.0] for key in curves},
    )
    text_of_fallen = findings.answer("part3_q3_layers", tabulate([fallen, wide]))
    assert "in epoch 2 and K = 32 do not stay above it" in text_of_fallen
    seeds = [
        each.model_copy(update={"config": each.config | {"seed": 1}}) for each in (narrow, wide)
    ]
    mixed = build_result("exp1_2_L4_K64", widths=(64,), seed=2, **options | {"status": "at_chance"})
    assert findings.answer("part3_q3_layers", tabulate([narrow, wide, *seeds, mixed])) == text


def test_the_strongest_joint_rise_maximises_the_smaller_one():
    def build(run, losses, accuracies):
        curves = {"validation_loss": losses, "validation_accuracy": accuracies}
        return build_result(run, epochs=3, **curves)

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
