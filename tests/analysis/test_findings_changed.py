"""Checks what is said of studies in which the assignment's experiments are changed."""

import pandas as pd
import pytest
from result_documents import build_result, build_results, tabulate

from hw2core.analysis import findings
from hw2core.analysis.claims import judge
from hw2core.analysis.course import keep_course
from hw2core.analysis.figures.dots import compare_with_baselines
from hw2core.analysis.figures.key import select_baselines
from hw2core.analysis.findings.changes import tabulate_changes
from hw2core.analysis.findings.layers import tabulate_signal
from hw2core.analysis.publish import list_experiments
from hw2core.analysis.text import DASH

THREE = (0, 1, 2)


def build(experiment, networks, *, seeds=(0,), **options):
    """Return results of the assignment's experiment with networks of other names and options."""
    return [
        build_result(f"{experiment}_{name}", experiment=experiment, seed=seed, **own, **options)
        for seed in seeds
        for name, own in networks.items()
    ]


def build_widths(experiment, series, depths, **options):
    """Return results of every depth of every series of widths; wider networks are better."""
    networks = {
        f"L{depth}_K{'-'.join(map(str, widths))}": {
            "widths": widths,
            "depth": depth,
            "ceiling": 60.0 + depth + widths[0] / 4,
        }
        for widths in series
        for depth in depths
    }
    return build(experiment, networks, **options)


def say(question, results):
    return findings.answer(question, keep_course(tabulate(results)))


def test_steps_of_the_custom_network_are_from_depth_to_depth_at_one_width():
    results = build_widths("exp2", [(16, 32), (32, 64)], (3, 6), model="ycn")
    tests = {x.name.removeprefix("exp2_"): x.test.accuracy for x in results}
    steps = [tests[f"L6_K{k}"] - tests[f"L3_K{k}"] for k in ("16-32", "32-64")]
    text = say("part3_q6_2", results + build_results("exp1_1"))
    assert f"changes by {steps[0]:+.1f} and {steps[1]:+.1f} points" in text
    assert "for L = 3 and 6 at K = 16-32" in text
    assert "L = 3, K = 16-32 has" in text
    assert "L = 6, K = 32-64 has" in text


def test_a_depth_that_does_not_train_is_no_step():
    names = {f"L{depth}_K32": {"depth": depth} for depth in (3, 6, 9)}
    assert "From one depth to the next, the accuracy" in say(
        "part3_q6_2", build("exp2", names, model="ycn")
    )
    names["L6_K32"]["status"] = "at_chance"
    text = say("part3_q6_2", build("exp2", names, model="ycn"))
    assert "From one depth that trains to the next, the accuracy changes by" in text


@pytest.mark.parametrize("widths", [(64, 64, 64), (128, 64), (32,), (32, 64)])
def test_only_widths_that_grow_are_said_to(widths):
    results = build_widths("exp1_3", [widths], (1, 2))
    assert ("With growing width" in say("part3_q4", results)) == (widths == (32, 64))
    plain = build_widths("exp1_1", [(32,), widths], (2, 4))
    said = " ".join(findings.list_briefly(tabulate(plain)))
    assert ("Plain networks of one width" in said) == (len(widths) == 1)


def test_networks_of_growing_width_are_named_with_their_widths_if_there_are_two_series():
    text = say("part3_q4", build_widths("exp1_3", [(16, 32, 64), (64, 128, 256)], (1, 2)))
    assert "the networks with 3 and 6 convolutions at K = 16-32-64 reach" in text
    assert "the networks with 3 and 6 convolutions at K = 64-128-256 reach" in text
    both = build_results("exp1_1") + build_widths("exp1_3", [(16, 32), (32, 64)], (1, 2))
    assert "The best of them, L = 2, K = 32-64, is" in say("part3_q4", both)


@pytest.mark.parametrize(
    ("experiment", "question", "small", "large", "said", "claimed"),
    [
        ("exp1_2", "part3_q3", {"widths": (32,)}, {"widths": (256,)}, "Width helps wherever", True),
        ("exp1_1", "part3_q2_1", {"depth": 2}, {"depth": 8}, "L = 8 is the best depth", True),
        ("exp1_3", "part3_q4", {"depth": 2}, {"depth": 8}, "with 2 and 8 convolutions", True),
        ("exp2", "part3_q6_2", {"depth": 3}, {"depth": 12}, "changes by +", True),
        ("exp1_4", "part3_q5", {"depth": 2}, {"depth": 8}, "for L = 2 and 8 at", False),
    ],
)
def test_the_size_of_networks_orders_them_not_their_names(
    experiment, question, small, large, said, claimed
):
    model = {"exp2": "ycn", "exp1_4": "resnet"}.get(experiment, "cnn")
    networks = {}
    for label, size, ceiling in (("tiny", small, 65.0), ("huge", large, 80.0)):
        one = {"depth": 2, "widths": (32,), "ceiling": ceiling, **size}
        networks[f"{label}_L{one['depth']}_K{one['widths'][0]}"] = one
    results = build(experiment, networks, seeds=THREE, model=model)
    assert said in say(question, results)
    claims = judge(tabulate(results))
    assert (set(claims["verdict"]) == {"yes"}) == claimed
    assert claims["claim"].str.startswith(f"`{experiment}_huge").all()


