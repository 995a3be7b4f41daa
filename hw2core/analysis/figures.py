"""The figures over the whole study: tables in, a matplotlib figure out.

A new one is one function and one entry: here, with its name in ``runs.paths.STUDY_FIGURES`` and a
caption of that name in ``report/captions/``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from hw2core.analysis.cost import plot_cost, plot_gap
from hw2core.analysis.drawing import save_figure
from hw2core.analysis.gradient_flow import plot_gradient_flow
from hw2core.analysis.mistakes import plot_confusion, plot_mistakes
from hw2core.analysis.public_record import read_public_record
from hw2core.analysis.record_figure import plot_public_record
from hw2core.analysis.remedies import plot_remedies
from hw2core.analysis.study_tables import StudyTables, build_tables, read_pictures
from hw2core.analysis.trainability import plot_trainability
from hw2core.config.study import CHECKOUT
from hw2core.runs.paths import FIGURE_FORMATS, PUBLIC_RECORD, STUDY_FIGURES, study_figure_path
from hw2core.runs.schema import Result

PLOTS: dict[str, Callable[[StudyTables], Figure]] = {
    "gradient_flow": plot_gradient_flow,
    "trainability": plot_trainability,
    "cost": plot_cost,
    "gap": plot_gap,
    "confusion": plot_confusion,
    "mistakes": plot_mistakes,
    "public_record": plot_public_record,
    "remedies": plot_remedies,
}


def draw_study(results: Sequence[Result], manifest: Path | None = None) -> list[str]:
    """Draw every figure over the whole study and return their paths.

    Args:
        results: those of the whole study.
        manifest: of the prepared data, whose test images are shown where they are there.

    Raises:
        DataError: the data are there, but damaged.
    """
    pictures = read_pictures(manifest) if manifest else None
    tables = build_tables(results, read_public_record(CHECKOUT / PUBLIC_RECORD), pictures)
    written = []
    for kind in STUDY_FIGURES:
        paths = [study_figure_path(kind, suffix) for suffix in FIGURE_FORMATS]
        save_figure(PLOTS[kind](tables), paths)
        written += paths
    return written
