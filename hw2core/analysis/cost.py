"""What accuracy costs: test accuracy, and its gap to training, against parameters and FLOPs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from hw2core.analysis.drawing import (
    FAINT,
    INK,
    MUTED,
    PAGE_WIDTH,
    place_labels,
    plot_missing,
    spread_labels,
    title_study_figure,
    use_style,
)
from hw2core.analysis.looks import add_family, select_nets, width_marker
from hw2core.analysis.study_tables import StudyTables
from hw2core.analysis.tables import iterate_rows

PRICES = {
    "parameters": "Parameters (log scale)",
    "flops_per_image": "FLOP per image (log scale)",
}


def plot_cost(tables: StudyTables) -> Figure:
    """Return the test accuracy of every convolutional run against both of its prices.

    A run is the mean over its seeds that trained, with a bar over their range. The line joins the
    runs that no other beats at their price; they are named.
    """
    with use_style():
        runs, failed = _list_runs(tables.summary)
        if runs.empty:
            return plot_missing("Accuracy against cost: no convolutional run has trained yet.")
        figure = Figure(figsize=(PAGE_WIDTH, 3.0))
        panels = figure.subplots(1, len(PRICES), sharey=True)
        title_study_figure(figure, "What does accuracy cost?", select_nets(tables.summary))
        groups: list[tuple[Axes, list[Text]]] = []
        for axes, (column, label) in zip(panels, PRICES.items(), strict=True):
            priced = runs.assign(price=runs[column].astype(float))
            for run in iterate_rows(priced):
                axes.plot([run.price] * 2, [run.low, run.high], color=run.colour, linewidth=0.8)
            _draw_points(axes, priced, "price", "accuracy")
            front = _find_front(priced)
            axes.plot(front["price"], front["accuracy"], color=FAINT, linewidth=0.8, zorder=1)
            _scale_price(axes)
            axes.set_xlabel(label)
            named = [
                (run.price, run.accuracy, run.run.split("_K")[0], run.colour)
                for run in iterate_rows(front)
            ]
            groups.append((axes, place_labels(axes, named)))
        panels[0].set_ylabel("Test accuracy (%)")
        _add_legend(figure, runs, failed)
        spread_labels(figure, groups)
    return figure


def plot_gap(tables: StudyTables) -> Figure:
    """Return training minus validation accuracy at the chosen epoch against parameters."""
    with use_style():
        runs, failed = _list_runs(tables.summary)
        if runs.empty:
            return plot_missing("Gap to validation: no convolutional run has trained yet.")
        figure = Figure(figsize=(PAGE_WIDTH, 2.8))
        axes = figure.subplots()
        nets = select_nets(tables.summary)
        title_study_figure(figure, "How far is validation behind training?", nets)
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=0.9)
        _draw_points(axes, runs, "parameters", "gap")
        _scale_price(axes)
        axes.set_xlabel("Parameters (log scale)")
        axes.set_ylabel("Training − validation (points)")
        widest = [
            (float(run.parameters), run.gap, run.run.split("_K")[0], run.colour)
            for run in iterate_rows(runs.nlargest(3, "gap"))
        ]
        labels = place_labels(axes, widest)
        _add_legend(figure, runs, failed)
        spread_labels(figure, [(axes, labels)])
    return figure


def _list_runs(summary: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return a row per convolutional run that trained, and how many runs did not."""
    nets = add_family(select_nets(summary))
    trained = nets[nets["status"] == "trained"]
    trained = trained.assign(gap=trained["train_accuracy"] - trained["validation_accuracy"])
    first = ["family", "colour", "widths", "parameters", "flops_per_image"]
    runs = trained.groupby("run", sort=False).agg(
        accuracy=("test_accuracy", "mean"),
        low=("test_accuracy", "min"),
        high=("test_accuracy", "max"),
        gap=("gap", "mean"),
        **{name: (name, "first") for name in first},
    )
    return runs.reset_index(), nets["run"].nunique() - len(runs)


def _draw_points(axes: Axes, runs: pd.DataFrame, x: str, y: str) -> None:
    for run in iterate_rows(runs):
        axes.plot(
            float(getattr(run, x)),
            getattr(run, y),
            linestyle="",
            marker=width_marker(run.widths),
            color=run.colour,
            markeredgecolor="white",
            markeredgewidth=0.4,
            zorder=3,
            gid=run.run,
        )


def _scale_price(axes: Axes) -> None:
    """Give the x axis a logarithmic scale with ticks 100 k, 200 k, 500 k, 1 M."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    # Within less than a decade the ticks of a logarithm are too few or too many.
    wide = high > 5 * low
    locator = LogLocator(subs=(1.0, 2.0, 5.0)) if wide else MaxNLocator(nbins=3)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def _find_front(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that no cheaper run equals, by price."""
    ordered = runs.sort_values(["price", "accuracy"], ascending=[True, False])
    best_before = ordered["accuracy"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["accuracy"] > best_before]


def _add_legend(figure: Figure, runs: pd.DataFrame, failed: int) -> None:
    families = runs.drop_duplicates("colour")
    handles = [
        Line2D([], [], color=row.colour, marker="o", linestyle="", label=row.family.split(",")[0])
        for row in iterate_rows(families)
    ]
    handles += [
        Line2D([], [], color=INK, marker=width_marker(str(k)), linestyle="", label=f"K = {k}")
        for k in dict.fromkeys(runs["widths"])
    ]
    if failed:
        handles.append(Line2D([], [], linestyle="", label=f"{failed} runs did not train"))
    figure.legend(handles=handles, loc="outside lower left", ncols=5)
