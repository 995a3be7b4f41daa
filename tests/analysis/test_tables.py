import math
import subprocess
import sys

import pandas as pd
import pytest
from result_documents import build_document, build_experiment

from hw2core.analysis.tables import (
    aggregate_runs,
    average_by_epoch,
    epochs_table,
    split_numbers,
    summary_table,
    write_table,
)


def build_known(**options):
    document = build_document("exp1_3_L2_K64-128-256", epochs=3, widths=(64, 128, 256), **options)
    document["results"] = {
        "num_epochs": 3,
        "train_loss": [2.0, 1.0, 0.5],
        "train_acc": [30.0, 50.0, 70.0],
        "test_loss": [1.9, 1.1, 1.2],
        "test_acc": [31.0, 55.0, 52.0],
    }
    document["metadata"] |= {"best_epoch": 2, "validation_accuracy": 55.0, "test_accuracy": 54.0}
    return document


def test_a_summary_row_holds_what_the_document_says():
    row = summary_table([build_known(parameters=123, flops_per_image=456)]).iloc[0]
    assert row["run"] == "exp1_3_L2_K64-128-256"
    assert (row["depth"], row["widths"], row["num_conv"]) == (2, "64-128-256", 6)
    assert (row["epochs"], row["best_epoch"]) == (3, 2)
    assert row["train_accuracy"] == 50.0  # of epoch 2, counted from 1
    assert (row["validation_accuracy"], row["test_accuracy"]) == (55.0, 54.0)
    assert (row["parameters"], row["flops_per_image"]) == (123, 456)
    assert (row["train_images"], row["study_size"]) == (44_000, True)
    assert row["data_sha256"] == "d" * 64
    assert pd.isna(row["test_accuracy_mirrored"])
    assert summary_table([build_known(test_accuracy_mirrored=54.5)])[
        "test_accuracy_mirrored"
    ].tolist() == [54.5]


@pytest.mark.parametrize("best_epoch", [0, 4])
def test_a_best_epoch_that_was_not_trained_is_refused(best_epoch):
    document = build_known()
    document["metadata"]["best_epoch"] = best_epoch
    with pytest.raises(ValueError, match=rf"L2_K64-128-256, seed 0: best_epoch={best_epoch}"):
        summary_table([document])


def test_a_run_and_seed_count_once():
    with pytest.raises(ValueError, match="seed 0: two result documents"):
        summary_table([build_known(), build_known()])


def test_rows_are_in_natural_order_whatever_comes_first():
    documents = build_experiment("exp1_1", seeds=(0, 1), epochs=2)
    summary = summary_table(reversed(documents))
    assert list(summary["run"].unique()) == [
        f"exp1_1_L{depth}_K{width}" for depth in (2, 4, 8, 16) for width in (32, 64)
    ]
    assert list(summary["seed"]) == [0, 1] * 8
    pd.testing.assert_frame_equal(summary, summary_table(documents))
    assert sorted(["L16", "L2", "L2_K8"], key=split_numbers) == ["L2", "L2_K8", "L16"]
    rates = ["lr_0.02", "lr_0.0025", "lr_0.001"]
    assert sorted(rates, key=split_numbers) == ["lr_0.001", "lr_0.0025", "lr_0.02"]


def test_a_net_without_filters_has_no_depth_or_width():
    document = build_document("dropout_p0", experiment="dropout", model="mlp", widths=None)
    row = summary_table([document]).iloc[0]
    assert row[["depth", "widths", "num_conv"]].isna().all()


def test_a_missing_test_accuracy_is_missing_not_zero():
    row = summary_table([build_document("x_L2_K32", status="diverged")]).iloc[0]
    assert math.isnan(row["test_accuracy"])
    assert row["status"] == "diverged"


def test_no_documents_give_empty_tables_with_all_columns():
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


def test_losses_of_batches_are_averaged_over_their_epoch():
    assert average_by_epoch([1.0, 3.0, 10.0, 20.0], 2) == [2.0, 15.0]
    assert average_by_epoch([1.0, 2.0], 2) == [1.0, 2.0]
    short = average_by_epoch([1.0, None], 3)
    assert short[0] == 1.0
    assert all(math.isnan(value) for value in short[1:])


def test_aggregates_keep_trained_seeds_apart_from_those_at_chance():
    documents = [
        build_document("a_L8_K32", experiment="a", seed=seed, status=status, test_accuracy=accuracy)
        for seed, status, accuracy in [
            (0, "trained", 70.0),
            (1, "at_chance", 10.0),
            (2, "trained", 74.0),
            (3, "diverged", None),
        ]
    ]
    row = aggregate_runs(summary_table(documents)).iloc[0]
    assert (row["seeds"], row["trained"], row["at_chance"], row["diverged"]) == (4, 2, 1, 1)
    assert row["test_accuracy_mean"] == pytest.approx((70 + 10 + 74) / 3)
    assert (row["test_accuracy_min"], row["test_accuracy_max"]) == (10.0, 74.0)
    assert row["trained_test_accuracy_mean"] == 72.0
    assert (row["trained_test_accuracy_min"], row["trained_test_accuracy_max"]) == (70.0, 74.0)


def test_a_table_is_written_with_the_same_bytes_each_time(tmp_path):
    summary = summary_table(
        [build_known(), build_document("a", experiment="a", model="mlp", widths=None)]
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
