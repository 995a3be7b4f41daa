"""The figure of this study beside what public solutions of the same assignment reached."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hw2core.analysis.drawing import (
    FAINT,
    MUTED,
    PAGE_WIDTH,
    plot_missing,
    title_study_figure,
    use_style,
)
from hw2core.analysis.study_tables import StudyTables, compare_with_record
from hw2core.analysis.tables import CHANCE_ACCURACY, iterate_rows

OURS, RANGE = "#0072b2", "#e3e3e3"


def plot_public_record(tables: StudyTables) -> Figure:
    """Return a row per run: the public range and median, and the mean and range of our seeds."""
    with use_style():
        rows = compare_with_record(tables.summary, tables.record)
        if rows.empty:
            return plot_missing("Beside the public record: none of its runs has a result yet.")
        figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.165 * len(rows)))
        axes = figure.subplots()
        own = tables.summary[tables.summary["run"].isin(rows["run"])]
        title_study_figure(figure, "This study beside the public record", own)
        for place, row in enumerate(iterate_rows(rows)):
            axes.barh(place, row.highest - row.lowest, left=row.lowest, height=0.55, color=RANGE)
            axes.plot([row.median] * 2, [place - 0.3, place + 0.3], color=MUTED, linewidth=1.2)
            axes.plot([row.low, row.high], [place] * 2, color=OURS, linewidth=1.0)
            axes.plot(row.mean, place, "o", color=OURS, markeredgecolor="white", gid=row.run)
        axes.axvline(CHANCE_ACCURACY, color=FAINT, linestyle=":", linewidth=0.9)
        axes.set_yticks(range(len(rows)), list(rows["run"]))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Test accuracy (%)")
        handles = [
            Line2D([], [], color=OURS, marker="o", label="ours: mean and range of seeds"),
            Line2D([], [], color=MUTED, marker="|", linestyle="", label="public median"),
            Patch(color=RANGE, label="public range"),
            Line2D([], [], color=FAINT, linestyle=":", label="chance"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure
