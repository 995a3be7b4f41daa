"""What all figures share: the style, titles, labels that keep apart, saving."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullLocator

from hw2core.analysis.looks import darken
from hw2core.analysis.wording import describe_evidence
from hw2core.config.spec import Experiment
from hw2core.io import replace_atomically

STYLE = Path(__file__).with_name("style.mplstyle")
INK, MUTED, FAINT = "#262626", "#6b6b6b", "#b3b3b3"
PAGE_WIDTH = 7.1  # inches: 180 mm, a double column


def use_style() -> AbstractContextManager[None]:
    """Return a context in which figures are made and saved in the style of the study."""
    return mpl.style.context(["default", STYLE])


def title_figure(figure: Figure, experiment: Experiment, summary: pd.DataFrame) -> None:
    """Head ``figure`` with the experiment's question and the evidence, left-aligned."""
    question = " ".join(f"{experiment.name}: {experiment.question}".split())
    width = int(15.5 * figure.get_figwidth())  # characters of the title's size on a line
    lines = [*textwrap.wrap(question, width), describe_evidence(summary)]
    figure.suptitle("\n".join(lines), x=0.008, ha="left", linespacing=1.35, color=INK)


def plot_nothing(experiment: Experiment, summary: pd.DataFrame) -> Figure:
    """Return a figure that says that there is no result yet (``summary`` is empty)."""
    figure = Figure(figsize=(PAGE_WIDTH, 0.6))
    title_figure(figure, experiment, summary)
    return figure


def write_powers(axes: Axes) -> None:
    """Give the y axis a logarithmic scale, labelled 10⁻³, 10⁻², ..."""
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

    def write(value: float, _place: int) -> str:
        return "10" + str(round(math.log10(value))).translate(digits)

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(write))
    axes.yaxis.set_minor_locator(NullLocator())


def title_study_figure(figure: Figure, title: str, summary: pd.DataFrame) -> None:
    """Head a figure over several experiments with its question and the evidence."""
    width = int(15.5 * figure.get_figwidth())  # characters of the title's size on a line
    lines = [title, *textwrap.wrap(describe_evidence(summary), width)]
    figure.suptitle("\n".join(lines), x=0.008, ha="left", linespacing=1.35, color=INK)


def plot_missing(reason: str) -> Figure:
    """Return a figure that only says why there is nothing to show."""
    figure = Figure(figsize=(PAGE_WIDTH, 0.5))
    figure.suptitle(reason, x=0.008, ha="left", color=INK)
    return figure


def place_labels(axes: Axes, labels: Sequence[tuple[float, float, str, str]]) -> list[Text]:
    """Write each (x, y, text, colour) right of its point, in data coordinates, as text labels."""
    return [
        axes.annotate(
            text,
            (x, y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=darken(colour),
            annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
        )
        for x, y, text, colour in labels
    ]


def lay_out(figure: Figure) -> None:
    """Give all parts of ``figure`` their places, and keep these."""
    engine = figure.get_layout_engine()
    if figure.axes and engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def spread_labels(figure: Figure, groups: Iterable[tuple[Axes, Sequence[Text]]]) -> None:
    """Move the labels of each axes apart vertically where they would overlap.

    Call it last: it lays the figure out, to learn how high the axes are.
    """
    lay_out(figure)
    for axes, labels in groups:
        height = axes.get_window_extent().height
        gap = 1.2 * mpl.rcParams["font.size"] * figure.dpi / 72
        points: list[Any] = [axes.transData.transform(label.xy) for label in labels]  # type: ignore[attr-defined]
        order = sorted(range(len(labels)), key=lambda index: float(points[index][1]))
        bottom = axes.get_window_extent().y0
        wanted = [float(points[index][1]) - bottom for index in order]
        for label, old, new in zip(
            [labels[index] for index in order], wanted, _separate(wanted, gap, height), strict=True
        ):
            label.set_position((5, (new - old) * 72 / figure.dpi))


def _separate(wanted: Sequence[float], gap: float, height: float) -> list[float]:
    """Return ascending positions at least ``gap`` apart within 0 to ``height``, near ``wanted``.

    Labels that touch form a block around the mean of what they want (a one-dimensional least
    squares with order kept: pool adjacent violators).
    """
    blocks: list[list[float]] = []
    for index, position in enumerate(wanted):
        blocks.append([position - index * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    highest = max(0.0, height - (len(wanted) - 1) * gap)
    starts = [min(max(float(np.mean(block)), 0.0), highest) for block in blocks for _ in block]
    return [start + index * gap for index, start in enumerate(starts)]


def save_figure(figure: Figure, paths: Iterable[Path | str]) -> None:
    """Write ``figure`` to each path, in the format of its suffix, whole or not at all.

    The same figure gives the same bytes: no date, no program version, fixed SVG identifiers.
    """
    options: dict[str, dict[str, Any]] = {
        ".svg": {"metadata": {"Date": None, "Creator": None}},
        # Lossless at any level; the usual one, 6, takes a third longer and saves little.
        ".png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}},
        ".pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    }
    # With an engine, or one that comes back, each file is laid out again and drawn twice.
    with use_style(), mpl.rc_context({"figure.constrained_layout.use": False}):
        lay_out(figure)
        figure.set_layout_engine(None)
        for path in map(Path, paths):
            with replace_atomically(path) as temporary:
                figure.savefig(temporary, **options.get(path.suffix, {}))
