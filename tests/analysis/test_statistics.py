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


def test_the_t_interval_of_a_textbook_sample():
    # Mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445: half-width 2.776445 * sqrt(2.5 / 5).
    found = compare_pairs([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.value, found.n) == (3.0, 5)
    assert found.high - 3.0 == pytest.approx(1.963243, abs=1e-6)
    assert 3.0 - found.low == pytest.approx(1.963243, abs=1e-6)
    # t = 3 / sqrt(0.5) = 4.2426 with 4 degrees of freedom.
    assert found.p == pytest.approx(0.013236, abs=1e-6)


def test_equal_differences_have_an_interval_without_width():
    assert compare_pairs([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0, 0.0, 3)
    assert compare_pairs([0.0, 0.0]) == (0.0, 0.0, 0.0, 1.0, 2)


def test_the_difference_of_two_shares_of_known_counts():
    # Newcombe 1998 (II), table II: 56/70 - 48/80 gives 0.0524 to 0.3339; 10/10 - 0/10 gives 0.6075.
    found = compare_counts(56, 70, 48, 80)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )
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
    def build(run, accuracies, failed=()):
        return [
            build_result(
                run,
                seed=seed,
                test_accuracy=value,
                status="at_chance" if seed in failed else "trained",
            )
            for seed, value in accuracies.items()
        ]

    results = build("exp1_1_L2_K32", {0: 10.0, 1: 20.0, 2: 30.0, 9: 99.0})
    results += build("exp1_1_L4_K32", {2: 29.0, 1: 18.0, 0: 7.0, 3: 50.0}, failed=[0])
    runs = tabulate(results).runs
    assert pair_seeds(runs, "exp1_1_L2_K32", "exp1_1_L4_K32") == [2.0, 1.0]
    assert not pair_seeds(runs, "exp1_1_L2_K32", "none")
    assert all(map(math.isfinite, compare_pairs([2.0, 1.0])))
