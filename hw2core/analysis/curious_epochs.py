"""Search the curves for epochs in which loss and accuracy on held-out images rise together."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class CuriousEpoch(NamedTuple):
    """The clearest such epoch: values before and after it, and how common such epochs are."""

    run: str
    seed: int
    epoch: int
    loss_before: float
    loss_after: float
    accuracy_before: float
    accuracy_after: float
    found: int
    compared: int


def find_curious_epoch(epochs: pd.DataFrame) -> CuriousEpoch | None:
    """Return the epoch whose rises in loss (nats) and in accuracy have the greatest product.

    Args:
        epochs: of :func:`hw2core.analysis.tables.epochs_table`; each epoch is compared with the
            one before it.

    Returns:
        None where in no epoch both rose.
    """
    rows = epochs.sort_values(["run", "seed", "epoch"])
    before = rows.groupby(["run", "seed"])[["validation_loss", "validation_accuracy"]].shift()
    rows = rows.assign(loss=before["validation_loss"], accuracy=before["validation_accuracy"])
    rows = rows.dropna(subset=["loss", "accuracy", "validation_loss", "validation_accuracy"])
    loss_rise = rows["validation_loss"] - rows["loss"]
    accuracy_rise = rows["validation_accuracy"] - rows["accuracy"]
    both = rows[(loss_rise > 0) & (accuracy_rise > 0)]
    if both.empty:
        return None
    order = (loss_rise * accuracy_rise)[both.index].to_numpy()
    clearest = both.iloc[int(order.argmax())]
    return CuriousEpoch(
        run=str(clearest["run"]),
        seed=int(clearest["seed"]),
        epoch=int(clearest["epoch"]),
        loss_before=float(clearest["loss"]),
        loss_after=float(clearest["validation_loss"]),
        accuracy_before=float(clearest["accuracy"]),
        accuracy_after=float(clearest["validation_accuracy"]),
        found=len(both),
        compared=len(rows),
    )
