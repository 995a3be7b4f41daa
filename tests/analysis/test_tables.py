import math
import subprocess
import sys

import pandas as pd
import pytest
from result_documents import build_experiment, build_result

from hw2core.analysis.tables import (
    aggregate_runs,
    epochs_table,
    split_numbers,
    summary_table,
    write_table,
)


def build_known(**changes):
    curves = {
        "train_loss": [2.0, 1.0, 0.5],
        "train_accuracy": [30.0, 50.0, 70.0],
        "validation_loss": [1.9, 1.1, 1.2],
        "validation_accuracy": [31.0, 55.0, 52.0],
    }
    known = {"widths": (64, 128, 256), "epochs": 3, "best_epoch": 2, "test_accuracy": 54.0}
    return build_result("exp1_3_L2_K64-128-256", **known, **curves, **changes)


def test_a_summary_row_holds_what_the_result_says():
    row = summary_table([build_known(parameters=123, flops_per_image=456)]).iloc[0]
    assert row["run"] == "exp1_3_L2_K64-128-256"
    assert (row["depth"], row["widths"], row["num_conv"]) == (2, "64-128-256", 6)
    assert (row["epochs"], row["best_epoch"]) == (3, 2)
    assert row["train_accuracy"] == 50.0  # of epoch 2, counted from 1
    assert (row["validation_accuracy"], row["test_accuracy"]) == (55.0, 54.0)
    assert (row["parameters"], row["flops_per_image"]) == (123, 456)
    assert (row["train_images"], row["study_size"]) == (44_000, True)
    assert row["data_sha256"] == "d" * 64


@pytest.mark.parametrize("best_epoch", [0, 4])
def test_a_best_epoch_that_was_not_trained_is_refused(best_epoch):
    with pytest.raises(ValueError, match=r"(?s)best_epoch.*\b(greater than|3 epochs)"):
        build_result("exp1_1_L2_K32", epochs=3, best_epoch=best_epoch, test_accuracy=50.0)


def test_a_run_and_seed_count_once():
    with pytest.raises(ValueError, match="seed 0: two results"):
        summary_table([build_known(), build_known()])


def test_rows_are_in_natural_order_whatever_comes_first():
    results = build_experiment("exp1_1", seeds=(0, 1), epochs=2)
    summary = summary_table(reversed(results))
    assert list(summary["run"].unique()) == [
        f"exp1_1_L{depth}_K{width}" for depth in (2, 4, 8, 16) for width in (32, 64)
    ]
    assert list(summary["seed"]) == [0, 1] * 8
    pd.testing.assert_frame_equal(summary, summary_table(results))
    assert sorted(["L16", "L2", "L2_K8"], key=split_numbers) == ["L2", "L2_K8", "L16"]
    rates = ["lr_0.02", "lr_0.0025", "lr_0.001"]
    assert sorted(rates, key=split_numbers) == ["lr_0.001", "lr_0.0025", "lr_0.02"]


def test_a_net_without_filters_has_no_depth_or_width():
    result = build_result("dropout_p0", experiment="dropout", model="mlp", widths=None)
    row = summary_table([result]).iloc[0]
    assert row[["depth", "widths", "num_conv"]].isna().all()


def test_a_result_that_is_not_evaluated_has_no_test_accuracy():
    row = summary_table([build_result("x_L2_K32", test=None)]).iloc[0]
    assert math.isnan(row["test_accuracy"])
    assert math.isnan(row["test_loss"])
    assert row["status"] == "trained"


def test_a_test_loss_that_is_not_finite_is_missing():
    result = build_result("x_L2_K32", status="diverged", test_accuracy=10.0)
    test = result.test.model_copy(update={"loss": None})
    row = summary_table([result.model_copy(update={"test": test})]).iloc[0]
    assert (row["status"], row["test_accuracy"]) == ("diverged", 10.0)
    assert math.isnan(row["test_loss"])


def test_no_results_give_empty_tables_with_all_columns():
    assert summary_table([]).empty
    assert list(summary_table([]).columns) == list(summary_table([build_known()]).columns)
    assert epochs_table([]).empty
    assert aggregate_runs(summary_table([])).empty


def test_epochs_count_from_one_and_test_of_fit_is_validation():
    epochs = epochs_table([build_known()])
    assert list(epochs["epoch"]) == [1, 2, 3]
    assert list(epochs["train_loss"]) == [2.0, 1.0, 0.5]
    assert list(epochs["validation_loss"]) == [1.9, 1.1, 1.2]
    assert list(epochs["validation_accuracy"]) == [31.0, 55.0, 52.0]


def test_aggregates_keep_trained_seeds_apart_from_those_at_chance():
    results = [
        build_result("a_L8_K32", experiment="a", seed=seed, status=status, test_accuracy=accuracy)
        for seed, status, accuracy in [
            (0, "trained", 70.0),
            (1, "at_chance", 10.0),
            (2, "trained", 74.0),
            (3, "diverged", None),
        ]
    ]
    row = aggregate_runs(summary_table(results)).iloc[0]
    assert (row["seeds"], row["trained"], row["at_chance"], row["diverged"]) == (4, 2, 1, 1)
    assert row["test_accuracy_mean"] == pytest.approx((70 + 10 + 74) / 3)
    assert (row["test_accuracy_min"], row["test_accuracy_max"]) == (10.0, 74.0)
    assert row["trained_test_accuracy_mean"] == 72.0
    assert (row["trained_test_accuracy_min"], row["trained_test_accuracy_max"]) == (70.0, 74.0)


def test_a_table_is_written_with_the_same_bytes_each_time(tmp_path):
    summary = summary_table(
        [build_known(), build_result("a", experiment="a", model="mlp", widths=None)]
    )
    write_table(summary, tmp_path / "one.csv")
    write_table(summary, tmp_path / "deep" / "two.csv")
    text = (tmp_path / "one.csv").read_bytes()
    assert text == (tmp_path / "deep" / "two.csv").read_bytes()
    assert b"\r" not in text
    header, mlp, cnn = text.decode().splitlines()
    assert header.startswith("experiment,run,seed,model,depth,widths,num_conv,status")
    assert mlp.startswith("a,a,0,mlp,,,,trained")
    assert cnn.startswith("exp1_1,exp1_3_L2_K64-128-256,0,cnn,2,64-128-256,6,trained,3,2,50,55,54")


def test_tables_do_not_load_matplotlib():
    code = "import sys, hw2core.analysis.tables; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