def test_classes_are_those_of_the_networks_that_a_sentence_is_about():
    mine = build("exp5", {f"lr{i}_L2_K8": {} for i in range(40)}, data={"name": "cifar100"})
    text = say("part3_q2_2", build_results("exp1_1") + mine)
    assert "a loss of ln 10 = 2.303" in text
    curves = {"train_accuracy": [9.0, 30.0], "validation_accuracy": [9.0, 20.0]}
    one = build("exp1_2", {"L4_K64": {"widths": (64,), "depth": 4}}, epochs=2, **curves)
    other = build("exp1_2", {"L4_K32": {"depth": 4, "status": "at_chance"}}, epochs=2)
    assert "leave chance level in epoch 2" in say("part3_q3_layers", [*one, *other, *mine])


@pytest.mark.parametrize(
    ("fits", "said"),
    [
        ({0: 60.0}, "Training accuracy ends at"),
        ({0.4: 60.0}, "Training accuracy ends at"),
        ({0: 100.0, 0.4: 100.0}, "Dropout does not change the fit of the training images, and"),
        ({0: 90.0, 0.4: 80.0}, "Dropout changes the fit of the training images as expected"),
        ({0: 80.0, 0.4: 90.0}, "Dropout changes the fit of the training images but not in the"),
    ],
)
def test_an_effect_of_dropout_takes_two_probabilities_and_a_difference(fits, said):
    options = {"model": "mlp", "widths": None, "epochs": 2}
    networks = {
        str(p): {"network": {"dropout": p}, "train_accuracy": [20.0, fit]}
        for p, fit in fits.items()
    }
    assert say("part2_q1_1", build("part2_dropout", networks, **options)).startswith(said)


def test_one_depth_or_one_optimizer_is_not_called_the_best():
    one = build_widths("exp1_1", [(32,), (64,)], (2,))
    assert say("part3_q2_1", one).startswith("No two depths of one width can be compared: ")
    options = {"model": "mlp", "widths": None, "training": {"optimizer": "vanilla"}}
    text = say("part2_optim", build("part2_optim", {"vanilla": {}}, **options))
    assert text.startswith("SGD at learning rate 0.05 after 20 epochs: ")
    equal = {name: {"training": {"optimizer": name}} for name in ("vanilla", "rmsprop")}
    options = {"model": "mlp", "widths": None, "best_validation": 40.0}
    text = say("part2_optim", build("part2_optim", equal, **options))
    assert " at learning rate 0.05 is one of the 2 best by validation after 20 epochs: " in text


def test_a_choice_by_validation_that_the_test_images_contradict_is_said_to_be_one():
    accuracies = {2: (80.0, 70.0), 4: (79.0, 78.0)}  # validation and test
    networks = {
        f"L{depth}_K32": {"depth": depth, "best_validation": best, "test_accuracy": test}
        for depth, (best, test) in accuracies.items()
    }
    results = build("exp1_1", networks) + build_results("exp1_3", "exp2")
    (depth, *_, own) = findings.list_briefly(tabulate(results[:2] + results[-4:]))
    assert depth == (
        "Plain networks of one width (`exp1_1`) are most accurate by validation with L = 2."
    )
    assert "the best of `exp1_1` by validation." in own
    assert "the best of experiment 1.1 by validation (L = 2, K = 32: 70.0 %)" in say(
        "part3_q4", results
    )
    assert "experiment 1.1 by validation (" in say("part3_q6_2", results[:2] + results[-4:])


@pytest.mark.parametrize(
    "change", [{"initialization": "he"}, {"batchnorm": True}, {"activation_type": "elu"}]
)
def test_theory_is_only_given_where_it_holds(change):
    assert "(theory: √6 = 2.45)" in say("part3_q2_2", build_results("exp1_1"))
    assert "theory" not in say("part3_q2_2", build_results("exp1_1", network=change))


@pytest.mark.parametrize("change", [{"lr": 0.005}, {"batch_size": 64}])
def test_depths_that_are_trained_in_other_ways_answer_no_question(change):
    networks = {"a_L2_K32": {}, "b_L4_K32": {"depth": 4, "training": change}}
    results = build("exp1_1", networks, seeds=THREE)
    said = "Experiment `exp1_1` is not part of this study as the assignment defines it."
    assert say("part3_q2_1", results) == said
    assert judge(tabulate(results)).empty


def test_an_optimizer_that_does_not_train_has_no_accuracy_and_part_of_the_seeds_is_said():
    options = {"model": "mlp", "widths": None, "epochs": 3}
    names = ("vanilla", "momentum", "rmsprop")
    networks = {name: {"training": {"optimizer": name, "momentum": 0.9}} for name in names}
    networks["momentum"]["status"] = "diverged"
    networks["rmsprop"]["status"] = "at_chance"
    text = say("part2_optim", build("part2_optim", networks, **options))
    assert "; momentum SGD at 0.05 and RMSProp at 0.05 do not train." in text
    assert "–" not in text
    part = build("part2_optim", {"vanilla": networks["vanilla"]}, **options)
    part += build(
        "part2_optim",
        {"vanilla": networks["vanilla"] | {"status": "diverged"}},
        seeds=(1,),
        **options,
    )
    assert "% (1 of 2 seeds) test accuracy" in say("part2_optim", part)


