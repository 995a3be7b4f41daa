"""Faults against the real pipeline: every kind once in `make test-all`, hundreds on demand.

    HW2_FAULTS=200 HW2_FAULT_SEED=1 python -m pytest -s tests/faults

prints a table of 200 faults by kind.
"""

from __future__ import annotations

import os

import pytest
from campaign import format_table, run_campaign, schedule
from kinds import KINDS
from small_study import make_study

pytestmark = pytest.mark.workflow

NUM_FAULTS = int(os.environ.get("HW2_FAULTS", len(KINDS)))
SEED = int(os.environ.get("HW2_FAULT_SEED", "0"))
CHAIN = 15


def test_no_fault_loses_or_changes_a_number(tmp_path):
    faults = schedule(NUM_FAULTS, SEED)
    assert {kind for kind, _ in faults[: len(KINDS)]} == set(KINDS) or len(faults) < len(KINDS)
    reference = make_study(tmp_path / "reference")
    tallies = run_campaign(reference, tmp_path / "broken", faults, chain=CHAIN)
    print(format_table(tallies))
    problems = {
        kind: [*tally.wrong, *tally.differing, *tally.unclear]
        for kind, tally in tallies.items()
        if tally.wrong or tally.differing or tally.unclear
    }
    assert not problems
