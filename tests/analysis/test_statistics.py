import math

import pandas as pd
import pytest

from hw2core.analysis.statistics import average, compare_paired, compare_shares, estimate_share


def test_the_t_interval_of_a_textbook_sample():
    # Mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445: half-width 2.776445 * sqrt(2.5 / 5).
    interval = average([1.0, 2.0, 3.0, 4.0, 5.0, math.nan])
    assert (interval.estimate, interval.count) == (3.0, 5)
    assert interval.high - 3.0 == pytest.approx(1.963243, abs=1e-6)
    assert 3.0 - interval.low == pytest.approx(1.963243, abs=1e-6)


def test_one_value_says_nothing_of_the_spread_and_none_nothing_at_all():
    one = average([5.0])
    assert (one.estimate, one.count) == (5.0, 1)
    assert not one.lies_above(-1e9)
    assert not one.lies_below(1e9)
    assert math.isnan(average([]).estimate)


def test_equal_values_have_an_interval_without_width():
    interval = average([2.0, 2.0, 2.0])
    assert (interval.low, interval.high) == (2.0, 2.0)


def test_pairs_are_made_by_seed_not_by_order():
    first = pd.Series({0: 10.0, 1: 20.0, 2: 30.0, 9: 99.0})
    second = pd.Series({2: 29.0, 1: 18.0, 0: 7.0})
    interval = compare_paired(first, second)
    assert (interval.estimate, interval.count) == (pytest.approx(2.0), 3)
    # The spread is that of the differences 3, 2, 1, not that of the values.
    assert interval.high - interval.low < 6


def test_wilson_interval_of_known_counts():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611.
    known = estimate_share(81, 263)
    assert (known.low, known.high) == (
        pytest.approx(0.2553, abs=1e-4),
        pytest.approx(0.3662, abs=1e-4),
    )
    none = estimate_share(0, 20)
    assert (none.low, none.high) == (pytest.approx(0.0), pytest.approx(0.1611, abs=1e-4))
    with pytest.raises(ValueError, match="successes=3, trials=2"):
        estimate_share(3, 2)


def test_the_difference_of_two_shares_of_known_counts():
    # Newcombe 1998 (II), table II: 56/70 - 48/80 gives 0.0524 to 0.3339; 10/10 - 0/10 gives 0.6075.
    difference = compare_shares(estimate_share(56, 70), estimate_share(48, 80))
    assert difference.estimate == pytest.approx(0.2)
    assert difference.low == pytest.approx(0.0524, abs=1e-4)
    assert difference.high == pytest.approx(0.3339, abs=1e-4)
    assert compare_shares(estimate_share(10, 10), estimate_share(0, 10)).low == pytest.approx(
        0.6075, abs=1e-4
    )
