"""What all figures share: the style, the meaning of colours and markers, labels, saving.

Colour stands for the depth L and marker shape for the widths K, by value, so that a net looks
the same in every figure. Lightness rises with depth, so that the order survives in grey, and
depths that meet in one panel differ in hue (CIELAB distance at least 16, also as simulated for
deuteranopia and protanopia).
"""

from __future__ import annotations

import math
import textwrap
import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from hw2core.analysis.tables import iterate_rows, split_numbers
from hw2core.analysis.wording import Experiment, describe_evidence
from hw2core.atomic import replace_atomically

STYLE = Path(__file__).with_name("style.mplstyle")
INK, MUTED, FAINT = "#262626", "#6b6b6b", "#b3b3b3"
PAGE_WIDTH = 7.1  # inches: 180 mm, a double column

# Where depths stand along the colours: wide steps where the study puts neighbours in one panel.
# Depths between these are interpolated, deeper ones take the last colour.
DEPTH_COLOURS = ("#1a1a5e", "#0072b2", "#1ba3a0", "#8fb339", "#f0b400")
DEPTH_PLACES = {1: 0.0, 2: 0.15, 3: 0.29, 4: 0.43, 6: 0.5, 8: 0.6, 9: 0.66, 16: 0.82, 32: 1.0}
WIDTH_MARKERS = {
    "32": "o",
    "64": "s",
    "128": "^",
    "256": "D",
    "64-128-256": "v",
    "32-64-128": "p",
}
OTHER_MARKERS = ("h", "<", ">", "d")


def use_style() -> AbstractContextManager[None]:
    """Return a context in which figures are made and saved in the style of the study."""
    return mpl.style.context(["default", STYLE])


def depth_colour(depth: int) -> str:
    """Return the colour of depth L, the same in every figure."""
    place = np.interp(math.log2(depth), np.log2(list(DEPTH_PLACES)), list(DEPTH_PLACES.values()))
    return to_hex(seaborn.blend_palette(DEPTH_COLOURS, as_cmap=True)(float(place)))


def darken(colour: str) -> str:
    """Return ``colour``, darkened until text in it has contrast 4.5 on white (WCAG 2 AA)."""
    rgb = np.array(to_rgb(colour))
    while 1.05 / (_luminance(rgb) + 0.05) < 4.5:
        rgb = 0.95 * rgb
    return to_hex(rgb.tolist())


def _luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def width_marker(widths: str) -> str:
    """Return the marker of widths K (joined by hyphens), the same in every figure."""
    other = OTHER_MARKERS[zlib.crc32(widths.encode()) % len(OTHER_MARKERS)]
    return WIDTH_MARKERS.get(widths, other)


def add_look(summary: pd.DataFrame) -> pd.DataFrame:
    """Return ``summary`` with ``label``, ``facet``, ``variant``, ``colour`` and ``marker`` per run.

    Nets with a depth are labelled by it and fall into facets by their widths and by what else
    their names say (``exp_warmup_L8_K32``: facet ``K = 32, warmup``). Other runs are labelled by
    their names, in one facet without a title, in the colours of the style.
    """
    looks: dict[str, tuple[str, ...]] = {}
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    for row in iterate_rows(summary.drop_duplicates("run")):
        if pd.isna(row.depth):
            label = row.run.removeprefix(f"{row.experiment}_")
            looks[row.run] = (label, "", "", cycle[len(looks) % len(cycle)], "o")
            continue
        suffix = f"_L{row.depth}_K{row.widths}"
        variant = row.run.removesuffix(suffix).removeprefix(row.experiment).strip("_")
        variant = f", {variant}" if variant else ""
        facet = f"K = {row.widths}{variant}"
        depth = int(row.depth)
        marker = width_marker(row.widths)
        looks[row.run] = (f"L = {depth}", facet, variant, depth_colour(depth), marker)
    frame = summary.copy()
    for column, name in enumerate(("label", "facet", "variant", "colour", "marker")):
        frame[name] = [looks[run][column] for run in frame["run"]]
    return frame


def sort_facets(facets: Iterable[str]) -> list[str]:
    """Return the distinct facets in natural order."""
    return sorted(set(facets), key=split_numbers)


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


def spread_labels(figure: Figure, groups: Iterable[tuple[Axes, Sequence[Text]]]) -> None:
    """Move the labels of each axes apart vertically where they would overlap.

    Call it last: it lays the figure out, to learn how high the axes are, and keeps that layout.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
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
    metadata = {
        ".svg": {"Date": None, "Creator": None},
        ".png": {"Software": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    with use_style():
        for path in map(Path, paths):
            with replace_atomically(path) as temporary:
                figure.savefig(temporary, metadata=metadata.get(path.suffix))
