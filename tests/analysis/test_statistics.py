import math

import pandas as pd
import pytest
from result_documents import build_result, tabulate

from hw2core.analysis.statistics import (
    can_decide_counts,
    compare_counts,
    compare_pairs,
    correct_by_holm,
    pair_seeds,
)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        # Mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445: half-width 2.776445 * sqrt(2.5 / 5);
        # t = 3 / sqrt(0.5) = 4.2426 with 4 degrees of freedom.
        ([1.0, 2.0, 3.0, 4.0, 5.0], (3.0, 3 - 1.963243, 3 + 1.963243, 0.013236, 5)),
        ([2.0, 2.0, 2.0], (2.0, math.nan, math.nan, 1.0, 3)),  # cannot be tested
        ([0.0, 0.0], (0.0, math.nan, math.nan, 1.0, 2)),
    ],
)
def test_paired_differences_have_a_t_interval(differences, expected):
    assert compare_pairs(differences) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_the_difference_of_two_shares_of_known_counts():
    # Newcombe 1998 (II), table II: 56/70 - 48/80 gives 0.0524 to 0.3339; 10/10 - 0/10 gives 0.6075.
    found = compare_counts(56, 70, 48, 80)
    assert found[:3] == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert compare_counts(10, 10, 0, 10).low == pytest.approx(0.6075, abs=1e-4)
    # Fisher's tea: 3 of 4 against 1 of 4, two-sided.
    assert compare_counts(3, 4, 1, 4).p == pytest.approx(0.485714, abs=1e-6)


def test_three_seeds_against_three_cannot_decide_a_share():
    assert not can_decide_counts(3, 3)  # 3 against 0: p = 2 / C(6, 3) = 0.1
    assert can_decide_counts(4, 4)  # p = 2 / C(8, 4) = 0.029


def test_holm_multiplies_from_the_smallest_and_never_falls():
    p = pd.Series([0.04, 0.01, 0.03, 0.9])
    assert list(correct_by_holm(p)) == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert list(correct_by_holm(pd.Series([0.6, 0.7]))) == [1.0, 1.0]


def test_pairs_are_of_seeds_that_both_trained():
    first, second = {0: 10.0, 1: 20.0, 2: 30.0, 9: 99.0}, {2: 29.0, 1: 18.0, 0: 7.0, 3: 50.0}
    results = [build_result("a_L2_K32", seed=s, test_accuracy=x) for s, x in first.items()]
    for seed, accuracy in second.items():
        status = "at_chance" if seed == 0 else "trained"
        results.append(build_result("b_L4", seed=seed, test_accuracy=accuracy, status=status))
    runs = tabulate(results).runs
    assert pair_seeds(runs, "a_L2_K32", "b_L4") == [2.0, 1.0]
    assert pair_seeds(runs, "a_L2_K32", "none") == []
