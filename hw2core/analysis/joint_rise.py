"""Finds consecutive epochs in which loss and accuracy on held-out images rise together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hw2core.analysis.ranking import list_rows
from hw2core.analysis.tables import Study


class JointRise(NamedTuple):
    """The strongest case: both curves before and after, and both rises in standard errors."""

    run: str
    seed: int
    epoch: int
    images: int
    losses: tuple[float, float]  # in nats, before and after
    accuracies: tuple[float, float]  # in percent
    loss_errors: float
    accuracy_errors: float
    found: int  # cases
    compared: int  # pairs of consecutive epochs


def find_joint_rise(study: Study) -> JointRise | None:
    """Return the case in which the smaller of both rises is the greatest, in standard errors.

    The standard error of an accuracy is binomial. Losses of single images are not recorded: their
    standard deviation is taken to be their mean, as that of an exponential distribution. Both
    epochs are taken as independent; since their images are the same, the errors are rather too
    large.

    Returns:
        None where there is no case.
    """
    runs = study.runs.drop_duplicates(["spec_hash", "seed"])  # one that has two names, once
    keys = ["run", "seed"]
    rows = study.epochs.merge(runs[[*keys, "validation_images"]], on=keys)
    rows = rows.rename(columns={"validation_loss": "loss", "validation_accuracy": "accuracy"})
    before = rows.groupby(keys)[["loss", "accuracy"]].shift()
    images = rows["validation_images"].astype(float)
    share, share_before = rows["accuracy"] / 100, before["accuracy"] / 100
    variance = share * (1 - share) + share_before * (1 - share_before)
    rows = rows.assign(
        loss_before=before["loss"],
        accuracy_before=before["accuracy"],
        loss_errors=(rows["loss"] - before["loss"])
        / np.sqrt((rows["loss"] ** 2 + before["loss"] ** 2) / images),
        accuracy_errors=(share - share_before) / np.sqrt(variance / images),
    )
    smaller = rows[["loss_errors", "accuracy_errors"]].min(axis="columns", skipna=False)
    cases = list_rows(rows.assign(smaller=smaller)[smaller > 0])
    if not cases:
        return None
    best = max(cases, key=lambda case: case.smaller)
    return JointRise(
        best.run,
        best.seed,
        best.epoch,
        best.validation_images,
        (best.loss_before, best.loss),
        (best.accuracy_before, best.accuracy),
        best.loss_errors,
        best.accuracy_errors,
        len(cases),
        int(smaller.notna().sum()),
    )
