"""Puts the statistics of layers of several results into one data frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from hw2core.runs.schema import Result

QUANTITIES = ("gradient_norm", "activation_std", "dead_fraction")
COLUMNS = ("experiment", "run", "seed", "epoch", "layer", "place", *QUANTITIES)


def layers_table(results: Iterable[Result]) -> pd.DataFrame:
    """Return one row per run, seed, epoch (0: before training) and layer.

    ``place`` counts the layers of a network from 1. ``gradient_norm`` is the root mean square of
    the loss gradient over a layer's weights, ``activation_std`` the standard deviation of its
    output, ``dead_fraction`` the share of its ReLUs that are zero on every image of the batch;
    what does not apply to a layer is missing. Results without them are left out.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        layers = result.layers
        if layers is None:
            continue
        rows += [
            {
                "experiment": result.experiment,
                "run": result.name,
                "seed": result.seed,
                "epoch": epoch,
                "layer": name,
                "place": place + 1,
                **{key: getattr(layers, key)[moment][place] for key in QUANTITIES},
            }
            for moment, epoch in enumerate(layers.epochs)
            for place, name in enumerate(layers.names)
        ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(QUANTITIES, "float64"))
