import math

import pandas as pd
import pytest
from result_documents import SIZE, Experiment, build_result, tabulate

from hw2core.analysis import text
from hw2core.analysis.findings import say
from hw2core.analysis.tables import build


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (86.05, 1, "86.1"),  # a binary number below 86.05
        (82.25, 1, "82.3"),
        (1234.5, 0, "1,235"),
        (-0.04, 1, "0.0"),
        (1e-12, 2, "0.00"),
        (123456789012345, 0, "123,456,789,012,345"),
        (3.4e38, 1, "3.4e+38"),  # of a run that diverges
        (-1e300, 0, "-1e+300"),
        (math.inf, 1, "inf"),
        (None, 1, "–"),
        (math.nan, 1, "–"),
        (pd.NA, 1, "–"),
    ],
)
def test_numbers_are_rounded_as_one_does_by_hand(value, digits, expected):
    assert text.format_number(value, digits) == expected


def test_formats():
    assert text.format_change(78.74 - 77.89) == "+0.9"  # 0.85
    assert text.format_change(-2.04) == "−2.0"
    assert text.format_change(-2e38) == "−2e+38"
    assert text.format_range(50.0, 49.0, 51.04) == "50.0 [49.0, 51.0]"
    assert text.format_range(50.0, 50.0, 50.0) == "50.0"
    assert text.format_scientific(1.234e-15) == r"$1.2 \cdot 10^{-15}$"
    assert (text.format_scientific(0), text.format_scientific(None)) == ("0", "–")
    assert say.flops(427.6e6) == "428 MFLOPs"
    assert text.join_words([1, 2, 3]) == "1, 2 and 3"
    assert text.join_words(["a"]) == "a"
    assert text.join_runs(["a", "b"]) == "`a` and `b`"
    assert text.count_things(1, "seed") == "one seed"


def test_a_table_shows_pipes_and_missing_values():
    frame = pd.DataFrame({"a": ["x|y", r"x\|y"], "n": ["1,000", None], "t": ["p", "q"]})
    head, line, first, second = text.markdown_table(frame, left=["t"]).splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["a", "n", "t"]
    assert [cell.strip("-") for cell in line.split("|")[1:-1]] == [":", ":", ":"]
    assert line.count("-:|") == 1
    assert r"x\|y" in first
    assert r"x\|y" in second
    assert "–" in second


@pytest.mark.parametrize(
    "given",
    [
        "accuracy @5",
        "![net](net.png)",
        "<wide>",
        "<script>alert(1)</script>",
        "a|b",
        "`x`",
        "1. $y$",
    ],
)
def test_text_of_users_is_escaped(given):
    escaped = text.escape_markdown(given)
    assert escaped.replace("\\", "") == given
    for place, char in enumerate(escaped):
        if char in "@![]()<>|`$._*#\\" and char != "\\":
            assert escaped[place - 1] == "\\"
    assert text.escape_markdown("two\n\nlines") == "two lines"


def test_the_evidence_is_said_in_one_or_two_sentences():
    def describe(*results, asked=SIZE):
        sizes = {result.name: asked for result in results}
        return text.describe_evidence(build([Experiment("exp1_1", sizes=sizes)], results).runs)

    one, two = (build_result("exp1_1_L2_K32", seed=seed) for seed in (0, 1))
    assert describe(one) == "One seed per network."
    assert describe(one, two) == "2 seeds per network."
    other = build_result("exp1_1_L4_K32", depth=4, epochs=3, train_images=5000)
    assert describe(one, two, other) == (
        "1 or 2 seeds per network. Reduced: 3 of 20 epochs; 5,000 of 20,000 training images "
        "(1 of 3 runs)."
    )
    assert describe(one, asked=SIZE._replace(data="generated")) == (
        "One seed per network. Reduced: cifar10 images."
    )
    assert text.describe_evidence(tabulate([]).runs) == "No result yet."
