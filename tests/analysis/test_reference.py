from __future__ import annotations

import math

import pandas as pd
import pytest

from hw2core.analysis.reference import (
    NO_COMMON_SEED,
    NO_TOLERANCE,
    NOT_REPRODUCED,
    OTHER,
    OTHER_SEEDS_TRAIN,
    REPRODUCED,
    TOO_WIDE,
    compare,
    predict_tolerance,
)
from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import build


def tabulate(**accuracies) -> pd.DataFrame:
    """A summary table: for each run, one test accuracy per seed; below 20 % it did not train."""
    rows = [
        {
            "experiment": "exp",
            "run": run,
            "data": "cifar10",
            "seed": seed,
            "test_accuracy": value,
            "spec_hash": f"{run}{seed}",
            "status": "diverged" if math.isnan(value) else "trained" if value > 20 else "at_chance",
        }
        for run, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).astype(SUMMARY_COLUMNS)


@pytest.mark.parametrize(
    ("own", "published", "verdict"),
    [
        ([80.4], [80.0, 81.0, 80.5], REPRODUCED),
        ([70.0], [80.0, 81.0, 80.5], NOT_REPRODUCED),
        ([80.0, 80.9], [80.0, 81.0, 80.5], REPRODUCED),
        ([80.2], [80.0], NO_TOLERANCE),
        ([80.0], [80.0], REPRODUCED),
        ([10.0, 10.0], [10.0, 10.0, 10.0], REPRODUCED),  # at chance each time
        ([10.5], [10.0, 10.0, 10.0], REPRODUCED),  # does not train in either
        ([10.0, 9.98], [10.0, 10.0, 10.0], REPRODUCED),
        ([math.nan], [10.0, 10.0, 10.0], NOT_REPRODUCED),  # diverged instead
        ([100 * 0.7123], [71.23], REPRODUCED),  # equal, but for the last bit
        ([math.nan], [math.nan, math.nan], REPRODUCED),  # diverged each time
        ([80.0], [math.nan, math.nan], NOT_REPRODUCED),
        ([80.0], [81.0, math.nan], NO_TOLERANCE),
        ([10.0, 10.0, 10.0], [10.0, 69.3, 71.3], OTHER_SEEDS_TRAIN),
        ([70.0, 70.0, 70.0], [10.0, 69.3, 71.3], OTHER_SEEDS_TRAIN),
        ([10.1], [10.0, 69.3, 71.3], OTHER_SEEDS_TRAIN),
        ([10.0], [10.0, 69.3, 71.3], REPRODUCED),  # the seed in common is equal
        ([10.0, 69.3], [10.0, 69.3, 71.3], REPRODUCED),
        ([30.0, 60.0], [30.0, 60.0, 70.0], REPRODUCED),
        ([10.0, 69.0, 71.0], [10.0, 69.3, 71.3], REPRODUCED),
        ([10.0, 30.0, 31.0], [10.0, 69.3, 71.3], NOT_REPRODUCED),
        ([10.0, 80.0, 81.0], [80.0, 81.0, 80.5], NOT_REPRODUCED),
        ([10.0, 10.0, 30.0], [10.0, 10.0, 10.0], NOT_REPRODUCED),
        ([30.0, 31.0], [60.0, 70.0], TOO_WIDE),
    ],
)
def test_a_mean_is_reproduced_within_the_spread_of_the_published_seeds(own, published, verdict):
    assert compare(tabulate(a=own), tabulate(a=published))["verdict"].item() == verdict


def test_means_are_over_the_seeds_that_train_as_in_all_other_tables():
    row = compare(tabulate(a=[10.0, 69.0, 71.0]), tabulate(a=[10.0, 69.3, 71.3])).iloc[0]
    assert (row["trained"], row["seeds"], row["mean"]) == (2, 3, 70.0)
    assert (row["reference_trained"], row["reference_seeds"]) == (2, 3)
    assert row["reference_mean"] == pytest.approx(70.3)
    assert row["tolerance"] < 20


def test_the_tolerance_is_that_of_a_prediction_interval():
    # s = 1, n = 3, m = 1: t(2, 97.5 %) = 4.3027
    assert predict_tolerance(pd.Series([9.0, 10.0, 11.0]), 1) == pytest.approx(
        4.3027 * math.sqrt(1 / 3 + 1), rel=1e-4
    )
    assert math.isnan(predict_tolerance(pd.Series([9.0]), 3))
    assert math.isnan(predict_tolerance(pd.Series([9.0, 9.0]), 3))  # as with few test images


def test_another_configuration_is_not_compared():
    own = tabulate(a=[80.0])
    own["spec_hash"] = "changed"
    assert compare(own, tabulate(a=[80.0]))["verdict"].item() == OTHER


def test_further_seeds_are_not_said_to_be_another_configuration():
    further = tabulate(a=[80.0, 81.0, 82.0]).tail(2)
    assert compare(further, tabulate(a=[80.0]))["verdict"].item() == NO_COMMON_SEED


def test_runs_that_only_one_of_the_two_has_are_left_out():
    table = compare(tabulate(a=[1.0], b=[2.0]), tabulate(b=[2.0], c=[3.0]))
    assert table["run"].tolist() == ["b"]
    assert compare(build([], []).runs, tabulate(b=[2.0])).empty