def test_seeds_at_chance_level_are_no_part_of_what_dropout_does():
    options = {"model": "mlp", "widths": None, "epochs": 3}
    networks = {str(p): {"network": {"dropout": p}, "ceiling": 60.0} for p in (0, 0.8)}
    results = build("part2_dropout", networks, seeds=(0, 2), **options)
    stuck = {"0.8": {**networks["0.8"], "status": "at_chance"}}
    results += build("part2_dropout", stuck, seeds=(1,), **options)
    text = say("part2_q1_1", results)
    said = "Left out, as accuracy ends too close to chance level: `part2_dropout_0.8` (one seed). "
    assert text.startswith(said)
    assert text.removeprefix(said) == say("part2_q1_1", results[:-1])


def test_a_seed_at_chance_level_does_not_change_when_low_dropout_reaches_a_loss():
    options = {"model": "mlp", "widths": None, "epochs": 3}
    networks = {
        f"{p}": {"network": {"dropout": p}, "train_loss": losses}
        for p, losses in ((0.4, [2.0, 0.9, 0.3]), (0.8, [2.2, 1.5, 1.0]))
    }
    results = build("part2_dropout", networks, seeds=(0, 2), **options)
    stuck = {"0.4": {"network": {"dropout": 0.4}, "status": "at_chance"}}
    results += build("part2_dropout", stuck, seeds=(1,), **options)
    text = say("part2_q1_2", results)
    assert "(reached by p = 0.4 in epoch 2)" in text
    assert text == say("part2_q1_2", results[:-1])


def test_other_settings_of_compared_experiments_are_named_and_make_no_claim():
    plain = build("exp1_1", {"L8_K32": {"depth": 8}}, seeds=THREE)
    options = {"model": "resnet", "depth": 8, "ceiling": 90.0}
    alike, unlike = (
        build("exp1_4", {"L8_K32": options}, seeds=THREE, **change)
        for change in ({}, {"training": {"lr": 0.003}, "data": {"train": 44_000}})
    )
    said = "Experiments `exp1_4` and `exp1_1` also differ in `training.lr` and `data.train`."
    assert said in say("part3_q5", plain + unlike)
    assert "also differ" not in say("part3_q5", plain + alike)
    assert judge(tabulate(plain + unlike)).empty
    assert not judge(tabulate(plain + alike)).empty
    own = build("exp2", {"L3_K32": {"model": "ycn", "training": {"lr": 0.003, "epochs": 60}}})
    assert "also differ in `training.epochs`." in say("part3_q6_2", plain + own)


def test_page_one_compares_no_networks_of_other_recipes_and_names_no_absent_experiment():
    plain = build_widths("exp1_1", [(32,)], (2, 4))
    wide = build_widths("exp1_2", [(64,)], (2, 4))
    other = build_widths("exp1_2", [(64,)], (2, 4), training={"lr": 0.003})
    both, first = "(`exp1_1`, `exp1_2`)", "(`exp1_1`)"
    alone, alike, unlike = (
        " ".join(findings.list_briefly(tabulate(x))) for x in (plain, plain + wide, plain + other)
    )
    assert first in alone
    assert alike.count(both) == 2
    assert unlike == alone


def test_page_one_and_the_brief_sentences_say_in_what_experiments_also_differ():
    plain = build_results("exp1_1", "exp1_3")
    for changes, differs in (({}, False), ({"epochs": 60, "train_images": 44_000}, True)):
        study = tabulate(plain + build_results("exp1_4", "exp2", **changes))
        for sentences in (findings.list_findings(study), findings.list_briefly(study)):
            for name, start in (("exp1_4", "skip connections"), ("exp2", "he custom network")):
                (sentence,) = (x for x in sentences if start in x)
                said = f"`{name}` and `exp1_1` also differ in `training.epochs` and `data.train`."
                assert (said in sentence) == differs


def test_an_ablation_of_another_budget_than_the_network_is_said_to_be_one():
    for epochs, differs in ((20, False), (60, True)):
        results = build_results("exp2", epochs=epochs) + build_results("exp2_ablation")
        said = "Experiments `exp2` and `exp2_ablation` also differ in `training.epochs`."
        assert (said in say("part3_q6_1", results)) == differs


@pytest.mark.parametrize("change", [{"model": "resnet"}, {"network": {"batchnorm": True}}])
def test_networks_that_are_not_the_assignments_are_not_compared_with_public_solutions(change):
    other = build_widths("exp1_1", [(32,), (64,)], (2, 4), **change)
    study = tabulate(other + build_results("exp1_2"))
    assert "lain network" not in " ".join(say(f"part3_q2_{x}", other) for x in (1, 2))
    public = compare_with_baselines(study).dropna(subset="median")
    assert set(public["experiment"]) == {"exp1_2"}
    assert set(select_baselines(study)["family"]) == {"plain"}
    table = list_experiments(study).set_index("Experiment")["Public median, best (%)"]
    assert table["exp1_1"] == DASH != table["exp1_2"]


