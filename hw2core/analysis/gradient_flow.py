"""The figure that explains why deep plain nets do not train: gradient and scale, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hw2core.analysis.drawing import (
    PAGE_WIDTH,
    plot_missing,
    title_study_figure,
    use_style,
    write_powers,
)
from hw2core.analysis.looks import add_look, depth_colour, sort_facets
from hw2core.analysis.study_tables import StudyTables

EXPERIMENT = "exp1_1"
# Column of the layers' table, whether before training, title, and whether the scale is a logarithm.
PANELS = (
    ("gradient_norm", True, "Gradient at the start", True),
    ("gradient_norm", False, "Gradient at the end", True),
    ("activation_std", True, "Activation at the start", True),
    ("dead_fraction", False, "Dead units at the end", False),
)


def plot_gradient_flow(tables: StudyTables) -> Figure:
    """Return, per width, gradient, activation scale and dead units of each layer by depth.

    Lines are means over seeds (of logarithms, on logarithmic scales) on a band over their range.
    Layers count from the input; the last two are fully connected.
    """
    with use_style():
        layers = tables.layers[tables.layers["experiment"] == EXPERIMENT]
        if layers.empty:
            return plot_missing(f"{EXPERIMENT}: no result has a record of its layers.")
        summary = add_look(tables.summary[tables.summary["experiment"] == EXPERIMENT])
        layers = layers.merge(summary[["run", "seed", "facet", "depth"]], on=["run", "seed"])
        facets = sort_facets(layers["facet"])
        figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 1.75 * len(facets)))
        grid = figure.subplots(len(facets), len(PANELS), squeeze=False, sharex=True)
        title_study_figure(figure, "Layer by layer: does the signal arrive?", summary)
        for facet, row in zip(facets, grid, strict=True):
            own = layers[layers["facet"] == facet]
            row[0].set_ylabel(f"{facet}\nroot mean square")
            row[2].set_ylabel("standard deviation")
            row[3].set_ylabel("%")
            row[1].sharey(row[0])
            for axes, panel in zip(row, PANELS, strict=True):
                _draw_panel(axes, own, *panel)
        for axes in grid[-1]:
            axes.set_xlabel("Layer, from the input")
        depths = sorted(int(depth) for depth in layers["depth"].unique())
        figure.legend(
            handles=[Line2D([], [], color=depth_colour(x), label=f"L = {x}") for x in depths],
            loc="outside lower left",
            ncols=len(depths),
        )
    return figure


def _draw_panel(
    axes: Axes, layers: pd.DataFrame, quantity: str, at_start: bool, title: str, logs: bool
) -> None:
    axes.set_title(title)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if logs:
        write_powers(axes)
    else:
        axes.set_ylim(-3, 103)
    ends = layers.groupby(["run", "seed"])["epoch"].transform("min" if at_start else "max")
    for run, rows in layers[layers["epoch"] == ends].groupby("run", sort=False):
        table = rows.pivot_table(index="place", columns="seed", values=quantity).dropna()
        if logs:
            table = table[(table > 0).all(axis=1)]
            middle = np.exp(np.log(table).mean(axis=1))
        else:
            table = 100 * table
            middle = table.mean(axis=1)
        colour = depth_colour(int(rows["depth"].iloc[0]))
        low, high = table.min(axis=1), table.max(axis=1)
        axes.plot(middle.index, middle, color=colour, marker=".", markersize=3, gid=str(run))
        axes.fill_between(table.index, low, high, color=colour, alpha=0.2, linewidth=0)
