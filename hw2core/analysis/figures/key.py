"""The key figure: test accuracy against the number of convolutions, by family of networks."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hw2core.analysis.figures import drawing, style
from hw2core.analysis.figures.labels import Label, place_labels
from hw2core.analysis.figures.style import colour_family
from hw2core.analysis.ranking import find_best, list_rows
from hw2core.analysis.status import CHANCE_ACCURACY
from hw2core.analysis.tables import Study, summarize
from hw2core.analysis.text import format_number, format_range, join_words

MISSING = "No convolutional network has a test accuracy yet."


def select_networks(study: Study) -> pd.DataFrame:
    """Return the rows of ``study.runs`` that the figure shows.

    Of a family, these are the networks without a label; a variant of a network, such as another
    initialisation, counts for its family only where that has nothing else. A run that is shared by
    experiments counts once, and one on another budget than the rest of its family not at all.
    """
    runs = study.runs.dropna(subset=["num_conv", "test_accuracy"])
    runs = runs.drop_duplicates(["spec_hash", "seed"])
    usual = runs[runs["label"] == ""]
    runs = runs[(runs["label"] == "") | ~runs["family"].isin(usual["family"])]
    if runs.empty:
        return runs
    budgets = runs[drawing.BUDGET].astype(str).agg("/".join, axis="columns")
    common = budgets.groupby(runs["family"]).transform(lambda column: column.mode().iloc[0])
    return runs[budgets == common]


def select_baselines(study: Study) -> pd.DataFrame:
    """Return what public solutions reached, by family and number of convolutions.

    Several names may share these: ``median`` is then the median of their medians, ``highest`` the
    best of all. Only names count that are trained here on the same images.
    """
    runs = study.runs[study.runs["data"] == "cifar10"].dropna(subset="num_conv")
    names = runs.drop_duplicates("run")[["run", "family", "num_conv"]]
    public = study.baselines.merge(names, on="run").groupby(["family", "num_conv"], as_index=False)
    return public.agg(median=("median", "median"), highest=("highest", "max"))


def describe_finding(networks: pd.DataFrame) -> str:
    """Return in a sentence how deep each family trains and what its best network reaches."""
    trains: list[str] = []
    fails = []
    for family, rows in summarize(networks).groupby("family", sort=False):
        best = find_best(rows)
        if best is None:
            fails.append(f"no {family} network trains")
            continue
        deepest, reached = rows.loc[rows["trained"] > 0, "num_conv"].max(), format_number(best.test)
        trains.append(
            f"{family} up to {deepest} ({reached} %)"
            if trains
            else f"{family} networks train up to {deepest} convolutions (best: {reached} %)"
        )
    text = join_words([*trains, *fails])
    return text[0].upper() + text[1:]


def describe_key(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    networks = select_networks(study)
    if networks.empty:
        return MISSING, ""
    finding = f"{describe_finding(networks)}."
    notes = [finding, "Lines join networks of equal widths, larger markers are wider."]
    if (networks["status"] != "trained").any():
        notes.append("Hollow: at chance.")
    if not select_baselines(study).empty:
        notes.append(
            "Bands: public solutions of the same runs, from the median of those that train to the "
            "best."
        )
    notes.append("The scale of accuracy widens towards 100 %.")
    alt = f"Test accuracy against the number of convolutions, by family of networks. {finding}"
    return drawing.join_caption(notes, networks), alt


def draw_key(study: Study) -> Figure:
    """Return the test accuracy of every network, from few to many convolutions."""
    networks = select_networks(study)
    if networks.empty:
        return drawing.draw_missing(MISSING)
    baselines, summary = select_baselines(study), summarize(networks)
    failed = networks["status"] != "trained"
    with style.use_style():
        plot = Figure(figsize=(style.FIGURE_WIDTH, 4.3))
        axes = plot.subplots()
        title = textwrap.wrap(describe_finding(networks), 60)
        plot.suptitle("\n".join(title), x=0.01, ha="left", linespacing=1.3)
        for _, band in baselines.groupby("family"):
            _draw_band(axes, band)
        for _, line in summary.sort_values("num_conv").groupby(["family", "widths"]):
            _draw_line(axes, line)
        for row in list_rows(summarize(networks[~failed])):
            _draw_network(axes, row, colour_family(row.family))
        for row in list_rows(summarize(networks[failed])):
            _draw_network(axes, row, style.PAPER)
        _scale(axes, networks, [networks["test_accuracy"].max(), *baselines["highest"]])
        handles: list[Artist] = [drawing.make_handle("this study", style.INK)]
        if failed.any():
            handles.append(drawing.make_handle("at chance", style.INK, style.PAPER))
        if not baselines.empty:
            handles.append(drawing.PUBLIC)
        plot.legend(handles=handles, loc="outside lower left", ncols=3)
        place_labels(axes, _list_labels(summary))
    return plot


def _draw_band(axes: Axes, band: pd.DataFrame) -> None:
    family = str(band["family"].iloc[0])
    places = [math.log2(number) for number in band["num_conv"]]
    # A little beyond both ends: one number of convolutions gives a band, too.
    ends = [places[0] - 0.07, *places, places[-1] + 0.07]
    low, high = ([x.iloc[0], *x, x.iloc[-1]] for x in (band["median"], band["highest"]))
    area = axes.fill_between(ends, low, high, color=colour_family(family), alpha=0.14, linewidth=0)
    drawing.set_hover(area, f"public solutions, {family}: median to best")


def _draw_line(axes: Axes, line: pd.DataFrame) -> None:
    """Join the networks of one family and widths: those that trained, and faintly all."""
    colour = colour_family(line["family"].iloc[0])
    for rows, width, alpha in ((line, 0.7, 0.5), (line[line["trained"] > 0], 1.6, 1)):
        places = [math.log2(number) for number in rows["num_conv"]]
        axes.plot(places, rows["test"], color=colour, linewidth=width, alpha=alpha)


def _draw_network(axes: Axes, row: Any, face: str) -> None:
    """Draw mean and range of some seeds of a network: larger for wider ones."""
    place, colour = math.log2(row.num_conv), colour_family(row.family)
    size = min(max(math.log2(max(map(int, row.widths.split("-")))) - 1, 3), 8)
    axes.plot([place] * 2, [row.test_low, row.test_high], color=colour)
    (dot,) = axes.plot(place, row.test, "o", color=colour, markersize=size, zorder=4)
    dot.set_markerfacecolor(face)
    accuracy = format_range(row.test, row.test_low, row.test_high)
    drawing.set_hover(dot, f"{row.run}: {accuracy} %")


def _scale(axes: Axes, networks: pd.DataFrame, accuracies: list[float]) -> None:
    low, high = (math.log2(end) for end in (networks["num_conv"].min(), networks["num_conv"].max()))
    powers = range(math.floor(low), math.ceil(high) + 1)
    axes.set_xticks(powers, [str(2**power) for power in powers])
    axes.set_xlim(low - 0.25, high + 0.25)
    # The scale widens towards 100 %, where networks that train differ.
    scale = (lambda y: -np.log(102 - np.minimum(y, 101)), lambda y: 102 - np.exp(-y))
    axes.set_yscale("function", functions=scale)
    top = min(100.5, max(accuracies) + 3)
    axes.set_ylim(4, top)
    axes.set_yticks([tick for tick in (10, 30, 50, 60, 70, 80, 90, 95, 100) if tick < top])
    axes.axhline(CHANCE_ACCURACY, color=style.MUTED, linestyle=":", linewidth=0.9, zorder=1)
    axes.set_xlabel("Number of convolutions (log scale)")
    axes.set_ylabel("Test accuracy (%)")


def _list_labels(summary: pd.DataFrame) -> list[Label]:
    """Return a label for each family at its most accurate network, and for each line at its end."""
    tops = summary.sort_values(["trained", "test"], ascending=False).drop_duplicates("family")
    ends = summary[summary["trained"] > 0].sort_values("num_conv")
    ends = ends.drop_duplicates(["family", "widths"], keep="last")
    return [
        Label(math.log2(row.num_conv), row.test, text, colour_family(row.family), weight)
        for rows, name, weight in ((tops, "{0.family}", "bold"), (ends, "K = {0.widths}", "normal"))
        for row in list_rows(rows)
        for text in [name.format(row)]
    ]
