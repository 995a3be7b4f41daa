"""Rule experiment_figures: draw the figures of one experiment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hw2core.analysis.figures import plot_accuracy, plot_curves, save_figure
from hw2core.analysis.tables import epochs_table, summary_table
from hw2core.artifacts import FIGURE_FORMATS, ArtifactError, figure_path, read_results
from hw2core.atomic import WriteError
from hw2core.outline import parse_outlines
from hw2core.progress import open_log


def main() -> int:
    """Draw the figures; 1 when a result cannot be read or a figure not be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="outline as JSON, a list of one")
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    (outline,) = parse_outlines(args.experiment)
    log = open_log(f"figures {outline.name}", args.log)
    try:
        documents = read_results([outline])
        summary, epochs = summary_table(documents), epochs_table(documents)
        figures = {
            "curves": plot_curves(outline, summary, epochs),
            "accuracy": plot_accuracy(outline, summary),
        }
        for kind, figure in figures.items():
            paths = [figure_path(outline.name, kind, suffix) for suffix in FIGURE_FORMATS]
            save_figure(figure, [Path(path) for path in paths])
            log.info(f"wrote {', '.join(paths)}")
    except (ArtifactError, WriteError) as error:
        log.error(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
