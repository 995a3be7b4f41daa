"""The figures that every experiment has: learning curves and accuracies."""

from __future__ import annotations

from collections.abc import Sequence

from hw2core.analysis.accuracy import plot_accuracy
from hw2core.analysis.curves import plot_curves
from hw2core.analysis.drawing import save_figure
from hw2core.analysis.tables import epochs_table, summary_table
from hw2core.config.spec import Experiment
from hw2core.runs.paths import FIGURE_FORMATS, figure_path
from hw2core.runs.schema import Result


def draw_experiment(experiment: Experiment, results: Sequence[Result]) -> list[str]:
    """Draw the figures of one experiment and return their paths."""
    own = [result for result in results if result.experiment == experiment.name]
    summary, epochs = summary_table(own), epochs_table(own)
    figures = {
        "curves": plot_curves(experiment, summary, epochs),
        "accuracy": plot_accuracy(experiment, summary),
    }
    written = []
    for kind, figure in figures.items():
        paths = [figure_path(experiment.name, kind, suffix) for suffix in FIGURE_FORMATS]
        save_figure(figure, paths)
        written += paths
    return written
