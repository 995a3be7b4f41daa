"""Rule tables: write the table of trainings and the table of epochs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hw2core.analysis.tables import epochs_table, summary_table, write_table
from hw2core.atomic import WriteError
from hw2core.outline import parse_outlines
from hw2core.progress import open_log
from hw2core.result_files import ArtifactError, read_results


def main() -> int:
    """Write the tables; 1 when a result cannot be read or a table not be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", required=True, help="outlines as JSON")
    parser.add_argument("--summary", type=Path, required=True)
    parser.add_argument("--epochs", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    log = open_log("tables", args.log)
    try:
        documents = read_results(parse_outlines(args.experiments))
        write_table(summary_table(documents), args.summary)
        write_table(epochs_table(documents), args.epochs)
    except (ArtifactError, WriteError) as error:
        log.error(str(error))
        return 1
    log.info(f"{len(documents)} trainings -> {args.summary}, {args.epochs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