@pytest.mark.parametrize("network", [{"kernel_size": 5}, {"activation_type": "gelu"}])
def test_networks_of_other_convolutions_are_not_compared_with_public_solutions(network):
    study = tabulate(build_results("exp1_1", network=network) + build_results("exp1_2", "exp2"))
    public = compare_with_baselines(study).dropna(subset="median")
    assert set(public["experiment"]) == {"exp1_2", "exp2"}


def test_what_all_plain_networks_have_too_is_no_change_of_the_custom_one():
    recipe, own = {"label_smoothing": 0.1}, {"cutout": 8}
    for plain, network, left_out in (
        ({}, {}, set()),
        (recipe | own, {}, {"Label smoothing", "Cutout"}),
        ({}, {"initialization": "he", "hidden_dims": []}, {"He init", "No hidden"}),
    ):
        results = build_results("exp1_1", training=plain, network=network)
        results += build(
            "exp2",
            {"L3_K32": {"depth": 3}},
            model="ycn",
            training=recipe | own,
            network={"hidden_dims": []},
        )
        study = tabulate(results)
        changes = tabulate_changes(study)["Change"]
        for start in ("Label smoothing", "Cutout", "He init", "No hidden"):
            assert changes.str.startswith(start).any() == (start not in left_out)
        assert f"has {len(changes)} changes" in say("part3_q6_1", results)
    results = build_results("exp1_1", training={"cutout": 4})
    results += build("exp2", {"L3_K32": {"depth": 3}}, model="ycn", training=own)
    assert "`training.cutout` is 8 instead of 4" in say("part3_q6_1", results)


@pytest.mark.parametrize(
    ("network", "what", "why"),
    [
        ({"hidden_dims": []}, "No hidden", "Same reason"),
        ({"hidden_dims": [], "head": "flatten"}, "No hidden", "A linear layer on the flattened"),
        ({}, "He init", "Same reason"),
        ({"batchnorm": False}, "He init", "With PyTorch's initialisation, the signal shrinks"),
    ],
)
def test_the_reason_of_a_change_is_that_of_the_row_before_only_if_it_is_there(network, what, why):
    changes = tabulate_changes(tabulate(build_results("exp2", network=network)))
    (reason,) = changes.loc[changes["Change"].str.startswith(what), "Why"]
    assert reason.startswith(why)


def test_other_changes_of_the_recipe_of_the_custom_network_are_named():
    own = {"optimizer": "adamw", "weight_decay": 0.01, "label_smoothing": 0.1}
    plain = build_results("exp1_1")
    results = build("exp2", {"L3_K32": {"depth": 3}}, model="ycn", training=own)
    text = say("part3_q6_1", results + plain)
    assert "`training.optimizer` is adamw instead of sgd" in text
    assert "`training.weight_decay` is 0.01 instead of 0.0" in text
    assert "training.label_smoothing" not in text  # in the table
    assert "In addition" not in say("part3_q6_1", build_results("exp2") + plain)
    network = {"activation_type": "gelu", "dropout": 0.3, "hidden_dims": [256]}
    text = say("part3_q6_1", build_results("exp2", network=network) + plain)
    assert "`architecture.activation_type` is gelu instead of relu" in text
    assert "`architecture.dropout` is 0.3 instead of 0.0" in text
    assert "`architecture.hidden_dims` is [256] instead of [128]" in text


def test_the_fit_of_the_training_images_is_that_of_the_last_epoch():
    """Here the deeper network overfits: its best epoch is the first of two."""
    curves = {2: ([70.0, 78.0], [60.0, 64.0]), 4: ([70.0, 100.0], [70.0, 66.0])}
    networks = {
        f"L{depth}_K32": {"depth": depth, "train_accuracy": train, "validation_accuracy": valid}
        for depth, (train, valid) in curves.items()
    }
    text = say("part3_q2_1", build("exp1_1", networks, epochs=2))
    assert (
        "In the training accuracy of the last epoch, the best depth differs from the next best "
        in text
    )
    assert "by +22.0 points: it also fits" in text


def test_an_accuracy_that_a_network_reached_before_it_failed_is_that_of_a_seed():
    lost = {"validation_accuracy": [62.0, 10.0], "train_accuracy": [60.0, 10.0]}
    results = build("exp1_1", {"L8_K32": {"depth": 8, **lost}}, epochs=2)
    stuck = {"L8_K32": {"depth": 8, "status": "at_chance"}}
    results += build("exp1_1", stuck, seeds=(1, 2), epochs=2)
    assert "(`exp1_1_L8_K32` up to 62.0 % before)" in say("part3_q2_2", results)


def test_depths_of_the_custom_network_that_do_not_train_are_named():
    names = {f"L{depth}_K32": {"depth": depth} for depth in (3, 6)}
    names["L6_K32"]["status"] = "at_chance"
    results = build("exp2", names, model="ycn")
    assert "for L = 3; L = 6 does not train at K = 32." in say("part3_q6_2", results)
    (found,) = findings.list_findings(tabulate(results))
    assert "L = 6 does not train at K = 32." in found


