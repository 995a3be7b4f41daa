"""The figure of test accuracy against depth L and widths K (or per run, where a net has none)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from hw2core.analysis.drawing import (
    INK,
    MUTED,
    PAGE_WIDTH,
    place_labels,
    plot_nothing,
    spread_labels,
    title_figure,
    use_style,
)
from hw2core.analysis.looks import add_look, sort_facets
from hw2core.analysis.tables import CHANCE_ACCURACY, iterate_rows
from hw2core.config.spec import Experiment

# A gap of this many points of accuracy between trained and untrained runs breaks the axis.
BREAK = 20.0

Label = tuple[float, float, str, str]  # x, y, text, colour
Limits = tuple[float, float]


class Panel(NamedTuple):
    """One panel: where runs stand along x, and which of them a line joins."""

    title: str
    xlabel: str
    ticks: dict[str, float]
    x: Callable[[pd.DataFrame], Sequence[float]]
    series: Callable[[pd.DataFrame], pd.Series]
    coloured: bool


def plot_accuracy(experiment: Experiment, summary: pd.DataFrame) -> Figure:
    """Return the test accuracy of every seed against depth L and against widths K.

    A panel stands for what varies. Lines join the means over the seeds that trained. Seeds at
    chance are hollow, diverged ones crosses (at chance where they have no accuracy). When these
    lie far below, the axis is broken, so that differences between trained nets stay visible.
    Runs without a depth (MLP), with labels, or all of one depth and width, get one row each.

    Args:
        experiment: what the title says; its name selects the rows of ``summary``.
        summary: of :func:`hw2core.analysis.tables.summary_table`.
    """
    with use_style():
        summary = add_look(summary[summary["experiment"] == experiment.name])
        summary["shown"] = summary["test_accuracy"].fillna(CHANCE_ACCURACY)
        if summary.empty:
            return plot_nothing(experiment, summary)
        labelled = (summary["variant"] != "").any()
        panels = [] if labelled or summary["depth"].isna().any() else _panels(summary)
        if not panels:
            return _plot_rows(experiment, summary)
        limits = _limits(summary)
        figure = Figure(figsize=(PAGE_WIDTH, 2.6))
        grid = figure.subplots(
            len(limits),
            len(panels),
            squeeze=False,
            sharex="col",
            height_ratios=[5, 1][: len(limits)],
        )
        title_figure(figure, experiment, summary)
        groups: list[tuple[Axes, list[Text]]] = []
        for panel, column in zip(panels, grid.T, strict=True):
            _finish_panel(column, panel, limits)
            for axes, (low, high) in zip(column, limits, strict=True):
                labels = _draw_series(axes, panel, summary)
                inside = [label for label in labels if low <= label[1] <= high]
                groups.append((axes, place_labels(axes, inside)))
        shows_chance = limits[-1][0] < CHANCE_ACCURACY
        handles = _legend(summary, shows_chance=shows_chance, joins_means=True)
        figure.legend(handles=handles, loc="outside lower left", ncols=5)
        spread_labels(figure, groups)
    return figure


def _panels(summary: pd.DataFrame) -> list[Panel]:
    depths = sorted(int(depth) for depth in summary["depth"].unique())
    widths = sort_facets(summary["widths"])
    places = {name: float(place) for place, name in enumerate(widths)}
    by_depth = Panel(
        "Test accuracy against depth",
        "Depth L (convolutions per block, log scale)",
        {str(depth): float(np.log2(depth)) for depth in depths},
        lambda rows: [float(np.log2(int(depth))) for depth in rows["depth"]],
        lambda rows: rows["facet"],
        False,
    )
    by_widths = Panel(
        "Test accuracy against width",
        "Filters per layer K",
        places,
        lambda rows: [places[name] for name in rows["widths"]],
        lambda rows: rows["label"],
        True,
    )
    panels = [by_depth] if len(depths) > 1 else []
    return panels + ([by_widths] if len(widths) > 1 else [])


def _limits(summary: pd.DataFrame) -> list[Limits]:
    """Return the accuracy limits from the top down: one pair, or two where the axis is broken."""
    trained = summary.loc[summary["status"] == "trained", "shown"]
    others = summary.loc[summary["status"] != "trained", "shown"]
    low, high = float(summary["shown"].min()), float(summary["shown"].max())
    if trained.empty or (len(others) and trained.min() - others.max() < BREAK):
        return [(0.0, min(100.0, high + 5))]
    if others.empty and low < BREAK:
        return [(0.0, min(100.0, high + 5))]
    low = float(trained.min())
    # Never closer than ten points: a single seed must not look as if its decimals mattered.
    margin = max(0.12 * (high - low), (10.0 - (high - low)) / 2)
    upper = (low - margin, min(100.5, high + margin))
    if others.empty:
        return [upper]
    return [upper, (min(5.0, float(others.min()) - 2), float(others.max()) + 5)]


def _draw_series(axes: Axes, panel: Panel, summary: pd.DataFrame) -> list[Label]:
    """Draw the lines and seeds of a panel; return a label per series, at its last trained net."""
    labels = []
    names = panel.series(summary)
    span = max(panel.ticks.values()) - min(panel.ticks.values())
    # Series stand a little apart, so that their seeds do not hide each other.
    steps = {name: step - (names.nunique() - 1) / 2 for step, name in enumerate(names.unique())}
    for name, rows in summary.groupby(names, sort=False):
        places = np.array(panel.x(rows)) + 0.018 * max(span, 1.0) * steps[name]
        rows = rows.assign(x=places, usual=rows["status"] == "trained")
        colour = rows["colour"].iloc[0] if panel.coloured else MUTED
        means = rows[rows["usual"]].groupby("x")["shown"].mean()
        axes.plot(means.index, means, color=colour, linewidth=1.0, zorder=2, gid=str(name))
        for seed in iterate_rows(rows):
            _draw_seed(axes, seed.x, seed.shown, seed)
        ends = means if len(means) else rows.groupby("x")["shown"].mean()
        x, y = float(ends.index[-1]), float(ends.iloc[-1])
        labels.append((x, y, str(name), colour if panel.coloured else INK))
    return labels


def _draw_seed(axes: Axes, x: float, y: float, seed: Any) -> None:
    """Draw one seed: filled when it trained, hollow at chance, a cross when it diverged."""
    trained = seed.status == "trained"
    axes.plot(
        x,
        y,
        linestyle="",
        marker="x" if seed.status == "diverged" else seed.marker,
        color=seed.colour,
        markerfacecolor=seed.colour if trained else "white",
        markeredgecolor="white" if trained else seed.colour,
        markeredgewidth=0.4 if trained else 1.1,
        markersize=5.5,
        zorder=3,
        gid=seed.status,
    )


def _finish_panel(column: Sequence[Axes], panel: Panel, limits: Sequence[Limits]) -> None:
    """Set scales and names of one panel, which is one axes or, broken, two."""
    for axes, (low, high) in zip(column, limits, strict=True):
        axes.set_ylim(low, high)
        axes.axhline(CHANCE_ACCURACY, color=MUTED, linestyle=":", linewidth=0.9)
    places = list(panel.ticks.values())
    margin = 0.12 * max(places[-1] - places[0], 1.0)
    top, bottom = column[0], column[-1]
    bottom.set_xlim(places[0] - margin, places[-1] + margin)
    bottom.set_xticks(places, list(panel.ticks))
    bottom.set_xlabel(panel.xlabel)
    top.set_title(panel.title)
    top.set_ylabel("Test accuracy (%)")
    if top is not bottom:
        bottom.set_yticks([CHANCE_ACCURACY])
        top.spines["bottom"].set_visible(False)
        top.tick_params(axis="x", length=0)
        slash: dict[str, Any] = {
            "marker": [(-1, -0.6), (1, 0.6)],
            "markersize": 6,
            "linestyle": "",
            "mec": MUTED,
        }
        top.plot(0, 0, transform=top.transAxes, clip_on=False, **slash)
        bottom.plot(0, 1, transform=bottom.transAxes, clip_on=False, **slash)


def _plot_rows(experiment: Experiment, summary: pd.DataFrame) -> Figure:
    """Return a dot plot with a row per run, for nets that do not differ in depth or widths."""
    runs = list(dict.fromkeys(summary["run"]))
    figure = Figure(figsize=(PAGE_WIDTH, 1.2 + 0.28 * len(runs)))
    axes = figure.subplots()
    title_figure(figure, experiment, summary)
    places = {run: float(place) for place, run in enumerate(runs)}
    for run, seeds in summary.groupby("run", sort=False):
        for seed in iterate_rows(seeds):
            _draw_seed(axes, seed.shown, places[str(run)], seed)
    axes.axvline(CHANCE_ACCURACY, color=MUTED, linestyle=":", linewidth=0.9)
    names = [run.removeprefix(f"{experiment.name}_") for run in runs]
    axes.set_yticks(list(places.values()), names)
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_xlim(0, min(100.0, float(summary["shown"].max()) + 5))
    axes.set_xlabel("Test accuracy (%)")
    handles = _legend(summary, shows_chance=True, joins_means=False)
    figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


def _legend(summary: pd.DataFrame, *, shows_chance: bool, joins_means: bool) -> list[Line2D]:
    filled: dict[str, Any] = {"marker": "o", "linestyle": "", "color": INK}
    hollow = {**filled, "markerfacecolor": "white", "markeredgewidth": 1.1}
    statuses = set(summary["status"])
    handles = [Line2D([], [], **filled, label="a seed")]
    if "at_chance" in statuses:
        handles.append(Line2D([], [], **hollow, label="a seed at chance"))
    if "diverged" in statuses:
        cross = {**hollow, "marker": "x"}
        handles.append(Line2D([], [], **cross, label="a seed that diverged"))
    if joins_means and summary["run"].duplicated().any():
        handles.append(Line2D([], [], color=MUTED, linewidth=1.0, label="mean of trained seeds"))
    chance = f"chance: {CHANCE_ACCURACY:.0f} %"
    if shows_chance:
        handles.append(Line2D([], [], color=MUTED, linestyle=":", linewidth=0.9, label=chance))
    else:
        handles.append(Line2D([], [], linestyle="", label=f"{chance}, below the axis"))
    return handles
