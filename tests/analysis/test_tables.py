import math
import subprocess
import sys

import pandas as pd
import pytest
from result_documents import SIZE, Experiment, build_result, build_results, tabulate

from hw2core.analysis.compared import find_best_result, list_best
from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import (
    build,
    find_best,
    read_table,
    split_numbers,
    summarize,
    write_table,
)
from hw2core.errors import UserError

CURVES = {
    "train_loss": [2.0, 1.0, 0.5],
    "train_accuracy": [30.0, 50.0, 70.0],
    "validation_loss": [1.9, 1.1, 1.2],
    "validation_accuracy": [31.0, 55.0, 52.0],
}
KNOWN = build_result(
    "exp1_3_L2_K64-128-256",
    experiment="exp1_3",
    widths=(64, 128, 256),
    epochs=3,
    test_accuracy=54.0,
    parameters=123,
    flops_per_image=456,
    **CURVES,
)
MLP = build_result("mlp", experiment="mlp", model="mlp", widths=None, test=None)


def tabulate_one(result):
    return tabulate([result]).runs.iloc[0]


def test_a_row_holds_what_the_result_says():
    row = tabulate_one(KNOWN)
    expected = {
        "run": "exp1_3_L2_K64-128-256",
        **{"depth": 2, "widths": "64-128-256", "num_conv": 6},
        **{"family": "plain", "label": "", "status": "trained"},
        **{"epochs": 3, "best_epoch": 2},
        **{name: curve[1] for name, curve in CURVES.items()},  # of epoch 2, counted from 1
        **{"test_accuracy": 54.0, "test_loss": 0.9, "calibration_error": 1.0},
        **{"parameters": 123, "flops_per_image": 456, "threads": 2},
        **{"train_images": 20_000, "validation_images": 6_000},
        **{"training.lr": 0.05, "architecture.hidden_dims": [128]},
        "data_sha256": "d" * 64,
    }
    assert row[list(expected)].to_dict() == expected


@pytest.mark.parametrize(
    ("result", "column", "value"),
    [
        (build_result("x_L2_K32", network={"batchnorm": True}), "family", "batch norm"),
        (build_result("x_L2_K32", model="resnet"), "family", "residual"),
        (build_result("x_L2_K32", model="ycn"), "family", "custom"),
        (build_result("x_L2_K32", model="mine"), "family", "mine"),
        (build_result("e_bn_L2_K32", experiment="e"), "label", "bn"),
        (build_result("e_0.5_L2_K32", experiment="e"), "label", "0.5"),
        (build_result("e_0.5", experiment="e", model="mlp", widths=None), "label", "0.5"),
        (MLP, "status", "trained"),
    ],
)
def test_a_row_describes_the_network(result, column, value):
    assert tabulate_one(result)[column] == value


@pytest.mark.parametrize(
    ("train", "validation", "status"),
    [
        ([10.0, 10.0], [10.0, 25.0], "trained"),
        ([10.0, 25.0], [10.0, 10.0], "trained"),
        ([10.0, 24.9], [30.0, 24.9], "at_chance"),  # it was there, and lost it
    ],
)
def test_a_run_has_trained_if_its_last_epoch_is_above_chance(train, validation, status):
    curves = {"train_accuracy": train, "validation_accuracy": validation}
    result = build_result("x_L2_K32", epochs=2, **curves)
    assert tabulate_one(result)["status"] == status


def test_a_training_loss_that_is_not_finite_has_diverged():
    losses = [1.0, None, 1.0]
    result = build_result("x_L2_K32", epochs=3, train_loss=losses, validation_loss=losses)
    assert tabulate_one(result)["status"] == "diverged"


@pytest.mark.parametrize(
    ("asked", "reduced"),
    [
        (SIZE._replace(train=44_000), "3 of 20 epochs; 20,000 of 44,000 training images"),
        (SIZE._replace(data="other", epochs=3, patience=3), "cifar10 images"),
        (SIZE._replace(epochs=3, patience=3), ""),
    ],
)
def test_less_than_config_asks_for_is_reduced(asked, reduced):
    experiment = Experiment("exp1_1", sizes={"exp1_1_L2_K32": asked})
    runs = build([experiment], [build_result("exp1_1_L2_K32", epochs=3)]).runs
    assert list(runs["reduced"]) == [reduced]


