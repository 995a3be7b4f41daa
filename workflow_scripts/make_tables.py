"""Rule tables: write the table of runs and the table of epochs."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.analysis.tables import epochs_table, summary_table, write_table
from hw2core.config.spec import parse_experiments
from hw2core.runs.files import read_results
from hw2core.runs.log import run_job


def main() -> int:
    """Write the tables; 1 when a result cannot be read or a table cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=parse_experiments, required=True, help="as JSON")
    parser.add_argument("--summary", type=Path, required=True)
    parser.add_argument("--epochs", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()

    def work(log: logging.Logger) -> str:
        results = read_results(args.experiments)
        write_table(summary_table(results), args.summary)
        write_table(epochs_table(results), args.epochs)
        return f"{len(results)} results -> {args.summary}, {args.epochs}"

    return run_job(work, "tables", args.log)


if __name__ == "__main__":
    sys.exit(main())
