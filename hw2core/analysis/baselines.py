"""Reads what public solutions of the same assignment reached."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hw2core.runs.paths import BASELINES

FILE = Path(__file__).parents[2] / BASELINES
COLUMNS = ["run", "solutions", "at_chance_share", "median", "lowest", "highest"]


def read_baselines(path: Path | str = FILE) -> pd.DataFrame:
    """Return one row per run name: best test accuracies of public solutions, in percent.

    Lines that start with # describe the numbers.

    Raises:
        ValueError: the file has other columns.
    """
    baselines = pd.read_csv(path, comment="#")
    if list(baselines.columns) != COLUMNS:
        raise ValueError(f"{path}: columns {list(baselines.columns)}, must be {COLUMNS}")
    return baselines
