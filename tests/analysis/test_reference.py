from __future__ import annotations

import math

import pandas as pd
import pytest

from hw2core.analysis.reference import (
    NO_TOLERANCE,
    NOT_REPRODUCED,
    OTHER,
    REPRODUCED,
    compare_with_reference,
    predict_tolerance,
    read_reference,
)
from hw2core.analysis.tables import SUMMARY_TYPES, summary_table


def tabulate(**accuracies) -> pd.DataFrame:
    """A summary table: for each run, one test accuracy a seed."""
    rows = [
        {"run": run, "seed": seed, "test_accuracy": value, "spec_hash": f"{run}{seed}"}
        for run, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(SUMMARY_TYPES)).astype(SUMMARY_TYPES)


def judge(own: list[float], published: list[float]) -> str:
    table = compare_with_reference(tabulate(a=own), tabulate(a=published))
    return table["verdict"].item()


@pytest.mark.parametrize(
    ("own", "published", "verdict"),
    [
        ([80.4], [80.0, 81.0, 80.5], REPRODUCED),
        ([70.0], [80.0, 81.0, 80.5], NOT_REPRODUCED),
        ([80.0, 80.9], [80.0, 81.0, 80.5], REPRODUCED),
        ([80.2], [80.0], NO_TOLERANCE),
        ([80.0], [80.0], REPRODUCED),
        ([10.0, 10.0], [10.0, 10.0, 10.0], REPRODUCED),  # at chance each time
        ([10.5], [10.0, 10.0, 10.0], NOT_REPRODUCED),
        ([100 * 0.7123], [71.23], REPRODUCED),  # equal, but for the last bit
        ([math.nan], [math.nan, math.nan], REPRODUCED),  # diverged each time
        ([80.0], [math.nan, math.nan], NOT_REPRODUCED),
        ([80.0], [81.0, math.nan], NO_TOLERANCE),
    ],
)
def test_a_mean_is_reproduced_within_the_spread_of_the_published_seeds(own, published, verdict):
    assert judge(own, published) == verdict


def test_the_tolerance_is_that_of_a_prediction_interval():
    # s = 1, n = 3, m = 1: t(2, 97.5 %) = 4.3027
    assert predict_tolerance(pd.Series([9.0, 10.0, 11.0]), 1) == pytest.approx(
        4.3027 * math.sqrt(1 / 3 + 1), rel=1e-4
    )
    assert math.isnan(predict_tolerance(pd.Series([9.0]), 3))


def test_another_configuration_is_not_compared():
    own = tabulate(a=[80.0])
    own["spec_hash"] = "changed"
    assert compare_with_reference(own, tabulate(a=[80.0]))["verdict"].item() == OTHER


def test_runs_that_only_one_of_the_two_has_are_left_out():
    table = compare_with_reference(tabulate(a=[1.0], b=[2.0]), tabulate(b=[2.0], c=[3.0]))
    assert table["run"].tolist() == ["b"]
    assert compare_with_reference(summary_table([]), tabulate(b=[2.0])).empty


def test_columns_that_came_after_a_table_was_published_are_not_asked_of_it(tmp_path):
    table = tabulate(a=[80.0]).assign(reduced="", widths="32").drop(columns="data_sha256")
    table.to_csv(tmp_path / "table.csv", index=False)
    read = read_reference(tmp_path / "table.csv")
    assert read["data_sha256"].isna().all()
    assert read["widths"].tolist() == ["32"]
    assert read["reduced"].tolist() == [""]
    assert read["test_accuracy"].tolist() == [80.0]


def test_a_file_that_is_no_summary_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("run,seed\n")
    with pytest.raises(ValueError, match=r"lacks the columns.*experiment"):
        read_reference(tmp_path / "table.csv")
