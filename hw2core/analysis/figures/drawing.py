"""Holds what figures share: lines, rows of dots, hover titles, captions, layout, saving."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hw2core.analysis.figures import style
from hw2core.analysis.text import describe_evidence
from hw2core.io import replace_atomically

BUDGET = ["epochs", "train_images", "data"]  # columns that make accuracies comparable
PUBLIC = Patch(color=style.BAND, label="public solutions: median to best")
_HOVER = "hover: "  # at the start of an artist's gid: the rest is shown on hover
# Nothing of the time and the program goes into a file: the same figure gives the same bytes.
_METADATA = {
    ".svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    ".png": {"Software": None},
}


def draw_missing(reason: str) -> Figure:
    """Return a figure that only says why there is nothing to show."""
    with style.use_style():
        figure = Figure(figsize=(style.FIGURE_WIDTH, 0.5))
        figure.text(0.01, 0.5, reason, va="center")
    return figure


def set_hover(artist: Artist, text: str) -> None:
    """Show ``text`` when the pointer is on ``artist`` in an SVG."""
    artist.set_gid(_HOVER + text.replace('"', "'"))  # the attribute is in double quotes


def draw_lines(axes: Axes, data: pd.DataFrame, x: str, y: str, looks: pd.DataFrame) -> list[Line2D]:
    """Draw a line per value of ``data["line"]``: the mean over seeds, on a band over their range.

    ``looks`` has a row per line, by its index: ``colour``, ``dashes`` and ``hover``.
    """
    data = data.dropna(subset=y)
    looks = looks[looks.index.isin(data["line"])]
    seaborn.lineplot(
        data,
        x=x,
        y=y,
        hue="line",
        hue_order=looks.index,
        palette=dict(looks["colour"]),
        style="line",
        style_order=looks.index,
        dashes=dict(looks["dashes"]),
        marker="o" if data[x].nunique() == 1 else None,
        errorbar=("pi", 100) if data["seed"].nunique() > 1 else None,
        err_kws={"linewidth": 0, "alpha": 0.15},
        legend=False,
        ax=axes,
    )
    lines = axes.get_lines()
    for line, text in zip(lines, looks["hover"], strict=True):
        set_hover(line, text)
    return list(lines)


def draw_row(
    axes: Axes, place: float, values: tuple[float, float, float], colour: str, text: str, hover: str
) -> Line2D:
    """Draw value, lowest and highest in a row of a dot plot, with ``text`` at the right edge."""
    value, *ends = values
    axes.plot(ends, [place] * 2, color=colour, zorder=2)
    (dot,) = axes.plot(value, place, "o", color=colour, zorder=3, clip_on=False)
    set_hover(dot, hover)
    right = axes.get_yaxis_transform()
    dark = style.darken(colour)
    axes.text(1.01, place, text, transform=right, va="center", size="small", color=dark)
    return dot


def finish_rows(axes: Axes, places: list[float], names: list[str], xlabel: str) -> None:
    """Name the rows of a dot plot, the first at the top."""
    axes.set_yticks(places, names)
    axes.set_ylim(places[-1] + 0.7, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(xlabel)


def make_handle(label: str, colour: str, face: str | None = None) -> Line2D:
    """Return a legend's marker; ``face`` is its inner colour, where that is another."""
    face = face or colour
    return Line2D([], [], color=colour, marker="o", ls="", label=label, markerfacecolor=face)


def join_caption(sentences: Iterable[str], runs: pd.DataFrame) -> str:
    """Return the sentences, then on what budgets and how many seeds ``runs`` were trained."""
    budgets = sorted(runs.groupby(BUDGET, sort=False), key=lambda budget: -len(budget[1]))
    parts = [f"{', '.join(x['experiment'].unique())}: {describe_budget(x)}" for _, x in budgets]
    unequal = f"Trained on unequal budgets. {'; '.join(parts)}." if len(parts) > 1 else ""
    return " ".join(filter(None, [*sentences, unequal, describe_evidence(runs)]))


def describe_budget(runs: pd.DataFrame) -> str:
    """Return the budget of the first row: ``20 epochs of 20,000 images``."""
    first = runs.iloc[0]
    kind = "" if first["data"] == "cifar10" else f"{first['data']} "
    return f"{first['epochs']} epochs of {first['train_images']:,} {kind}images"


def lay_out(axes: Axes) -> float:
    """Give all parts of a figure their places, keep these, and return pixels per point."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes are always in one
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    return figure.dpi / 72


def save_figure(figure: Figure, paths: Iterable[Path | str]) -> None:
    """Write ``figure`` to each path, as SVG or PNG by its suffix, whole or not at all.

    The same figure gives the same bytes. In an SVG, what ``set_hover`` gave becomes ``<title>``.
    """
    with style.use_style(), mpl.rc_context({"figure.constrained_layout.use": False}):
        for axes in figure.axes[:1]:
            lay_out(axes)
        figure.set_layout_engine(None)  # with one, even an empty one, each file is drawn twice
        for path in map(Path, paths):
            stream = io.BytesIO()
            figure.savefig(stream, format=path.suffix[1:], metadata=_METADATA[path.suffix])
            content = stream.getvalue()
            if path.suffix == ".svg":
                pattern = rb'<g id="%s([^"]*)">' % _HOVER.encode()
                content = re.sub(pattern, rb"<g>\n<title>\1</title>", content)
            with replace_atomically(path) as temporary:
                temporary.write_bytes(content)
