"""The table in the project's README, and that it is the one of the record in this checkout."""

from __future__ import annotations

import pytest
from result_documents import build_part_2, build_result, build_study

from hw2core.analysis.public_record import read_public_record
from hw2core.analysis.published import sum_files
from hw2core.analysis.reference import read_reference
from hw2core.analysis.reference_table import (
    BEGIN,
    END,
    FIGURE,
    read_block,
    replace_block,
    write_block,
)
from hw2core.analysis.tables import summary_table
from hw2core.config.study import CHECKOUT
from hw2core.runs.paths import PUBLIC_RECORD, REFERENCE, REFERENCE_SUMS, REFERENCE_TABLE

RECORD = read_public_record(CHECKOUT / PUBLIC_RECORD)


def write(results, reduced=""):
    return write_block(summary_table(results).assign(reduced=reduced), RECORD)


def read_rows(block):
    rows = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[1:]}


def test_the_table_has_a_row_an_experiment():
    results = build_study(seeds=(0, 1))
    rows = read_rows(write(results))
    assert list(rows) == list(dict.fromkeys(summary_table(results)["experiment"]))
    assert rows["exp1_1"][:2] == ["plain; L 2–16; K 32, 64", "4 of 8"]
    assert rows["exp1_4"][0] == "residual; L 2–32; K 32, 64-128-256"
    assert rows["exp1_5"][0] == "plain, residual; L 8–16; K 32, 64"
    assert rows["part2_dropout"][0] == "MLP"


def test_the_best_run_is_that_of_validation_beside_the_same_public_run():
    results = [
        build_result(
            f"exp1_1_L{depth}_K32",
            depth=depth,
            seed=seed,
            best_validation=validation,
            test_accuracy=test,
        )
        for depth, validation, tests in ((2, 71.0, (69.0, 70.0)), (4, 70.0, (75.0, 75.0)))
        for seed, test in enumerate(tests)
    ]
    row = read_rows(write(results))["exp1_1"]
    assert row[1:] == [
        "2 of 2",
        "`exp1_1_L2_K32`",
        "69.5 [69.0, 70.0]",
        "64.6, 72.6",
        "20, 44,000",
    ]


def test_an_experiment_that_did_not_train_has_no_best_run():
    row = read_rows(write([build_result("exp1_1_L16_K32", depth=16, status="at_chance")]))
    assert row["exp1_1"] == ["plain; L 16; K 32", "0 of 1", "–", "–", "–", "–"]
    assert read_rows(write(build_part_2()))["part2_optim"][4] == "–"


def test_a_reduced_record_says_so_above_the_table_and_in_it():
    results = [build_result(f"exp1_1_L{depth}_K32", depth=depth) for depth in (2, 4)]
    facts = ["10 of 20 epochs; 20,000 of 44,000 training images", "5 of 20 epochs"]
    block = write(results, facts)
    assert (
        "One seed per run. Reduced: 5 of 20 and 10 of 20 epochs; "
        "20,000 of 44,000 training images (2 of 2 trainings)." in block
    )
    assert "**This record is a reduced one.**" in block
    assert read_rows(block)["exp1_1"][-1].endswith("(reduced)")
    assert "educed" not in write(results)


def test_the_block_takes_the_place_of_what_stood_there():
    text = f"# Title\n\n{BEGIN}\nold\nlines\n{END}\n\nmore\n"
    replaced = replace_block(text, r"new \1")
    assert replaced == f"# Title\n\n{BEGIN}\nnew \\1\n{END}\n\nmore\n"
    assert read_block(replaced) == r"new \1"
    with pytest.raises(ValueError, match="no place for the results"):
        replace_block("# Title\n", "new")


def test_the_readme_has_a_place_for_the_results():
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert replace_block(text, read_block(text)) == text


def test_the_readme_shows_the_record_of_this_checkout():
    folder = CHECKOUT / REFERENCE
    block = read_block((CHECKOUT / "README.md").read_text(encoding="utf-8"))
    assert block == write_block(read_reference(folder / REFERENCE_TABLE), RECORD)
    assert f"({REFERENCE}/{FIGURE})" in block
    # Figure, report and results were written together with the table, and not changed since.
    sums = (folder / REFERENCE_SUMS).read_text(encoding="utf-8")
    assert f"  {FIGURE}\n" in sums
    assert sums == sum_files(folder)
