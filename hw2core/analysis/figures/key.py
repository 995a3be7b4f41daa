"""Draws the key figure: test accuracy against number of convolutions, by family of networks."""

from __future__ import annotations

import math
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hw2core.analysis.compared import select_assigned, select_usual_images
from hw2core.analysis.course import keep_course
from hw2core.analysis.figures import drawing, style
from hw2core.analysis.figures.labels import Label, place_labels
from hw2core.analysis.figures.style import colour_family
from hw2core.analysis.rows import FAMILIES
from hw2core.analysis.tables import (
    Study,
    count_classes,
    find_best,
    join_names,
    leave_out_mlps,
    list_rows,
    summarize,
)
from hw2core.analysis.text import describe_seeds, format_number, join_words
from hw2core.runs.outcome import measure_chance


def select_all_networks(study: Study) -> pd.DataFrame:
    """Return the rows of ``study.runs`` that can be compared, each network under its first name.

    Labelled variants are only included for families without other runs. MLPs, runs on other images
    than the assignment's and runs with another budget are left out: than most of the assignment's
    networks of the same family, or else of all of them. Without the assignment's networks, it is
    the budget of most networks. Of budgets that are as frequent, it is the largest.
    """
    runs = leave_out_mlps(select_usual_images(study)).dropna(subset="test_accuracy")
    runs = join_names(runs)
    if runs.empty:
        return runs
    runs["budget"] = runs.groupby(drawing.BUDGET, sort=False).ngroup()
    assigned = _leave_out_variants(runs[runs["network"].isin(select_assigned(study)["network"])])
    families = {name: _find_budget(rows) for name, rows in assigned.groupby("family")}
    usual = _find_budget(_leave_out_variants(runs) if assigned.empty else assigned)
    runs = runs[runs["budget"] == runs["family"].map(families).fillna(usual)]
    return _leave_out_variants(runs)


