"""Decides from the curves of a run whether it trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hw2core.data.registry import count_classes

if TYPE_CHECKING:
    from hw2core.runs.schema import Result

TRAINED_FACTOR = 2.5  # times chance level, in the last epoch
STATUSES = ("trained", "at_chance", "diverged")


def measure_chance(num_classes: int) -> float:
    """Return the accuracy of guessing, in percent."""
    return 100 / num_classes


def judge_status(result: Result) -> str:
    """Return one of ``STATUSES``, by the rule in ``describe_status_rule``.

    A run that learns nothing is a result, not an error: deep plain networks do that.
    """
    curves, data = result.epochs, result.config.get("data", {})
    chance = measure_chance(count_classes(data.get("name")))
    if None in curves.train_loss:  # stored instead of a number that is not finite
        return "diverged"
    last = max(curves.train_accuracy[-1], curves.validation_accuracy[-1])
    return "trained" if last >= TRAINED_FACTOR * chance else "at_chance"


def describe_status_rule(num_classes: Iterable[int]) -> str:
    """Return in words when a run on images of so many classes counts as trained."""
    levels = sorted({TRAINED_FACTOR * measure_chance(number) for number in num_classes})
    amounts = " or ".join(f"{level:g} %" for level in levels)
    return (
        "A run counts as trained if its training or validation accuracy in the last epoch is at "
        f"least {TRAINED_FACTOR:g} times chance level ({amounts}), as diverged if a "
        "training loss is not finite, and as at chance otherwise."
    )