def test_a_best_depth_that_fails_with_a_seed_is_said_to_in_the_brief_sentences():
    results = build_widths("exp1_1", [(32,)], (2, 4), seeds=THREE)
    said = ", which does not train with every seed"
    assert said not in findings.list_briefly(tabulate(results))[0]
    stuck = build_result("exp1_1_L4_K32", depth=4, seed=3, status="at_chance")
    assert f"with L = 4{said}." in findings.list_briefly(tabulate([*results, stuck]))[0]


def test_runs_of_the_ablation_that_lack_no_part_are_compared_with_the_full_network():
    networks = {
        "full": {"network": {"activation_type": "relu"}, "test_accuracy": 80.0},
        "no_cutout": {"training": {"cutout": 0}, "test_accuracy": 79.0},
        "leaky": {"network": {"activation_type": "lrelu"}, "test_accuracy": 84.0},
        "no_smoothing": {"training": {"label_smoothing": 0.0, "epochs": 60}, "test_accuracy": 81.0},
        "high_rate": {"training": {"lr": 1.0}, "status": "at_chance"},
    }
    for options in networks.values():
        used = {"cutout": 8, "label_smoothing": 0.1}
        options["training"] = used | options.get("training", {})
        options["network"] = {"activation_type": "relu"} | options.get("network", {})
    results = build("exp2_ablation", networks, model="ycn")
    text = say("part3_q6_1", results)
    assert "without each part: cutout (+1.0)." in text
    assert (
        "`leaky` differs from the full network by +4.0 points "
        "(`architecture.activation_type` is lrelu instead of relu); "
    ) in text
    assert (
        "`no_smoothing` differs from the full network by +1.0 points (`training.epochs` is" in text
    )
    assert "Of the other runs, `high_rate` does not train (the learning rate is 1.0 instead" in text
    gains = tabulate_changes(tabulate(results)).set_index("Change")["Gain"]
    assert (gains["Cutout"], gains["Label smoothing"]) == ("+1.0", "not measured")


def test_compared_experiments_of_other_architectures_are_said_to_differ_and_make_no_claim():
    def build_both(experiment, model, **changes):
        networks = {f"bn_L{depth}_K32": {"depth": depth} for depth in (8, 16)}
        return build(experiment, networks, seeds=THREE, model=model, **changes)

    plain = build_both("exp1_1", "cnn", status="at_chance")
    other = {"hidden_dims": [512], "pool_every": 4, "batchnorm": True}
    hidden, pools = "`architecture.hidden_dims`", "`architecture.pools`"
    for name, model, question, differs in (
        ("exp1_4", "resnet", "part3_q5", f"`exp1_4` and `exp1_1` also differ in {hidden}."),
        ("exp1_5", "cnn", "part3_q2_2", f"and `exp1_5` also differ in {hidden} and {pools}."),
    ):
        alike = plain + build_both(name, model, network={"batchnorm": True})
        unlike = plain + build_both(name, model, network=other)
        assert "also differ" not in say(question, alike)
        assert differs in say(question, unlike)
        assert not judge(tabulate(alike)).empty
        assert judge(tabulate(unlike)).empty


def test_the_full_network_of_the_ablation_is_that_of_experiment_2_or_said_not_to_be():
    parts = {
        label: {"depth": 3, "training": {"cutout": size}}
        for label, size in {"full": 8, "no_cutout": 0}.items()
    }
    own = {"training": {"cutout": 0}, "network": {"hidden_dims": [256]}}
    ablation = build("exp2_ablation", parts, model="ycn")
    text = say("part3_q6_1", ablation + build("exp2", {"L3_K32": {"depth": 3}}, model="ycn", **own))
    assert "also differ in `architecture.hidden_dims` and `training.cutout`." in text


def test_remedies_that_are_combined_are_not_said_to_be_tried_one_at_a_time():
    plain = build("exp1_1", {"L8_K32": {"depth": 8, "status": "at_chance"}})
    norm, he = {"batchnorm": True}, {"initialization": "he"}

    def build_remedies(**networks):
        residual = {"residual_L8_K32": {"depth": 8, "model": "resnet"}}
        named = {f"{x}_L8_K32": {"depth": 8, "network": own} for x, own in networks.items()}
        return plain + build("exp1_5", named | residual) + build_results("exp1_4")

    single, both = build_remedies(bn=norm, he=he), build_remedies(bn=norm | he, he=he)
    said = say("part3_q2_2", single)
    assert (
        "One remedy at a time was tried (experiment 1.5) for L = 8, K = 32: with batch norm" in said
    )
    assert "Several changes" not in said
    assert "Batch norm alone and shortcuts alone" in say("part3_q5", single)
    said = say("part3_q2_2", both)
    assert "for L = 8, K = 32: with He initialisation, it trains" in said
    assert (
        "Several changes at once were tried (experiment 1.5) for L = 8, K = 32: with `bn` "
        "(`architecture.batchnorm` and `architecture.initialization`), it trains"
    ) in said
    assert "with batch norm," not in said
    assert "alone" not in say("part3_q5", both)
    assert "batch norm" not in set(tabulate_signal(keep_course(tabulate(both)))["Remedy"])


