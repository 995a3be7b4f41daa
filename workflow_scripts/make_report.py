"""Rule written_report: write the report, as HTML and PDF, from the existing results."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from pathlib import Path

import use_checkout  # noqa: F401
from json_options import add_experiments_option

from hw2core.analysis.report import publish
from hw2core.analysis.tables import load, read_table
from hw2core.config.study import CHECKOUT, load_experiments
from hw2core.runs.log import run_job
from hw2core.runs.paths import REFERENCE_TABLE, REPORT, REPORT_PDF, reference_path
from hw2core.runs.staleness import refuse_mixed_images, warn_of_stale


def main() -> int:
    """Write the report; return 1 if a result cannot be read, or pandoc or Typst fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_experiments_option(parser)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()

    def work(log: logging.Logger) -> str:
        study = load(args.experiments or load_experiments())
        warn_of_stale(study.experiments, log)
        refuse_mixed_images(study.results)
        published = CHECKOUT / reference_path(REFERENCE_TABLE)
        if published.exists():
            study = dataclasses.replace(study, reference=read_table(published))
        publish(study, Path(REPORT), Path(REPORT_PDF))
        return f"wrote {REPORT} and {REPORT_PDF}"

    return run_job(work, "report", args.log, shows_end=True)


if __name__ == "__main__":
    sys.exit(main())
