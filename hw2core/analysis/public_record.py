"""What public solutions of the same assignment reached: a small table that comes with the study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

COLUMNS = ("run", "solutions", "at_chance_share", "median", "lowest", "highest")


def read_public_record(path: Path | str) -> pd.DataFrame:
    """Return one row per run name; lines that start with # say what the numbers are.

    Raises:
        ValueError: the file has other columns.
    """
    record = pd.read_csv(path, comment="#")
    if tuple(record.columns) != COLUMNS:
        raise ValueError(f"{path}: columns {list(record.columns)}, must be {list(COLUMNS)}")
    return record