@pytest.mark.parametrize("budget", [{"batch_size": 500}, {"batches": 50}, {"epochs": 30}])
def test_optimizers_of_other_budgets_are_not_compared(budget):
    options = {"model": "mlp", "widths": None, "seeds": THREE}
    runs = {x: {"training": {"optimizer": x}} for x in ("vanilla", "momentum")}
    assert not judge(tabulate(build("part2_optim", runs, **options))).empty
    runs["vanilla"]["training"] |= budget
    results = build("part2_optim", runs, **options)
    said = "Experiment `part2_optim` is not part of this study as the assignment defines it."
    assert say("part2_optim", results) == said
    assert judge(tabulate(results)).empty


@pytest.mark.parametrize(
    ("numbers", "said", "code"),
    [
        ("1", "experiment 1.1", "`exp1_1`"),
        ("13", "experiments 1.1 and 1.3", "`exp1_1` and `exp1_3`"),
        ("124", "experiments 1.1, 1.2 and 1.4", "`exp1_1`, `exp1_2` and `exp1_4`"),
        ("1234", "experiments 1.1 to 1.4", "`exp1_1` to `exp1_4`"),
    ],
)
def test_the_custom_network_is_compared_with_the_experiments_that_have_results(numbers, said, code):
    names = [f"exp1_{number}" for number in numbers]
    results = build_results("exp2", *names)
    waiting = {f"exp1_{number}": ["planned"] for number in "1234" if number not in numbers}
    for study in (tabulate(results), tabulate(results, waiting)):
        assert f" the best of {said} (" in findings.answer("part3_q6_2", study)
        assert f" the best of {said} (" in " ".join(findings.list_findings(study))
        assert f" the best of {code}." in findings.list_briefly(study)[-1]


HE, NORM, LONG = {"initialization": "he"}, {"batchnorm": True}, {"warmup": 0.5}


def build_remedies(plain=None, **labels):
    """Return plain networks with the options ``plain``, and experiment 1.5 with these labels."""
    deep = {"depth": 8, **(plain or {})}
    stuck = build("exp1_1", {"L8_K32": {**deep, "status": "at_chance"}}, seeds=range(6))
    named = {f"{label}_L8_K32": {"depth": 8, **own} for label, own in labels.items()}
    return stuck + build("exp1_5", named, seeds=range(6))


FAILS = {"status": "at_chance"}


@pytest.mark.parametrize(
    ("remedies", "named"),
    [
        ({}, True),
        ({"he": {"network": HE}}, True),
        ({"he": {"network": HE} | FAILS, "bn": {"network": NORM} | FAILS}, False),
        ({"warmup": {"training": LONG} | FAILS}, True),  # it does not keep the signal
    ],
)
def test_the_cause_is_not_named_where_no_remedy_helps(remedies, named):
    trained = build("exp1_1", {"L2_K32": {"depth": 2}}, seeds=range(6))
    study = tabulate(trained + build_remedies(**remedies))
    assert findings.depth.names_cause(study) == named


def test_where_a_network_trains_with_some_seeds_only_it_is_not_said_to_train():
    results = build("exp1_1", {"L4_K32": {"depth": 4}})
    assert say("part3_q2_2", results).startswith("Every network of experiment 1.1 trains.")
    results += build("exp1_1", {"L4_K32": {"depth": 4, "status": "at_chance"}}, seeds=[9])
    assert say("part3_q2_2", results).startswith("Every network of experiment 1.1 trains with at")


@pytest.mark.parametrize("others", [[], ["at_chance"] * 2])
def test_of_runs_that_diverge_no_activations_are_said(others):
    statuses = ["diverged", *others]
    results = build_remedies()
    for seed, status in enumerate(statuses):
        deep = {"depth": 8, "network": HE, "status": status}
        results += build("exp1_5", {"he_L8_K32": deep}, seeds=[seed])
    said = findings.answer("part3_q2_layers", tabulate(results))
    assert f"the loss diverges in 1 of {len(statuses)} runs." in said
    assert ("are dead at the end; the loss" in said) == bool(others)
    assert "does not train at K = 32" in said


def test_a_main_path_is_dead_only_at_the_depths_where_it_is(monkeypatch):
    ends = {8: 0.2, 16: 0.001}
    signal = pd.DataFrame({"depth": ends.keys(), "main_over_shortcut_end": ends.values()})
    values = {"run": "residual", "label": "residual", "status": "trained"}
    signal = signal.assign(**values, main_over_shortcut_start=0.05)
    monkeypatch.setattr(findings.layers, "measure_signal", lambda *_: signal)
    monkeypatch.setattr(findings.layers, "name_remedies", lambda _: {"residual": ""})
    said = findings.answer("part3_q2_layers", tabulate(build_remedies(residual={})))
    assert "At L = 16, the main path is almost dead" in said


def list_claimed(results):
    """Return the labels of experiment 1.5 in the claims."""
    return set(judge(tabulate(results))["claim"].str.extract("train with `(.*)`")[0].dropna())


