"""The figure of experiment 1.5: which remedy makes which untrainable net train."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hw2core.analysis.drawing import (
    INK,
    MUTED,
    PAGE_WIDTH,
    plot_missing,
    title_study_figure,
    use_style,
)
from hw2core.analysis.looks import add_look
from hw2core.analysis.study_tables import StudyTables
from hw2core.analysis.tables import CHANCE_ACCURACY, iterate_rows

TREATED, UNTREATED = "exp1_5", "exp1_1"
NONE = "none"


def plot_remedies(tables: StudyTables) -> Figure:
    """Return, for each net of experiment 1.5, the test accuracy of its seeds by remedy."""
    with use_style():
        treated = tables.summary[tables.summary["experiment"] == TREATED]
        if treated.empty:
            return plot_missing(f"{TREATED}: no result yet.")
        sizes = treated[["depth", "widths"]].drop_duplicates()
        untreated = tables.summary[tables.summary["experiment"] == UNTREATED].merge(sizes)
        rows = add_look(pd.concat([untreated, treated], ignore_index=True))
        rows["remedy"] = rows["variant"].replace("", NONE)
        remedies = list(dict.fromkeys([NONE, *rows["remedy"]]))
        nets = [net for _, net in rows.groupby(["depth", "widths"])]
        figure = Figure(figsize=(PAGE_WIDTH, 2.6))
        panels = figure.subplots(1, len(nets), sharey=True, squeeze=False)[0]
        title_study_figure(figure, "What makes an untrainable net train?", treated)
        for axes, net in zip(panels, nets, strict=True):
            _draw_net(axes, net, remedies)
        panels[0].set_ylabel("Test accuracy (%)")
        filled: dict[str, Any] = {"color": INK, "marker": "o", "linestyle": ""}
        handles = [
            Line2D([], [], **filled, label="a seed"),
            Line2D([], [], **filled, markerfacecolor="white", label="a seed that did not train"),
            Line2D([], [], color=INK, linewidth=1.6, label="mean of seeds that trained"),
            Line2D([], [], color=MUTED, linestyle=":", label="chance"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


def _draw_net(axes: Axes, net: pd.DataFrame, remedies: list[str]) -> None:
    first = net.iloc[0]
    axes.set_title(f"L = {first['depth']}, K = {first['widths']}")
    axes.axhline(CHANCE_ACCURACY, color=MUTED, linestyle=":", linewidth=0.9)
    for place, remedy in enumerate(remedies):
        seeds = net[net["remedy"] == remedy]
        for step, seed in enumerate(iterate_rows(seeds)):
            trained = seed.status == "trained"
            accuracy = CHANCE_ACCURACY if pd.isna(seed.test_accuracy) else seed.test_accuracy
            axes.plot(
                place + 0.09 * (step - (len(seeds) - 1) / 2),
                accuracy,
                linestyle="",
                marker="x" if seed.status == "diverged" else seed.marker,
                color=seed.size_colour,
                markerfacecolor=seed.size_colour if trained else "white",
                gid=f"{seed.run}/seed{seed.seed}",
            )
        mean = seeds.loc[seeds["status"] == "trained", "test_accuracy"].mean()
        axes.plot([place - 0.32, place + 0.32], [mean] * 2, color=INK, linewidth=1.6)
    axes.set_xticks(range(len(remedies)), remedies, rotation=40, ha="right")
    axes.set_xlim(-0.6, len(remedies) - 0.4)
    axes.set_ylim(0, 100)
