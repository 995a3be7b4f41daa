"""Rule written_report: write the report, as HTML and PDF, from the results that are there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hw2core.analysis.publish import publish_report
from hw2core.analysis.render import ReportError
from hw2core.artifacts import REFERENCE_TABLE, REPORT, REPORT_PDF, reference_path
from hw2core.atomic import WriteError
from hw2core.outline import parse_outlines
from hw2core.progress import open_log
from hw2core.result_files import ArtifactError, find_results
from hw2core.study import ROOT, load_outlines


def main() -> int:
    """Write the report; 1 when a result cannot be read, or pandoc or Typst fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", help="outlines as JSON; default: those of config.yaml")
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    outlines = parse_outlines(args.experiments) if args.experiments else load_outlines()
    log = open_log("report", args.log)
    try:
        documents, missing = find_results(outlines)
        reference = ROOT / reference_path(REFERENCE_TABLE)
        publish_report(outlines, documents, missing, Path(REPORT), Path(REPORT_PDF), reference)
    except (ArtifactError, ReportError, WriteError) as error:
        log.error(str(error))
        return 1
    log.info(f"wrote {REPORT} and {REPORT_PDF}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
