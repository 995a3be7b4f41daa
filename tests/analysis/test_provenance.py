import pandas as pd
import pytest
from result_documents import build_result, build_results, tabulate

from hw2core.analysis import provenance


def test_runs_are_those_of_the_summary_and_those_without_a_result():
    study = tabulate(
        build_results("exp1_1", seeds=(0, 1), epochs=3), {"exp2": ["exp2_L3_K32-64-128"]}
    )
    shown = provenance.list_runs(study)
    assert list(shown["Run"]) == [*study.summary["run"], "exp2_L3_K32-64-128"]
    assert list(shown["Parameters"][:-1]) == list(study.summary["parameters"])
    trained = shown.set_index("Run")["Trained"]
    assert trained["exp1_1_L8_K32"] == "1 of 2"
    assert trained["exp2_L3_K32-64-128"] == "not run"


def test_settings_are_shared_or_by_experiment():
    results = build_results("exp1_1", "exp1_3", epochs=3)
    results[-1].config["training"] |= {"lr": 0.1, "nesterov": True}
    shared, others = provenance.list_settings(tabulate(results).runs)
    assert dict(shared.values)["training.optimizer"] == "sgd"
    values = others.set_index("Setting")
    assert values.loc["training.lr", "exp1_1"] == "0.05"
    assert values.loc["training.lr", "exp1_3"] == "0.05, 0.1"
    assert values.loc["architecture.filters_per_layer", "exp1_3"] == "64-128-256"


def test_processors_are_named_without_their_trademarks():
    names = ["Intel(R) Xeon(R) Processor", "AMD EPYC", "Intel(R) Core(TM) i7 CPU"]
    runs = pd.DataFrame({"processor": names, "precision": "fp32", "same_as": pd.NA})
    said = (
        "Trained on Intel Xeon in fp32 (one run), AMD EPYC in fp32 (one run) and Intel Core i7 in"
    )
    assert said in provenance.describe_machines(runs)


def test_machines_and_provenance_count_the_trained_runs_of_each():
    results = build_results("exp1_3", epochs=2)
    change = {"device": "cuda", "git_commit": None, "seconds": 7200.0}
    results += [
        build_result("exp1_2_L2_K64", experiment="exp1_2", **change),
        build_result("exp1_2_L4_K64", experiment="exp1_2", same_as="exp1_2_L2_K64", **change),
    ]
    results[-1] = results[-1].model_copy(update={"spec_hash": results[-2].spec_hash})
    study = tabulate(results)
    machines = provenance.list_machines(study.runs).set_index("Device")
    assert machines.loc["cuda", "Runs"] == 1  # the shared one was not trained
    assert machines.loc["cuda", "Sum of hours"] == 2.0
    origins = provenance.list_provenance(study).set_index(["What", "Value"])["Runs"]
    assert origins["commit", "not recorded"] == 1
    assert origins["torch", "2.14.0"] == len(results) - 1
    assert f"({len(results) - 1} runs)" in provenance.describe_machines(study.runs)


def test_networks_of_one_code_have_one_hash_whatever_their_arguments():
    def build(name: str, loop: str, arguments: str):
        code = {"hw2core.training": loop, "hw2core.config.networks": arguments}
        return build_result(name).model_copy(update={"code": code, "code_hash": loop + arguments})

    results = [build("a_L2_K8", "1" * 16, "2" * 16), build("b_L2_K8", "1" * 16, "3" * 16)]
    rows = provenance.list_provenance(tabulate([*results, build("c_L2_K8", "4" * 16, "2" * 16)]))
    assert list(rows[rows["What"].str.startswith("code of model cnn")]["Runs"]) in ([1, 2], [2, 1])


@pytest.mark.parametrize(
    ("results", "missing", "said"),
    [
        ([], {}, ""),
        (
            build_results("exp1_1"),
            {"exp2": ["a", "b"], "e": ["c"] * 9},
            "`a`, `b` and 9 runs of `e`",
        ),
    ],
)
def test_the_scope_is_counted(results, missing, said):
    study = tabulate(results, missing)
    assert provenance.describe_missing(study) == said
    scope = provenance.describe_scope(study)
    counts = ("8 ", "20,000 ", "for 20 epochs") if results else ("No ",)
    assert all(count in scope for count in counts)
    assert " names" not in scope


