"""What the terminal shows of Snakemake's log."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from hw2core import progress
from hw2core.errors import UserError


@pytest.fixture
def terminal(monkeypatch):
    """A logger as Snakemake's, with the filter; ``shown`` are the lines that pass it."""
    moment = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: moment.now)
    monkeypatch.setattr(progress, "look", lambda study, pairs, full: ([], f"{len(pairs)} runs"))
    shown, handler = [], logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    handler.addFilter(filter_ := progress.Terminal(study=None))
    logger = logging.getLogger("terminal")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [handler]

    def log(text, event=None, level=logging.INFO):
        extra = {"event": SimpleNamespace(name=event)} if event else None
        logger.log(level, text, extra=extra)

    return SimpleNamespace(log=log, shown=shown, filter=filter_, moment=moment)


def test_errors_and_what_is_no_chatter_are_shown(terminal):
    for event in ("JOB_INFO", "JOB_FINISHED", "GROUP_INFO", "RUN_INFO", "PROGRESS"):
        terminal.log("chatter", event)
    terminal.log("Building DAG of jobs...")
    terminal.log("Error in rule train", "JOB_ERROR", logging.ERROR)
    terminal.log("a warning", level=logging.WARNING)
    terminal.log("Nothing to be done")
    assert terminal.shown == ["Error in rule train", "a warning", "Nothing to be done"]


@pytest.mark.parametrize(("planned", "lines"), [([("a", 0), ("b", 0)], ["2 runs"] * 3), ([], [])])
def test_a_line_on_the_planned_runs_comes_every_ten_seconds(terminal, planned, lines):
    terminal.filter.planned = planned
    for now in range(0, 31, 5):
        terminal.moment.now = float(now)
        terminal.log("1 of 9 steps", "PROGRESS")
    assert terminal.shown == lines


@pytest.mark.parametrize("kind", [UserError, OSError, SyntaxError])  # code that is being edited
def test_a_state_that_cannot_be_read_ends_nothing(terminal, monkeypatch, kind):
    def fail(*_, **__):
        raise kind("x.json: damaged")

    monkeypatch.setattr(progress, "look", fail)
    terminal.filter.planned, terminal.moment.now = [("a", 0)], 100.0
    terminal.log("1 of 9 steps", "PROGRESS")
    assert terminal.shown == ["x.json: damaged"]