def test_a_part_of_the_images_per_epoch_and_early_stopping_are_reductions():
    result = build_result("exp1_1_L2_K32", epochs=20)
    training = result.config["training"] | {"batches": 2, "early_stopping": 5}
    result = result.model_copy(update={"config": result.config | {"training": training}})
    runs = build([Experiment("exp1_1", sizes={result.name: SIZE})], [result]).runs
    reduced = "256 of 20,000 training images per epoch; 5 of 20 epochs before early stopping"
    assert list(runs["reduced"]) == [reduced]


def test_a_run_and_seed_count_once():
    with pytest.raises(ValueError, match="seed 0: two results"):
        tabulate([KNOWN, KNOWN])


def test_rows_are_in_natural_order_whatever_comes_first():
    results = build_results("exp1_1", seeds=(0, 1), epochs=2)
    runs = tabulate(results).runs
    assert list(runs["run"].unique()) == [
        f"exp1_1_L{depth}_K{width}" for depth in (2, 4, 8, 16) for width in (32, 64)
    ]
    assert list(runs["seed"]) == [0, 1] * 8
    pd.testing.assert_frame_equal(runs, tabulate(results[::-1]).runs)
    names = ["L16", "L2_K8", "L2", "L0.02", "L0.0025"]
    assert sorted(names, key=split_numbers) == names[::-1]


def test_a_key_that_a_result_leaves_out_has_its_default():
    changes = [{"training": {"gamma": 0.5}}, {"network": {"dropout": 0.2}}, {}, {"model": "mine"}]
    changes.append({"model": "mlp", "widths": None})
    results = [build_result(f"x{i}_L2_K32", **each) for i, each in enumerate(changes)]
    runs = tabulate(results).runs
    assert runs["training.gamma"].tolist() == [0.5, 0.1, 0.1, 0.1, 0.1]
    dropout = runs["architecture.dropout"].tolist()
    assert dropout[:3] == [0.0, 0.2, 0.0]
    assert math.isnan(dropout[3])


def test_a_shared_result_takes_no_time_while_it_is_that_of_the_other_run():
    def tabulate_shared(**changes):
        pair = [build_result("x_L2_K32", same_as="y_L2_K32", spec_hash="a" * 64)]
        pair.append(build_result("y_L2_K32", **{"spec_hash": "a" * 64, **changes}))
        return tabulate(pair).runs.set_index("run").loc["x_L2_K32"]

    shared = tabulate_shared()
    assert shared["same_as"] == "y_L2_K32"
    assert math.isnan(shared["seconds"])
    # Trained again, not planned, or replaced by one of another machine.
    for changes in ({"spec_hash": "b" * 64}, {"seed": 1}, {"weights_sha256": "c" * 64}):
        alone = tabulate_shared(**changes)
        assert pd.isna(alone["same_as"])
        assert alone["seconds"] > 0


def test_what_a_result_does_not_have_is_missing():
    missing = ["depth", "widths", "num_conv", "test_accuracy", "test_loss", "calibration_error"]
    assert tabulate_one(MLP)[missing].isna().all()
    result = build_result("x_L2_K32", status="diverged", test_accuracy=10.0)
    test = result.test.model_copy(update={"loss": None})
    row = tabulate_one(result.model_copy(update={"test": test}))
    assert (row["status"], row["test_accuracy"]) == ("diverged", 10.0)
    assert math.isnan(row["test_loss"])


def test_no_results_give_empty_tables_with_all_columns():
    study = tabulate([])
    assert list(study.runs) == [*SUMMARY_COLUMNS, "network"]
    assert study.runs.empty
    assert study.epochs.empty
    assert study.layers.empty
    assert list(summarize(study.runs)) == list(summarize(tabulate([KNOWN]).runs))


