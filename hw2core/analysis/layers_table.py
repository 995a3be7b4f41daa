"""The per-layer records of result documents as one data frame."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from hw2core.analysis.tables import Document

QUANTITIES = ("gradient_norm", "activation_std", "dead_fraction")
COLUMNS = ("experiment", "run", "seed", "epoch", "layer", "place", *QUANTITIES)


def layers_table(documents: Iterable[Document]) -> pd.DataFrame:
    """Return one row per run, seed, epoch (0: before training) and layer.

    ``place`` counts the layers of a network from 1. ``gradient_norm`` is the root mean square of
    the loss gradient over a layer's weights, ``activation_std`` the standard deviation of its
    output, ``dead_fraction`` the share of its ReLUs that are zero on every image of the batch;
    what does not apply to a layer is missing. Documents without a record are left out.
    """
    rows: list[dict[str, Any]] = []
    for document in documents:
        record, config = document["metadata"].get("layers"), document["config"]
        if not record:
            continue
        rows += [
            {
                "experiment": config["experiment"],
                "run": config["name"],
                "seed": config["seed"],
                "epoch": epoch,
                "layer": name,
                "place": place + 1,
                **{key: _read(record[key][moment][place]) for key in QUANTITIES},
            }
            for moment, epoch in enumerate(record["epochs"])
            for place, name in enumerate(record["names"])
        ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(QUANTITIES, "float64"))


def _read(value: float | None) -> float:
    return math.nan if value is None else value