@pytest.mark.parametrize(
    ("plain", "twin"),
    [({"network": HE}, "he"), ({"training": LONG}, "warmup")],
)
def test_a_remedy_that_changes_nothing_is_not_said_to_be_tried(plain, twin):
    residual = {"model": "resnet", **plain}
    results = build_remedies(plain, **{twin: plain, "same": plain, "residual": residual})
    study = keep_course(tabulate(results))
    said = "One remedy at a time was tried (experiment 1.5) for L = 8, K = 32: with residual blocks"
    assert said in findings.answer("part3_q2_2", study)
    assert "; with" not in findings.answer("part3_q2_2", study)
    assert list(tabulate_signal(study)["Remedy"]) == ["none", "residual blocks"]
    assert list_claimed(results) == {"residual"}
    only = build_remedies(plain, **{twin: plain})
    assert "tried" not in say("part3_q2_2", only)
    assert list_claimed(only) == set()


@pytest.mark.parametrize(
    ("label", "change", "known", "said"),
    [
        ("he", {"network": HE}, "He initialisation", "One remedy"),
        ("bn", {"network": NORM}, "batch norm", "One remedy"),
        ("residual", {"model": "resnet"}, "residual blocks", "One remedy"),
        ("warmup", {"training": LONG}, "a longer warm-up", "One remedy"),
        ("warmup", {"training": {"warmup": 0.1}}, "`warmup` (`training.warmup`)", "One change"),
        ("he", {"training": LONG}, "`he` (`training.warmup`)", "One change"),
        ("bn", {"network": HE}, "`bn` (`architecture.initialization`)", "One change"),
        ("residual", {"network": NORM}, "`residual` (`architecture.batchnorm`)", "One change"),
        ("wide", {"network": {"activation_type": "elu"}}, "`wide` (", "One change"),
    ],
)
def test_a_remedy_has_its_name_only_if_it_alone_is_what_a_label_changes(label, change, known, said):
    results = build_remedies(**{label: change}, other={"network": {"pooling_type": "avg"}})
    results = [x for x in results if "other" not in x.name or said == "One change"]
    text = say("part3_q2_2", results)
    assert f"{said} at a time was tried (experiment 1.5) for L = 8, K = 32: with " in text
    assert f"with {known}" in text
    (remedy,) = set(tabulate_signal(keep_course(tabulate(results)))["Remedy"]) - {"none", "other"}
    assert remedy == (label if known.startswith("`") else known)


def test_what_batch_norm_alone_reaches_is_that_of_a_label_that_changes_nothing_else():
    said = "Batch norm alone and shortcuts alone (experiment 1.5) reach"
    networks = {"bn": {"network": NORM}, "residual": {"model": "resnet"}}
    others = build_results("exp1_4")
    assert said in say("part3_q5", build_remedies(**networks) + others)
    networks["bn"] = {"network": HE}
    assert said not in say("part3_q5", build_remedies(**networks) + others)
    assert "alone" not in say("part3_q5", build_remedies(**networks)[6:] + others)


def build_ablation(recipe, **labels):
    """Return the full network with a recipe, and runs that change it, in experiment 2 as well."""
    full = {**recipe, "lr": 0.1}
    parts = {
        f"{label}_L3_K32": {"training": full | change, "test_accuracy": 80.0 - place}
        for place, (label, change) in enumerate({"full": {}, **labels}.items())
    }
    options = {"model": "ycn", "depth": 3}
    own = build("exp2", {"L3_K32": {"training": full}}, **options)
    return own + build("exp2_ablation", parts, **options)


FLIP, SHIFT, CUTOUT = {"flip": True}, {"translate": 4}, {"cutout": 8}
NO_FLIP, NO_SHIFT, NO_CUTOUT = {"flip": False}, {"translate": 0}, {"cutout": 0}
NONE = NO_FLIP | NO_SHIFT | NO_CUTOUT


@pytest.mark.parametrize(
    ("recipe", "without", "said"),
    [
        (FLIP | SHIFT | CUTOUT, NONE, "each part: flips, shifts and cutout (+1.0)."),
        (FLIP | SHIFT | NO_CUTOUT, NONE, "each part: flips and shifts (+1.0)."),
        (FLIP | NO_SHIFT | CUTOUT, NONE, "each part: flips and cutout (+1.0)."),
        (NO_FLIP | SHIFT | NO_CUTOUT, NONE, "each part: shifts (+1.0)."),
        (FLIP | SHIFT | CUTOUT, NO_FLIP | NO_SHIFT, "each part: flips and shifts (+1.0)."),
        (NO_FLIP | NO_SHIFT | CUTOUT, NONE, "−1.0 points (`training.cutout` is 0 instead of 8)."),
        (FLIP | SHIFT | CUTOUT, NO_FLIP | {"translate": 2}, "`training.translate` is 2 instead"),
        (FLIP | SHIFT | CUTOUT, NONE | {"lr": 0.5}, "the learning rate is 0.5 instead of 0.1"),
        (NONE, NONE, "Of the other runs, `no_augmentation` is the full network itself."),
    ],
)
def test_augmentation_is_named_by_what_the_run_without_it_lacks(recipe, without, said):
    results = build_ablation(recipe, no_augmentation=without)
    text = say("part3_q6_1", results)
    assert said in text
    assert ("without each part: " in text) == said.startswith("each part")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (NO_CUTOUT, "without each part: cutout (+1.0)."),
        ({"cutout": 4}, "`no_cutout` differs from the full network by −1.0 points (`training.cut"),
        (NO_FLIP, "`no_cutout` differs from the full network by −1.0 points (`training.flip` is"),
        ({}, "`no_cutout` is the full network itself."),
    ],
)
def test_a_part_of_the_ablation_is_one_that_its_run_lacks(change, said):
    results = build_ablation(FLIP | SHIFT | CUTOUT, no_cutout=change)
    assert said in say("part3_q6_1", results)
    assert ("Gain" in tabulate_changes(tabulate(results))) == (change == NO_CUTOUT)


