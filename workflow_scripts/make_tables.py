"""Rule tables: write the tables of runs and of epochs from the existing results."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import use_checkout  # noqa: F401
from json_options import add_experiments_option

from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import load, write_table
from hw2core.config.study import load_experiments
from hw2core.runs.log import run_job
from hw2core.runs.paths import EPOCHS_TABLE, SUMMARY_TABLE
from hw2core.runs.staleness import refuse_mixed_images, warn_of_stale


def main() -> int:
    """Write the tables; return 1 if a result cannot be read or a table cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_experiments_option(parser)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()

    def work(log: logging.Logger) -> str:
        study = load(args.experiments or load_experiments())
        warn_of_stale(study.experiments, log)
        refuse_mixed_images(study.results)
        write_table(study.runs[list(SUMMARY_COLUMNS)], SUMMARY_TABLE)
        write_table(study.epochs, EPOCHS_TABLE)
        return f"{len(study.results)} results -> {SUMMARY_TABLE}, {EPOCHS_TABLE}"

    return run_job(work, "tables", args.log)


if __name__ == "__main__":
    sys.exit(main())
