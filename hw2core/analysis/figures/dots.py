"""All runs in one dot plot, each next to what public solutions of the same run reached."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from hw2core.analysis.figures import drawing, style
from hw2core.analysis.figures.ablation import find_ablation
from hw2core.analysis.figures.style import colour_family
from hw2core.analysis.ranking import find_best, list_rows, select
from hw2core.analysis.status import CHANCE_ACCURACY
from hw2core.analysis.tables import Study
from hw2core.analysis.text import count_things, format_number, format_range

MISSING = "No run has a test accuracy yet."


def compare_with_baselines(study: Study) -> pd.DataFrame:
    """Return ``study.summary`` with ``median`` and ``highest`` of public solutions of the same run.

    These are missing where a run was trained on other images here. Left out are runs without a test
    accuracy, and the ablation, which has a figure of its own.
    """
    summary = study.summary.dropna(subset="test")
    summary = summary[summary["experiment"] != find_ablation(study)]
    same = study.baselines["run"].isin(select(study.runs, data="cifar10")["run"])
    public = study.baselines.loc[same, ["run", "median", "highest"]]
    return summary.merge(public, on="run", how="left")


def describe_dots(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    summary = compare_with_baselines(study)
    if summary.empty:
        return MISSING, ""
    notes = [f"Test accuracy of {count_things(len(summary), 'run')}."]
    if best := find_best(summary):
        notes.append(f"{best.run}, the best by validation, has {format_number(best.test)} %.")
    compared = summary[summary["highest"].notna() & (summary["trained"] > 0)]
    if not compared.empty:
        above = [int((compared["test"] > compared[name]).sum()) for name in ("median", "highest")]
        notes.append(
            f"Of the {count_things(len(compared), 'run')} that train and that public solutions "
            f"have, {above[0]} are above the public median and {above[1]} above the public best."
        )
    finding = " ".join(notes)
    if summary["seeds"].max() > 1:
        notes.append("Dots are means over the seeds that train, with their range.")
    runs = study.runs[study.runs["run"].isin(summary["run"])]
    return drawing.join_caption(notes, runs), finding


def draw_dots(study: Study) -> Figure:
    """Return a row per run, by experiment: full name, dot, public band and value."""
    summary = compare_with_baselines(study)
    if summary.empty:
        return drawing.draw_missing(MISSING)
    with style.use_style():
        height = 0.165 * (len(summary) + 1.3 * summary["experiment"].nunique())
        plot = Figure(figsize=(style.FIGURE_WIDTH, height + 0.9))
        axes = plot.subplots()
        from_edge = blended_transform_factory(plot.transFigure, axes.transData)
        place, places = 0.0, []
        for name, rows in summary.groupby("experiment", sort=False):
            head = axes.text(0.01, place + 0.3, _head(study, str(name)), va="center")
            head.set(weight="bold", in_layout=False, transform=from_edge)
            place += 1.3
            for row in list_rows(rows):
                _draw_run(axes, place, row)
                places.append(place)
                place += 1
        drawing.finish_rows(axes, places, list(summary["run"]), "Test accuracy (%)")
        axes.set_xlim(0, max(50.0, min(100.0, summary[["test_high", "highest"]].max().max() + 5)))
        axes.axvline(CHANCE_ACCURACY, color=style.MUTED, linestyle=":", linewidth=0.9, zorder=1)
        plot.legend(handles=_list_handles(summary), loc="outside lower left", ncols=4)
    return plot


def _head(study: Study, experiment: str) -> str:
    """Return the experiment's name, with its budget where that is not the usual one."""
    own = drawing.describe_budget(select(study.runs, experiment=experiment))
    usual = study.runs.groupby(drawing.BUDGET)["run"].transform("size")
    return (
        experiment
        if own == drawing.describe_budget(study.runs[usual == usual.max()])
        else (f"{experiment}: {own}")
    )


def _draw_run(axes: Axes, place: float, row: Any) -> None:
    values = (row.test, row.test_low, row.test_high)
    hover = f"{row.run}: {format_range(*values)} %"
    if pd.notna(row.highest):
        width = row.highest - row.median
        axes.barh(place, width, height=0.62, left=row.median, color=style.BAND, zorder=1)
        public = f"{format_number(row.median)} %, best {format_number(row.highest)} %"
        hover += f"; public median {public}"
    text = format_number(row.test)
    if 0 < row.trained < row.seeds:
        text += f" ({row.trained} of {row.seeds})"
        hover += f"; {row.trained} of {row.seeds} seeds trained"
    dot = drawing.draw_row(axes, place, values, colour_family(row.family), text, hover)
    if not row.trained:
        dot.set_markerfacecolor(style.PAPER)


def _list_handles(summary: pd.DataFrame) -> list[Artist]:
    families = summary["family"].unique()
    handles: list[Artist] = [drawing.make_handle(name, colour_family(name)) for name in families]
    if (summary["trained"] == 0).any():
        handles.append(drawing.make_handle("at chance", style.INK, style.PAPER))
    if summary["highest"].notna().any():
        handles.append(drawing.PUBLIC)
    return handles
