"""Draws the cost of accuracy: test accuracy against parameters and operations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from hw2core.analysis.figures import drawing, key, style
from hw2core.analysis.figures.labels import Label, place_labels
from hw2core.analysis.figures.style import colour_family
from hw2core.analysis.tables import Study, list_rows, summarize
from hw2core.analysis.text import join_words

PRICES = {"parameters": "Parameters", "flops_per_image": "Floating-point operations per image"}
MOST = 8  # labelled networks per panel


def select_trained(study: Study) -> pd.DataFrame:
    """Return the rows of the networks of which a seed trained, with or without L and K."""
    runs = key.select_all_networks(study)
    return runs[(runs["status"] == "trained").groupby(runs["run"]).transform("any")]


def find_front(summary: pd.DataFrame, price: str) -> pd.DataFrame:
    """Return the runs with a higher accuracy than all cheaper runs, from cheapest to best."""
    ordered = summary.sort_values([price, "test"], ascending=[True, False])
    best_before = ordered["test"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["test"] > best_before]


def list_widths(summary: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the runs of each family and depth that have a single width, ordered by width."""
    single = summary[summary["widths"].str.isdigit() & (summary["label"] == "")]
    groups = single.sort_values("parameters").groupby(["family", "depth"], sort=False)
    return [rows for _, rows in groups if len(rows) > 1]


def describe_cost(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    runs = select_trained(study)
    if runs.empty:
        reason = "No network that can be compared has trained and has a test accuracy yet."
        return " ".join([reason, *key.describe_rest(study)]), ""
    summary = summarize(runs).sort_values("test")
    fronts = [set(find_front(summary, price)["run"]) for price in PRICES]
    both = [run for run in summary["run"] if all(run in front for front in fronts)][-MOST:]
    number = len(summary)
    finding = f"Accuracy and cost of {number} different networks that train"
    if number == 1:
        finding = "Accuracy and cost of one network that trains"
    elif both:
        finding += (
            ". None of these with fewer parameters, and none with fewer operations, is as accurate "
            f"as {join_words(both, 'or')}"
        )
    notes = [
        f"{finding}.",
        *drawing.describe_dots(runs),
        "The grey line joins networks more accurate than all cheaper ones shown.",
    ]
    notes.append("The accuracy axis does not begin at zero.")
    if list_widths(summary):
        notes.append("Thin lines join networks of the same family and depth with growing width.")
    return drawing.join_caption([*notes, *key.describe_rest(study)], runs), f"{finding}."


def draw_cost(study: Study) -> Figure:
    """Return two panels with a dot per network that trained."""
    summary = summarize(select_trained(study))
    plot = Figure(figsize=(style.FIGURE_WIDTH, 5.6))
    panels = plot.subplots(2, 1, sharey=True)
    colours = {family: colour_family(family) for family in summary["family"].unique()}
    drawing.add_legend(plot, colours, loc="outside upper left", ncols=5)
    for axes, price in zip(panels, PRICES, strict=True):
        _draw_panel(axes, summary, price)
    for axes, price in zip(panels, PRICES, strict=True):
        front = list_rows(find_front(summary, price))[::-1]
        some = np.unique(np.linspace(0, len(front) - 1, MOST).round().astype(int))
        named = [front[place] for place in some]
        labels = [Label(getattr(x, price), x.test, x.run, colour_family(x.family)) for x in named]
        place_labels(axes, labels)
    return plot


def _draw_panel(axes: Axes, summary: pd.DataFrame, price: str) -> None:
    summary = summary.astype({price: float})
    front = find_front(summary, price)
    axes.plot(front[price], front["test"], color=style.FAINT, linewidth=3.5, zorder=1)
    for rows in list_widths(summary):
        colour = colour_family(rows["family"].iloc[0])
        axes.plot(rows[price], rows["test"], color=colour, linewidth=0.6)
    for row in list_rows(summary):
        x = getattr(row, price)
        cost = f" for {EngFormatter(places=1, sep='')(x)}"
        drawing.draw_network(axes, x, row, cost, linewidth=1, zorder=3)
    axes.set_xscale("log")
    axes.margins(x=0.14, y=0.2)
    low, high = axes.get_xlim()
    # Over less than a decade, LogLocator gives too few or too many ticks.
    steps = (1.0, 2.0, 5.0) if high < 300 * low else (1.0, 3.0)
    locator = LogLocator(subs=steps) if high > 5 * low else MaxNLocator(nbins=4)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=f"{PRICES[price]} (log scale)", ylabel="Test accuracy (%)")