def test_the_scope_of_runs_on_a_part_of_the_images_per_epoch():
    part = build_result("exp1_1_L2_K32", training={"batches": 2})
    whole = build_result("exp1_1_L4_K32", depth=4, training={"batches": 1000})
    for results, said in (
        ([part], r"20,000 CIFAR\-10 images, 256 per epoch, for 20 epochs"),
        ([part, whole], r"20,000 CIFAR\-10 images, 256 to 20,000 per epoch, for 20 epochs"),
        ([whole], r"20,000 CIFAR\-10 images for 20 epochs"),
    ):
        assert said in provenance.describe_scope(tabulate(results))


def test_networks_of_another_kind_are_not_called_convolutional():
    runs = [build_result("exp4_small", experiment="exp4", model="mixer", widths=None)]
    assert provenance.describe_scope(tabulate(runs)).startswith("1 network was trained on")
    runs += build_results("exp1_1")
    assert provenance.describe_scope(tabulate(runs)).startswith("9 networks were trained on")


def test_networks_of_two_names_are_counted_once():
    twins = [
        build_result(name, seed=seed, spec_hash=f"{seed}" * 64)
        for name in ("exp1_1_L2_K32", "exp1_2_L2_K32")
        for seed in (0, 1)
    ]
    scope = provenance.describe_scope(tabulate(twins))
    assert scope.startswith("1 convolutional network was trained under 2 names, as 1 has several")


def test_minutes_are_estimates_and_not_those_of_any_machine():
    first = build_result("exp1_2_L8_K128", experiment="exp1_2", depth=8, widths=(128,))
    slow = {"seconds": 9e4, "device": "cuda", "processor": "NVIDIA H200"}
    second = build_result("exp1_2_L8_K128", seed=1, depth=8, experiment="exp1_2", **slow)
    unknown = build_result("exp9_L8_K8", experiment="exp9", model="unknown")
    minutes = provenance.estimate_minutes(tabulate([first, unknown]))
    assert list(minutes) == ["exp1_2_L8_K128"]
    assert 10 < minutes["exp1_2_L8_K128"] < 100
    for study in (tabulate([first, unknown]), tabulate([first, second, unknown])):
        shown = provenance.list_runs(study).set_index("Run")["Minutes"]
        assert dict(shown) == {"exp1_2_L8_K128": pytest.approx(minutes["exp1_2_L8_K128"])} | {
            "exp9_L8_K8": None
        }


def test_runs_with_another_recipe_are_named():
    plain = {"momentum": 0.9, "flip": False, "translate": 0}
    flips = plain | {"flip": True}
    results = build_results("exp1_1", training=flips)
    other = {"experiment": "exp2_ablation", "training": plain}
    results += [
        build_result(
            "exp2_ablation_full_L3",
            experiment="exp2_ablation",
            training=flips,
        ),
        build_result("exp2_ablation_no_augmentation_L3", **other),
        build_result("exp2_ablation_no_augmentation_L3", seed=1, **other),
    ]
    said = provenance.describe_recipe(tabulate(results).runs)
    assert said.endswith("flipped at random, except `exp2_ablation_no_augmentation_L3`")
    others = [build_result(f"exp3_{i}_L3", experiment="exp3", training=plain) for i in range(4)]
    said = provenance.describe_recipe(tabulate([*results, *others]).runs)
    assert said.endswith("`exp2_ablation_no_augmentation_L3` and 4 runs of `exp3`")


def test_data_sets_and_splits_are_counted():
    runs = tabulate(build_results("exp1_1")).runs
    assert provenance.describe_images(runs) == "one data set of small images, one split"
    seeds = runs.assign(**{"data.split_seed": [0, 1, *[0] * (len(runs) - 2)]})
    assert provenance.describe_images(seeds).endswith(" small images, up to 2 splits")
    sets = runs.assign(data=["svhn", *["cifar10"] * (len(runs) - 1)])
    assert provenance.describe_images(sets) == "2 data sets of small images, one split of each"
    assert provenance.describe_images(runs[:0]) == "one data set of small images, one split"
