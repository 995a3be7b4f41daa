"""The figures of what the best network gets wrong: its confusion matrix and its worst mistakes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from hw2core.analysis.drawing import PAGE_WIDTH, plot_missing, title_study_figure, use_style
from hw2core.analysis.study_tables import StudyTables, find_best_result
from hw2core.data.arrays import NUM_CLASSES
from hw2core.runs.schema import Result

COLUMNS = 7


def plot_confusion(tables: StudyTables) -> Figure:
    """Return the confusion matrix of the best net by validation, in percent of each row."""
    with use_style():
        best = find_best_result(tables.results)
        if best is None or best.test is None:
            return plot_missing("Confusion matrix: no network is evaluated yet.")
        counts = np.array(best.test.confusion, dtype=float)
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        names = _name_classes(tables)
        figure = Figure(figsize=(PAGE_WIDTH, 4.6))
        axes = figure.subplots()
        title_study_figure(figure, f"Which classes does {_name(best)} confuse?", _row(tables, best))
        seaborn.heatmap(
            shares,
            # Right answers would take all of the scale.
            mask=np.eye(len(counts), dtype=bool),
            annot=True,
            fmt=".1f",
            annot_kws={"size": 6},
            cmap=seaborn.light_palette("#0072b2", as_cmap=True),
            linewidths=0.5,
            square=True,
            cbar_kws={"label": "Share of the true class (%)", "shrink": 0.8},
            xticklabels=names,
            yticklabels=names,
            ax=axes,
        )
        for place, share in enumerate(np.diag(shares)):
            axes.text(place + 0.5, place + 0.5, f"{share:.1f}", ha="center", va="center", size=6)
        axes.grid(visible=False)
        axes.tick_params(axis="y", rotation=0)
        axes.set_xlabel("Taken for")
        axes.set_ylabel("True class")
    return figure


def plot_mistakes(tables: StudyTables) -> Figure:
    """Return a sheet of the test images that the best net got wrong with the most confidence."""
    with use_style():
        best = find_best_result(tables.results)
        if best is None or best.test is None or not best.test.mistakes:
            return plot_missing("Worst mistakes: no network is evaluated yet, or it makes none.")
        mistakes = best.test.mistakes
        if tables.pictures is None:
            return plot_missing("Worst mistakes: the prepared images are not on this machine.")
        names = _name_classes(tables)
        rows = math.ceil(len(mistakes) / COLUMNS)
        size = tables.pictures.images.shape[1]
        # One image of all: five by five axes would take ten times as long to draw.
        height, width = round(1.7 * size), round(1.3 * size)
        sheet = np.full((rows * height, COLUMNS * width, 3), 255, dtype=np.uint8)
        figure = Figure(figsize=(PAGE_WIDTH, 0.5 + PAGE_WIDTH * sheet.shape[0] / sheet.shape[1]))
        title_study_figure(figure, f"The worst mistakes of {_name(best)}", _row(tables, best))
        axes = figure.subplots()
        axes.set_axis_off()
        for place, mistake in enumerate(mistakes):
            top, left = place // COLUMNS * height, place % COLUMNS * width
            under = top + height - size
            image = tables.pictures.images[mistake.index]
            sheet[under : under + size, left : left + size] = image
            axes.text(
                left + size / 2,
                under - 2,
                f"{names[mistake.label]},\ntaken for\n{names[mistake.predicted]}\n"
                f"({100 * mistake.probability:.1f} %)",
                ha="center",
            )
        axes.imshow(sheet, interpolation="none")  # an SVG keeps the pixels themselves
    return figure


def _name(best: Result) -> str:
    return f"{best.name}, seed {best.seed}"


def _row(tables: StudyTables, best: Result) -> pd.DataFrame:
    """Return the best net's row of the summary: a figure of one training says so."""
    summary = tables.summary
    chosen = (summary["run"] == best.name) & (summary["seed"] == best.seed)
    row: pd.DataFrame = summary[chosen]
    return row


def _name_classes(tables: StudyTables) -> list[str]:
    """Return the names of the classes, or their numbers where the data are not there."""
    if tables.pictures:
        return list(tables.pictures.classes)
    return [str(k) for k in range(NUM_CLASSES)]