def _leave_out_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without labels, and those of families that have no others."""
    usual = runs[runs["label"] == ""]
    return runs[(runs["label"] == "") | ~runs["family"].isin(usual["family"])]


def _find_budget(runs: pd.DataFrame) -> int:
    """Return the most frequent ``budget``; of several, the one of most images over all epochs."""
    images = runs["max_epochs"] * runs["images_per_epoch"]
    frequency = runs.groupby("budget")["run"].transform("size")
    rows = runs.assign(frequency=frequency, images=images).sort_values(["frequency", "images"])
    return int(rows["budget"].iloc[-1])


def select_networks(study: Study) -> pd.DataFrame:
    """Return the rows that the figure shows: the networks of L and K."""
    return select_all_networks(study).dropna(subset="num_conv")


def select_baselines(study: Study) -> pd.DataFrame:
    """Return the accuracies of public solutions by family and number of convolutions.

    Several runs can share a number.
    """
    runs = study.runs.dropna(subset="num_conv")
    names = runs.drop_duplicates("run")[["run", "family", "num_conv"]]
    public = keep_course(study).baselines.merge(names, on="run")
    groups = public.groupby(["family", "num_conv"], as_index=False)
    return groups.agg(median=("median", "median"), highest=("highest", "max"))


def describe_rest(study: Study) -> list[str]:
    """Return in a sentence, if there are any, how many networks ``select_all_networks`` omits."""
    runs = leave_out_mlps(study.runs).dropna(subset="test_accuracy")
    shown = runs["network"].isin(select_all_networks(study)["network"])
    rest = runs[~shown.groupby(runs["run"]).transform("any")]
    rest = rest.drop_duplicates("run").drop_duplicates("network")
    counts = [f"{count} of {name}" for name, count in rest["experiment"].value_counts().items()]
    if not counts:
        return []
    why = ["variants of these networks", "of another budget"]
    if not set(rest["data"]) <= set(select_usual_images(study)["data"]):
        why.append("of other images")
    return [f"Not shown, {join_words(why, 'or')}: {join_words(counts)}."]


def describe_finding(networks: pd.DataFrame) -> str:
    """Return a sentence with the greatest depth that trains and the best accuracy, by family.

    Networks of a model that all have labels are called variants: they may have a remedy.
    """
    trains: list[str] = []
    fails = []
    for name, rows in summarize(networks).groupby("family", sort=False):
        family, best = str(name), find_best(rows)
        variants = family in FAMILIES.values() and (rows["label"] != "").all()
        one = "variant" if variants else "one"
        if best is None:
            fails.append(f"no {family} {one} trains")
            continue
        able = list_rows(rows[rows["trained"] > 0])
        deepest = max(able, key=lambda row: (row.num_conv, row.trained / row.seeds))
        reached = f"{format_number(best.test)} %"
        reached += describe_seeds(best.trained, best.seeds, form=", {}")
        kind, things = f"{family} variants" if variants else family, ""
        if not trains:
            kind, things = f"{family} {one}s train", " convolutions"
        seeds = describe_seeds(deepest.trained, deepest.seeds, form=" with {}")
        trains.append(f"{kind} up to {deepest.num_conv}{things}{seeds} (best: {reached})")
    # Variants that are not shown may train deeper.
    return f"Of these networks, {join_words([*trains, *fails])}"


def describe_key(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    networks, unplaced = select_networks(study), drawing.name_unplaced(select_all_networks(study))
    if networks.empty:
        return " ".join(["No network of L and K has a test accuracy yet.", *unplaced]), ""
    finding = f"{describe_finding(networks)}."
    notes = [finding, "Lines join networks of equal widths; larger markers are wider networks."]
    if networks["run"].duplicated().any():
        notes.append("Markers are means over seeds, with their range.")
    if (networks["status"] != "trained").any():
        notes.append("Hollow markers are of seeds that do not train.")
    if not select_baselines(study).empty:
        notes.append(
            "Bands show public solutions of the same runs, from the median of those that train to "
            "the best."
        )
    notes += ["The accuracy axis is stretched towards 100 %.", *unplaced, *describe_rest(study)]
    alt = f"Test accuracy against the number of convolutions, by family of networks. {finding}"
    return drawing.join_caption(notes, networks), alt


def draw_key(study: Study) -> Figure:
    """Return a figure of the test accuracy of every network."""
    networks, bands = select_networks(study), _add_places(select_baselines(study))
    summary, failed = _add_places(summarize(networks)), networks["status"] != "trained"
    plot = Figure(figsize=(style.FIGURE_WIDTH, 4.3))
    axes = plot.subplots()
    title = textwrap.wrap(describe_finding(networks), 60)
    plot.suptitle("\n".join(title), x=0.01, ha="left", linespacing=1.3)
    for family, band in bands.groupby("family"):
        # Slightly beyond both ends, so that a single number of convolutions gives a band too.
        rows = band.iloc[[0, *range(len(band)), -1]]
        places = rows["place"] + [-0.07, *[0] * len(band), 0.07]
        area = axes.fill_between(places, rows["median"], rows["highest"], alpha=0.14, linewidth=0)
        area.set_color(colour_family(str(family)))
        drawing.set_hover(area, f"public solutions, {family}: median to best")
    for _, line in summary.sort_values("num_conv").groupby(["family", "widths"]):
        colour = colour_family(line["family"].iloc[0])
        axes.plot(line["place"], line["test"], color=colour, linewidth=0.7, alpha=0.5)
        trained = line[line["trained"] > 0]
        axes.plot(trained["place"], trained["test"], color=colour)
    for some, face in ((networks[~failed], None), (networks[failed], style.PAPER)):
        for row in list_rows(_add_places(summarize(some))):
            widest = max(map(int, row.widths.split("-")))
            size = min(max(math.log2(widest) - 1, 3), 8)
            drawing.draw_network(
                axes, row.place, row, markersize=size, markerfacecolor=face, zorder=4
            )
    chance = measure_chance(count_classes(networks))
    _scale(axes, summary, max([networks["test_accuracy"].max(), *bands["highest"]]), chance)
    colours, public = {"this study": style.INK}, not bands.empty
    drawing.add_legend(plot, colours, failed=bool(failed.any()), public=public, ncols=3)
    place_labels(axes, _list_labels(summary))
    return plot


def _add_places(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` with their ``place`` on the x axis."""
    return rows.assign(place=np.log2(rows["num_conv"].astype(float)))


def _scale(axes: Axes, summary: pd.DataFrame, highest: float, chance: float) -> None:
    low, high = summary["place"].min(), summary["place"].max()
    powers = range(math.floor(low), math.ceil(high) + 1)
    axes.set_xticks(powers, [str(2**power) for power in powers])
    axes.set_xlim(low - 0.25, high + 0.25)
    # The scale is stretched towards 100 %, where networks that train differ.
    scale = (lambda y: -np.log(102 - np.minimum(y, 101)), lambda y: 102 - np.exp(-y))
    axes.set_yscale("function", functions=scale)
    top = min(100.5, highest + 3)
    axes.set_ylim(0.4 * chance, top)
    axes.set_yticks([tick for tick in (10, 30, 50, 60, 70, 80, 90, 95, 100) if tick < top])
    axes.axhline(chance, color=style.MUTED, linestyle=":", linewidth=0.9, zorder=1)
    axes.set_xlabel("Number of convolutions (log scale)")
    axes.set_ylabel("Test accuracy (%, log scale of the error)")


def _list_labels(summary: pd.DataFrame) -> list[Label]:
    """Return a label per family, at its most accurate network, and per line, at its end."""
    tops = summary.sort_values(["trained", "test"], ascending=False).drop_duplicates("family")
    ends = summary[summary["trained"] > 0].sort_values("num_conv")
    ends = ends.drop_duplicates(["family", "widths"], keep="last")
    tops = tops.assign(text=tops["family"], weight="bold")
    ends = ends.assign(text="K = " + ends["widths"], weight="normal")
    return [
        Label(row.place, row.test, row.text, colour_family(row.family), row.weight)
        for row in list_rows(pd.concat([tops, ends]))
    ]
