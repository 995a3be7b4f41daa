"""The figure of this study beside what public solutions of the same assignment reached."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hw2core.analysis.drawing import (
    FAINT,
    INK,
    MUTED,
    PAGE_WIDTH,
    plot_missing,
    title_study_figure,
    use_style,
)
from hw2core.analysis.looks import add_family
from hw2core.analysis.study_tables import StudyTables, compare_with_record
from hw2core.analysis.tables import CHANCE_ACCURACY, iterate_rows
from hw2core.analysis.wording import format_number

OURS, RANGE = "#0072b2", "#e3e3e3"
HEAD = 0.9  # rows that the name of an experiment takes


def plot_public_record(tables: StudyTables) -> Figure:
    """Return a row per run: the public range and median, our mean and every seed of ours.

    Runs stand by experiment. A seed that did not train is hollow: the mean of a run of which some
    seeds trained describes none of them.
    """
    with use_style():
        rows = compare_with_record(tables.summary, tables.record)
        if rows.empty:
            return plot_missing("Beside the public record: none of its runs has a result yet.")
        own = add_family(tables.summary[tables.summary["run"].isin(rows["run"])])
        heads = own.drop_duplicates("run").set_index("run")
        experiments = [heads.loc[run, "experiment"] for run in rows["run"]]
        height = len(rows) + HEAD * len(set(experiments))
        figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.165 * height))
        axes = figure.subplots()
        title_study_figure(figure, "This study beside the public record", own)
        places: list[float] = []
        for row, experiment in zip(iterate_rows(rows), experiments, strict=True):
            place = places[-1] + 1 if places else 0.0
            if not places or experiment != experiments[len(places) - 1]:
                place += HEAD
                kind = f"{experiment}: {heads.loc[row.run, 'family']}"
                axes.text(1, place - 0.95, kind, va="center", color=INK, weight="bold")
            places.append(place)
            _draw_run(axes, place, row)
            for seed in iterate_rows(own[own["run"] == row.run]):
                _draw_seed(axes, place, seed)
        axes.axvline(CHANCE_ACCURACY, color=FAINT, linestyle=":", linewidth=0.9, zorder=0.5)
        axes.set_yticks(places, list(rows["run"]))
        axes.set_ylim(places[-1] + 0.6, -0.6)
        axes.set_xlim(0, 100)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Test accuracy (%)")
        axes.text(1.005, -0.05, "Our mean", transform=axes.get_yaxis_transform(), va="center")
        figure.legend(handles=_list_handles(), loc="outside lower left", ncols=6)
    return figure


def _draw_run(axes: Axes, place: float, row: Any) -> None:
    """Draw a row of ``compare_with_record``, and write its mean at the right edge."""
    axes.barh(place, row.highest - row.lowest, left=row.lowest, height=0.6, color=RANGE, zorder=1)
    axes.plot([row.median] * 2, [place - 0.3, place + 0.3], color=MUTED, linewidth=1.2)
    axes.plot(row.mean, place, "|", color=OURS, markersize=7, markeredgewidth=1.6, gid=row.run)
    edge = axes.get_yaxis_transform()
    axes.text(1.005, place, format_number(row.mean), transform=edge, va="center", color=OURS)


def _draw_seed(axes: Axes, place: float, seed: Any) -> None:
    """Draw one training; there is nothing to draw of one without a test accuracy."""
    face = OURS if seed.status == "trained" else "white"
    gid = f"{seed.run}/seed{seed.seed}"
    look: dict[str, Any] = {
        "markersize": 3.2,
        "markerfacecolor": face,
        "markeredgewidth": 0.8,
        "alpha": 0.75,
    }
    axes.plot(seed.test_accuracy, place, "o", color=OURS, gid=gid, **look)


def _list_handles() -> list[Line2D | Patch]:
    dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 3.2, "color": OURS}
    return [
        Line2D([], [], label="ours: a seed", **dot),
        Line2D([], [], label="a seed that did not train", markerfacecolor="white", **dot),
        Line2D([], [], label="mean", marker="|", linestyle="", color=OURS, markeredgewidth=1.6),
        Line2D([], [], color=MUTED, marker="|", linestyle="", label="public median"),
        Patch(color=RANGE, label="public range"),
        Line2D([], [], color=FAINT, linestyle=":", label="chance"),
    ]