def test_an_optimizer_is_named_by_its_setting_not_by_its_label():
    options = {"model": "mlp", "widths": None, "epochs": 3}
    optimizers = {"rmsprop": "momentum", "mine": "vanilla"}
    networks = {
        label: {"training": {"optimizer": name, "momentum": 0.9 * (name == "momentum")}}
        for label, name in optimizers.items()
    }
    text = say("part2_optim", build("part2_optim", networks, **options))
    assert "momentum SGD at" in text
    assert "RMSProp" not in text
    assert "`mine`" not in text


CLEAR, UNCLEAR = (4.9, 5.0, 5.1), (-1.0, 0.2, 1.0)  # points lost without a part, by seed


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ((CLEAR, UNCLEAR), "Of these differences, only that of cutout is significant over seeds."),
        ((CLEAR, CLEAR), "Of these differences, all are significant over seeds."),
        ((UNCLEAR, UNCLEAR), "Of these differences, none is significant over seeds."),
        ((CLEAR,), "The difference is significant over seeds."),
        ((UNCLEAR,), "The difference is not significant over seeds."),
        ((CLEAR[:1], UNCLEAR[:1]), None),
        ((CLEAR, CLEAR[:1]), "That of cutout, the only one with several seeds, is significant"),
        ((UNCLEAR, CLEAR[:1]), "That of cutout, the only one with several seeds, is not signif"),
        ((CLEAR, CLEAR, CLEAR[:1]), "Of the 2 differences with several seeds, all are signif"),
    ],
)
def test_the_ablation_says_what_is_significant_over_seeds(lost, said):
    recipe = CUTOUT | {"label_smoothing": 0.1}
    recipe["average"] = 0.01
    off = {"no_cutout": "cutout", "no_smoothing": "label_smoothing", "no_average": "average"}
    without = {label: {key: 0} for label, key in off.items()}
    results = []
    for seed in range(len(lost[0])):
        networks = {"full_L3_K32": {"training": recipe, "test_accuracy": 80.0}}
        for (label, change), points in zip(without.items(), lost, strict=False):
            if seed >= len(points):
                continue
            accuracy = 80.0 - points[seed]
            networks[f"{label}_L3_K32"] = {"training": recipe | change, "test_accuracy": accuracy}
        results += build(
            "exp2", {"L3_K32": {"training": recipe}}, seeds=[seed], model="ycn", depth=3
        )
        results += build("exp2_ablation", networks, seeds=[seed], model="ycn", depth=3)
    text = say("part3_q6_1", results)
    assert said in text if said else "significant" not in text
    gains = tabulate_changes(tabulate(results)).set_index("Change")["Gain"]
    if lost[0] == CLEAR:
        assert gains["Cutout"] == "+5.0 (+4.8 to +5.2)"


def test_a_gain_says_with_which_share_of_the_seeds_it_was_measured():
    recipe, results = CUTOUT, []
    for seed, status in enumerate(("trained", "at_chance", "at_chance")):
        results += build("exp2", {"L3_K32": {"training": recipe}}, seeds=[seed], model="ycn")
        networks = {
            "full_L3_K32": {"training": recipe, "test_accuracy": 80.0},
            "no_cutout_L3_K32": {
                "training": recipe | NO_CUTOUT,
                "status": status,
                "test_accuracy": 80.2 if status == "trained" else 10.0,
            },
        }
        results += build("exp2_ablation", networks, seeds=[seed], model="ycn", depth=3)
    gain = "−0.2 with 1 of 3 seeds"
    assert f"without each part: cutout ({gain});" in say("part3_q6_1", results)
    gains = tabulate_changes(tabulate(results)).set_index("Change")["Gain"]
    assert gains["Cutout"] == gain


def test_page_one_joins_the_seeds_that_a_network_has_under_two_names():
    """Experiment 1.2 has two seeds of the network that experiment 1.1 has one of."""
    narrow = build_widths("exp1_1", [(32,)], (2, 4))
    wide = build_widths("exp1_2", [(32,), (64,)], (2, 4), seeds=(0, 1))
    deep = {"depth": 4, "widths": (32,)}
    stuck = [
        build_result("exp1_1_L4_K32", experiment="exp1_1", status="at_chance", **deep),
        build_result("exp1_2_L4_K32", experiment="exp1_2", status="at_chance", **deep),
    ]
    replaced = {(x.name, x.seed) for x in stuck}
    results = [x for x in narrow + wide if (x.name, x.seed) not in replaced]
    said = " ".join(findings.list_briefly(tabulate([*results, *stuck])))
    assert "deeper ones do not train" not in said
    assert "deeper ones does not train" not in said