def test_epochs_and_layers_have_a_row_each():
    study = tabulate([KNOWN])
    assert study.epochs[["epoch", *CURVES]].to_dict("list") == {"epoch": [1, 2, 3], **CURVES}
    assert len(study.layers) == 3 * 8  # moments, and six convolutions with two linear layers
    first = study.layers.iloc[0]
    assert (first["layer"], first["position"], first["epoch"]) == ("conv1", 1, 0)
    assert first["gradient_norm"] == pytest.approx(0.1 * 0.5**8)
    assert math.isnan(study.layers["dead_fraction"].iloc[7])


def test_the_summary_of_a_run_goes_over_the_seeds_that_trained():
    ends = [(70.0, "trained"), (74.0, "trained"), (10.0, "at_chance")]
    results = [
        build_result("exp1_1_L8_K32", depth=8, seed=seed, test_accuracy=accuracy, status=status)
        for seed, (accuracy, status) in enumerate(ends)
    ]
    (row,) = summarize(tabulate(results).runs).itertuples()
    assert (row.seeds, row.trained, row.at_chance, row.diverged) == (3, 2, 1, 0)
    assert (row.test, row.test_low, row.test_high) == (72.0, 70.0, 74.0)
    (row,) = summarize(tabulate(results[2:]).runs).itertuples()
    assert (row.trained, row.test) == (0, 10.0)


def test_means_of_other_seeds_are_equal_where_they_are_equal():
    """Floats are not: their sums depend on their order."""
    counts = {"x_L2_K32": (50, 56, 50), "x_L4_K32": (54, 50, 52)}  # of 56 images
    results = [
        build_result(
            run,
            seed=seed,
            best_validation=100 * count / 56,
            test_accuracy=100 * count / 56,
            ceiling=100,
        )
        for run, correct in counts.items()
        for seed, count in enumerate(correct)
    ]
    summary = tabulate(results).summary
    assert summary["validation"].nunique() == summary["test"].nunique() == 1
    assert [row.run for row in list_best(summary)] == [*counts]


def test_validation_chooses_the_best_run_and_its_seed():
    def build_seed(run, seed, validation, test, **options):
        options |= {"best_validation": validation, "test_accuracy": test}
        return build_result(run, seed=seed, epochs=3, **options)

    results = [
        build_seed("exp1_1_L2_K32", 0, 72.0, 60.0),
        build_seed("exp1_1_L2_K32", 1, 78.0, 60.0),
        build_seed("exp1_1_L4_K32", 0, 74.0, 79.0, depth=4),
        build_seed(
            "exp1_1_L8_K32",
            0,
            99.0,
            99.0,
            depth=8,
            validation_accuracy=[99.0, 10.0, 10.0],
            train_accuracy=[10.0] * 3,
        ),
        build_seed("part2_x", 0, 99.0, 99.0, experiment="part2_x", model="mlp", widths=None),
    ]
    study = tabulate(results)
    assert find_best(summarize(study.runs[study.runs["num_conv"].notna()])).run == "exp1_1_L2_K32"
    best = find_best_result(study)
    assert (best.name, best.seed) == ("exp1_1_L2_K32", 1)
    assert find_best_result(tabulate(results[3:4])) is None


def test_a_summary_is_read_as_it_was_written(in_folder):
    table = tabulate([KNOWN, MLP]).runs[list(SUMMARY_COLUMNS)]
    write_table(table, "summary.csv")
    again = read_table("summary.csv")
    pd.testing.assert_frame_equal(again, table, rtol=1e-5)
    write_table(again, "again.csv")
    assert (in_folder / "again.csv").read_text() == (in_folder / "summary.csv").read_text()
    write_table(table.drop(columns="status"), "summary.csv")
    with pytest.raises(UserError, match=r"summary\.csv: no column status"):
        read_table("summary.csv")
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        read_table("none.csv")


def test_tables_load_neither_torch_nor_matplotlib():
    code = "import sys, hw2core.analysis.tables; print(*{'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
