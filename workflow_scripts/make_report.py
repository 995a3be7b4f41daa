"""Rule html_report: write the report from all results and figures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hw2core.analysis.render import ReportError, render_report
from hw2core.artifacts import FIGURE_KINDS, ArtifactError, figure_path, read_results
from hw2core.atomic import WriteError
from hw2core.outline import parse_outlines
from hw2core.progress import open_log


def main() -> int:
    """Write the report; 1 when a result cannot be read or pandoc fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", required=True, help="outlines as JSON")
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    outlines = parse_outlines(args.experiments)
    log = open_log("report", args.log)
    figures = {
        outline.name: [Path(figure_path(outline.name, kind, "svg")) for kind in FIGURE_KINDS]
        for outline in outlines
    }
    try:
        documents = read_results(outlines)
        render_report(outlines, documents, figures, args.template, args.output, missing={})
    except (ArtifactError, ReportError, WriteError) as error:
        log.error(str(error))
        return 1
    log.info(f"wrote {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
