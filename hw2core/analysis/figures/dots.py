"""Draws dot plots: all runs next to public solutions, and the parts of the ablation.

A row shows the mean and range over seeds; networks that do not train are hollow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from hw2core.analysis.compared import find_best_of
from hw2core.analysis.course import FULL, keep_course
from hw2core.analysis.figures import drawing, style
from hw2core.analysis.figures.style import colour_family
from hw2core.analysis.tables import Study, list_rows, select
from hw2core.analysis.text import (
    count_things,
    describe_seeds,
    format_change,
    format_number,
    format_range,
)
from hw2core.data import registry
from hw2core.runs.outcome import measure_chance

ABLATION = "exp2_ablation"


def compare_with_baselines(study: Study) -> pd.DataFrame:
    """Return ``study.summary`` with ``median`` and ``highest`` of public solutions of the same run.

    Both are missing if there are none, or if they are not comparable. Runs without a test accuracy
    are left out, and so is the ablation, which has a separate figure, if there is anything else.
    """
    summary = study.summary.dropna(subset="test")
    others = summary[summary["experiment"] != find_ablation(study)]
    summary = summary if others.empty else others
    public = keep_course(study).baselines[["run", "median", "highest"]]
    return summary.merge(public, on="run", how="left")


def describe_dots(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    summary = compare_with_baselines(study)
    if summary.empty:
        return "No run has a test accuracy yet.", ""
    notes = [f"Test accuracy of {count_things(len(summary), 'named network')}."]
    best, what = find_best_of(study, summary)
    if best:
        accuracy = f"{format_number(best.test)} %{describe_seeds(best.trained, best.seeds)}"
        notes.append(f"{what[0].upper()}{what[1:]}, {best.run}, reaches {accuracy}.")
    compared = summary[summary["highest"].notna() & (summary["trained"] > 0)]
    if not compared.empty:
        above = [
            f"{(compared['test'] > compared[name]).sum()} of {len(compared)}"
            for name in ("median", "highest")
        ]
        notes.append(
            f"Of those that train and have public solutions, {above[0]} are above the public "
            f"median and {above[1]} above the public best."
        )
    finding = " ".join(notes)
    runs = study.runs[study.runs["run"].isin(summary["run"])]
    notes += drawing.describe_dots(runs)
    if (ablation := find_ablation(study)) and ablation not in set(summary["experiment"]):
        notes.append(f"Not shown: {ablation}.")
    return drawing.join_caption(notes, runs), finding


def draw_dots(study: Study) -> Figure:
    """Return a figure with a row per run, by experiment: name, dot, public band and value."""
    summary = compare_with_baselines(study)
    height = 0.165 * (len(summary) + 1.3 * summary["experiment"].nunique())
    plot = Figure(figsize=(style.FIGURE_WIDTH, height + 0.9))
    axes = plot.subplots()
    from_edge = blended_transform_factory(plot.transFigure, axes.transData)
    usual = study.runs.groupby(drawing.BUDGET)["run"].transform("size")
    usual_budget = drawing.describe_budget(study.runs[usual == usual.max()])
    place, places = 0.0, []
    for experiment, rows in summary.groupby("experiment", sort=False):
        own = select(study.runs, experiment=experiment).drop_duplicates(drawing.BUDGET)
        budget = drawing.describe_budget(own) if len(own) == 1 else "several budgets"
        name = str(experiment) if budget == usual_budget else f"{experiment}: {budget}"
        head = axes.text(0.01, place + 0.3, name, va="center", weight="bold", transform=from_edge)
        head.set_in_layout(False)
        place += 1.3
        for row in list_rows(rows):
            hover = f"{row.run}: {format_range(row.test, row.test_low, row.test_high)} %"
            if pd.notna(row.highest):
                width = row.highest - row.median
                axes.barh(place, width, height=0.62, left=row.median, color=style.BAND, zorder=1)
                public = f"{format_number(row.median)} %, best {format_number(row.highest)} %"
                hover += f"; public median {public}"
            text = format_number(row.test)
            if 0 < row.trained < row.seeds:
                text += f" ({row.trained} of {row.seeds})"
                hover += f"; {row.trained} of {row.seeds} seeds trained"
            values = (row.test, row.test_low, row.test_high)
            dot = _draw_row(axes, place, values, colour_family(row.family), text, hover)
            if not row.trained:
                dot.set_markerfacecolor(style.PAPER)
            places.append(place)
            place += 1
    _finish_rows(axes, places, summary["run"], "Test accuracy (%)")
    axes.set_xlim(0, max(50.0, min(100.0, summary[["test_high", "highest"]].max().max() + 5)))
    for classes in sorted(set(map(registry.count_classes, study.runs["data"]))):
        chance = measure_chance(classes)
        axes.axvline(chance, color=style.MUTED, linestyle=":", linewidth=0.9, zorder=1)
    colours = {name: colour_family(name) for name in summary["family"].unique()}
    failed, known = bool((summary["trained"] == 0).any()), bool(summary["highest"].notna().any())
    drawing.add_legend(plot, colours, failed=failed, public=known, ncols=4)
    return plot


def find_ablation(study: Study) -> str:
    """Return the first experiment with a trained ``full`` network, or an empty string.

    In a study with the assignment's ablation, no other counts.
    """
    full = select(study.runs, label=FULL, status="trained").dropna(subset="test_accuracy")
    if any(experiment.name == ABLATION for experiment in study.experiments):
        full = select(full, experiment=ABLATION)
    return next(map(str, full["experiment"]), "")


def compare_parts(study: Study) -> pd.DataFrame:
    """Return a row per run of the ablation except the full one, the largest loss first.

    ``difference``, ``low`` and ``high`` are in points of test accuracy compared with the full
    network of the same seed and size, if that trained; of seeds that trained, if any did
    (``trained``). Rows that share a label have the end of the run's name in its place.
    """
    runs = select(study.runs, experiment=find_ablation(study))
    same = ["seed", "depth", "widths"]
    full = select(runs, label=FULL, status="trained")[[*same, "test_accuracy"]]
    pairs = runs[runs["label"] != FULL].merge(full, on=same, suffixes=("", "_full"))
    pairs["difference"] = pairs["test_accuracy"] - pairs["test_accuracy_full"]
    pairs["trained"] = pairs["status"] == "trained"
    pairs = pairs[pairs["trained"] | ~pairs.groupby("run")["trained"].transform("any")]
    parts = pairs.groupby(["run", "label", "family"], sort=False, as_index=False).agg(
        difference=("difference", "mean"),
        low=("difference", "min"),
        high=("difference", "max"),
        trained=("trained", "any"),
        pairs=("trained", "sum"),
    )
    names = parts["run"].str.removeprefix(f"{find_ablation(study)}_")
    parts["label"] = parts["label"].mask(parts["label"].duplicated(keep=False), names)
    return parts.dropna(subset="difference").sort_values("difference", kind="stable")


def describe_ablation(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    experiment, parts = find_ablation(study), list_rows(compare_parts(study))
    if not parts:
        return "No ablation has a full network that trains and a part to compare yet.", ""
    seeds = select(study.runs, experiment=experiment)["run"].value_counts()
    facts = ", ".join(
        f"{part.label} {format_change(part.difference)}"
        + (describe_seeds(part.pairs, seeds[part.run]) if part.trained else " (does not train)")
        for part in parts
    )
    finding = f"{experiment}: difference in test accuracy from the full network (points): {facts}."
    runs = select(study.runs, experiment=experiment)
    return drawing.join_caption([finding, *drawing.describe_dots(runs)], runs), finding


def draw_ablation(study: Study) -> Figure:
    """Return a row per removed part; networks that do not train without it are at the edge."""
    parts = compare_parts(study)
    ends = [0.0, *parts.loc[parts["trained"], ["low", "high"]].to_numpy().ravel()]
    margin = 0.08 * max(max(ends) - min(ends), 1.0)
    edge = min(ends) - margin
    plot = Figure(figsize=(style.FIGURE_WIDTH, 0.75 + 0.2 * len(parts)))
    axes = plot.subplots()
    axes.axvline(0, color=style.MUTED, linewidth=0.9, zorder=1)
    for place, part in enumerate(list_rows(parts)):
        text, colour = format_change(part.difference), colour_family(part.family)
        hover = f"{part.run}: {text} points"
        if part.trained:
            values = (part.difference, part.low, part.high)
            _draw_row(axes, place, values, colour, text, hover)
        else:
            dot = _draw_row(axes, place, (edge,) * 3, colour, f"{text} (does not train)", hover)
            dot.set(marker="<", markerfacecolor=style.PAPER)
    xlabel = "Difference in test accuracy from the full network (points)"
    _finish_rows(axes, range(len(parts)), parts["label"], xlabel)
    axes.set_xlim(edge, max(ends) + margin)
    return plot


def _draw_row(
    axes: Axes, place: float, values: tuple[float, float, float], colour: str, text: str, hover: str
) -> Line2D:
    """Draw ``values`` (mean, lowest, highest) in a row, with ``text`` at the right edge."""
    value, *ends = values
    axes.plot(ends, [place] * 2, color=colour, zorder=2)
    (dot,) = axes.plot(value, place, "o", color=colour, zorder=3, clip_on=False)
    drawing.set_hover(dot, hover)
    right = axes.get_yaxis_transform()
    dark = style.darken(colour)
    axes.text(1.01, place, text, transform=right, va="center", size="small", color=dark)
    return dot


def _finish_rows(axes: Axes, places: Sequence[float], names: Iterable[str], xlabel: str) -> None:
    """Label the rows, from top to bottom."""
    axes.set_yticks(places, list(names))
    axes.set_ylim(places[-1] + 0.7, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(xlabel)
