"""Rules experiment_figures and study_figures: draw figures of the results that are there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hw2core.analysis.experiment_figures import draw_experiment
from hw2core.atomic import WriteError
from hw2core.data.prepared import DataError
from hw2core.outline import parse_outlines
from hw2core.progress import open_log
from hw2core.result_files import ArtifactError, find_results


def main() -> int:
    """Draw the figures; 1 when a result cannot be read or a figure not be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", help="outlines as JSON; default: those of config.yaml")
    parser.add_argument("--only", choices=["experiments", "study"], help="default: both kinds")
    parser.add_argument("--data", type=Path, help="manifest of the images, for those it shows")
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    if args.experiments:
        outlines = parse_outlines(args.experiments)
    else:
        # Here: the model of config.yaml is half as much to import as what draws.
        from hw2core.study import load_outlines

        outlines = load_outlines()
    log = open_log("figures", args.log)
    try:
        documents, _ = find_results(outlines)
        written = []
        if args.only != "study":
            written += [path for x in outlines for path in draw_experiment(x, documents)]
        if args.only != "experiments":
            # Here: it imports more than the figures of one experiment need.
            from hw2core.analysis.figures import draw_study

            written += draw_study(documents, args.data)
    except (ArtifactError, DataError, WriteError) as error:
        log.error(str(error))
        return 1
    log.info(f"wrote {', '.join(written)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
