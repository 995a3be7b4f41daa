"""Draws the mistakes of the best network: confusion matrix and most confident mistakes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import seaborn
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from hw2core.analysis.compared import find_best_of, find_best_result
from hw2core.analysis.figures import style
from hw2core.analysis.figures.drawing import draw_missing
from hw2core.analysis.tables import Study, leave_out_mlps
from hw2core.analysis.text import format_number
from hw2core.data.prepared import PreparedData, load_prepared
from hw2core.runs.schema import Evaluation

MISSING = "No network other than MLPs trains and has been evaluated yet."
COLUMNS, ROWS = 5, 3
FEW = 20  # classes: the shares of more are not written into the matrix, nor their names


def describe_confusion(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    best = find_best_result(study)
    if best is None or (test := best.test) is None:
        return MISSING, ""
    shares = [share for share in test.class_accuracy if share is not None]
    _, what = find_best_of(study, leave_out_mlps(study.summary))
    if find_best_of(study, study.summary)[0].model == "mlp":
        what += " without MLPs"
    finding = (
        f"Confusion matrix of {best.name}, seed {best.seed}, {what}: "
        f"{format_number(test.accuracy)} % of {test.num_images:,} test images are correct, and "
        f"{format_number(min(shares))} to {format_number(max(shares))} % by class."
    )
    return f"{finding} Rows are true classes, in percent of their images.", finding


def draw_confusion(study: Study, manifest: Path | None) -> Figure:
    """Return the confusion matrix in percent of each row, with only mistakes coloured.

    The row of a class without test images is empty.
    """
    test = _get_evaluation(study)
    counts = np.array(test.confusion, dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.where(totals, totals, np.nan)
    wrong = shares[~np.eye(len(counts), dtype=bool)]
    # Correct images are not coloured, as they would take up the whole scale.
    colours = ListedColormap(style.SHADES).with_extremes(over=style.PAPER)
    prepared = _load(manifest, test)
    names = prepared.classes if prepared else range(len(counts))
    few = len(counts) <= FEW
    plot = Figure(figsize=(style.FIGURE_WIDTH, 4.4))
    axes = plot.subplots()
    seaborn.heatmap(
        shares,
        vmin=0,
        vmax=max(float(np.nanmax(wrong)), 0.1),
        cmap=colours,
        annot=few,
        fmt=".1f",
        annot_kws={"size": 8},
        linewidths=1 if few else 0,
        linecolor=style.PAPER,
        cbar=False,
        xticklabels=names if few else False,
        yticklabels=names if few else False,
        ax=axes,
    )
    axes.tick_params(length=0, rotation=0)
    axes.tick_params(axis="x", rotation=45)
    axes.set(xlabel="Predicted class", ylabel="True class")
    return plot


def describe_mistakes(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    best = find_best_result(study)
    if best is None or best.test is None:
        return MISSING, ""
    if not best.test.mistakes:
        images = f"{best.test.num_images:,} test images"
        return f"{best.name}, seed {best.seed}, makes no mistake on the {images}.", ""
    shown = best.test.mistakes[: ROWS * COLUMNS]
    least = 100 * min(mistake.probability for mistake in shown)
    if round(least, 1) == 100:  # not rounded up to certainty
        least = math.floor(10 * least) / 10
    finding = (
        f"The {len(shown)} most confident mistakes of {best.name}, seed {best.seed}, each with a "
        f"probability of at least {format_number(least)} % for the wrong class."
    )
    return f"{finding} Above each test image are the predicted and the true class.", finding


def draw_mistakes(study: Study, manifest: Path | None) -> Figure:
    """Return the test images that the best network got wrong, the most confident first."""
    test = _get_evaluation(study)
    prepared = _load(manifest, test)
    if prepared is None:
        return draw_missing("The prepared images of this result are not on this machine.")
    images, names = prepared.test_images, prepared.classes
    mistakes = test.mistakes[: ROWS * COLUMNS]
    size = images.shape[1]
    # All in one image, as separate axes would take ten times as long to draw.
    height, width = round(1.75 * size), round(1.35 * size)
    rows = math.ceil(len(mistakes) / COLUMNS)
    sheet = np.full((rows * height, COLUMNS * width, 4), 0, dtype=np.uint8)  # transparent
    plot = Figure(
        figsize=(style.FIGURE_WIDTH, 0.1 + style.FIGURE_WIDTH * rows * height / sheet.shape[1])
    )
    axes = plot.subplots()
    axes.set_axis_off()
    for place, mistake in enumerate(mistakes):
        top, left = place // COLUMNS * height, place % COLUMNS * width + (width - size) // 2
        under = top + height - size
        sheet[under : under + size, left : left + size, :3] = images[mistake.index]
        sheet[under : under + size, left : left + size, 3] = 255
        text = f"{names[mistake.predicted]}\nis {names[mistake.label]}"
        axes.text(left + size / 2, under - 2, text, ha="center")
    axes.imshow(sheet, interpolation="none")  # an SVG keeps the pixels themselves
    return plot


def _get_evaluation(study: Study) -> Evaluation:
    """Return the evaluation of the best network, which must exist."""
    best = find_best_result(study)
    assert best is not None
    assert best.test is not None
    return best.test


def _load(manifest: Path | None, test: Evaluation) -> PreparedData | None:
    """Return the prepared images if they are those of the evaluation."""
    prepared = load_prepared(manifest, verify=False) if manifest and manifest.exists() else None
    return prepared if prepared and prepared.sha256 == test.data_sha256 else None
