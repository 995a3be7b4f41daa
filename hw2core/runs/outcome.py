"""Decides from the curves of a run whether it trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw2core.data.arrays import NUM_CLASSES

if TYPE_CHECKING:
    from hw2core.runs.schema import Epochs

CHANCE_ACCURACY = 100 / NUM_CLASSES
TRAINED_FACTOR = 2.5  # times chance level, in the last epoch
TRAINED_ACCURACY = TRAINED_FACTOR * CHANCE_ACCURACY
STATUSES = ("trained", "at_chance", "diverged")


def judge_status(curves: Epochs) -> str:
    """Return one of ``STATUSES``, by the rule in ``describe_status_rule``.

    A run that learns nothing is a result, not an error: deep plain networks do that.
    """
    if None in curves.train_loss:  # stored instead of a number that is not finite
        return "diverged"
    last = max(curves.train_accuracy[-1], curves.validation_accuracy[-1])
    return "trained" if last >= TRAINED_ACCURACY else "at_chance"


def describe_status_rule() -> str:
    """Return in words when a run counts as trained."""
    return (
        "A run counts as trained if its training or validation accuracy in the last epoch is at "
        f"least {TRAINED_FACTOR:g} times chance level ({TRAINED_ACCURACY:g} %), as diverged if a "
        "training loss is not finite, and as at chance otherwise."
    )
