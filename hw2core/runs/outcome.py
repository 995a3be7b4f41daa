"""Decides from the curves of a run whether it trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hw2core.data.registry import count_classes

if TYPE_CHECKING:
    from hw2core.runs.schema import Result

TRAINED_FACTOR = 2.5  # times chance level, in the last epoch
TRAINED_SHARE = 1 / 6  # of the way from chance level to 100 %: less with fewer than ten classes
STATUSES = ("trained", "at_chance", "diverged")


def measure_chance(num_classes: int) -> float:
    """Return the accuracy of guessing, in percent."""
    return 100 / num_classes


def measure_trained(num_classes: int) -> float:
    """Return the least accuracy of a run that trained, in percent."""
    chance = measure_chance(num_classes)
    return min(TRAINED_FACTOR * chance, chance + TRAINED_SHARE * (100 - chance))


def judge_status(result: Result) -> str:
    """Return one of ``STATUSES``, by the rule in ``describe_status_rule``.

    A run that learns nothing is a result, not an error: deep plain networks do that.
    """
    curves, data = result.epochs, result.config.get("data", {})
    if None in curves.train_loss:  # stored instead of a number that is not finite
        return "diverged"
    last = max(curves.train_accuracy[-1], curves.validation_accuracy[-1])
    enough = measure_trained(count_classes(data.get("name")))
    return "trained" if last >= enough else "at_chance"


def describe_status_rule(num_classes: Iterable[int]) -> str:
    """Return in words when a run on images of so many classes counts as trained."""
    numbers = set(num_classes)
    amounts = " or ".join(f"{level:.3g} %" for level in sorted(map(measure_trained, numbers)))
    rule = f"{TRAINED_FACTOR:g} times chance level"
    if any(measure_trained(n) < TRAINED_FACTOR * measure_chance(n) for n in numbers):
        rule += ", or a sixth of the way from chance level to 100 % if that is less"
    return (
        "A run counts as trained if its training or validation accuracy in the last epoch is at "
        f"least {rule} ({amounts}), as diverged if a training loss is not finite, and as at chance "
        "otherwise."
    )
