"""Places labels in figures without overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hw2core.analysis.figures.drawing import lay_out
from hw2core.analysis.figures.style import FAINT, darken

Pixels = npt.NDArray[np.float64]

_FORBIDDEN = 1000.0  # cost of a position outside the axes or on another label
_DIRECTIONS = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_DISTANCES = (6, 10, 15, 22, 30, 40, 52)  # points between a label and its data point


class Label(NamedTuple):
    """A text at a data point."""

    x: float
    y: float
    text: str
    colour: str
    weight: str = "normal"


def place_labels(axes: Axes, labels: Sequence[Label]) -> list[Text]:
    """Write each label near its point, where it covers no other label and few points or lines.

    A label without a free position is left out. Call this last: it freezes the layout of the
    figure, because positions are searched in pixels.
    """
    scale = lay_out(axes)
    obstacles = _sample_lines(axes, 3 * scale)
    texts = [_write(axes, label, ha="center") for label in labels]
    anchors = axes.transData.transform([label[:2] for label in labels])
    boxes = [_list_boxes(*pair, scale) for pair in zip(anchors, texts, strict=True)]
    pairs = list(zip(anchors, boxes, strict=True))
    costs = np.array([[_rate(x, box, anchors, obstacles, axes) for box in y] for x, y in pairs])
    # Labels with the fewest good positions come first.
    choices = (costs < costs.min(axis=1, keepdims=True) + 10).sum(axis=1)
    taken: list[Bbox] = []
    for index in np.argsort(choices, kind="stable"):
        blocked = [any(box.overlaps(other) for other in taken) for box in boxes[index]]
        cost = costs[index] + _FORBIDDEN * np.array(blocked)
        box = boxes[index][int(cost.argmin())]
        if cost.min() < _FORBIDDEN:
            taken.append(box.padded(2 * scale))
            centre = np.add(box.min, box.max) / 2
            texts[index].set_position(tuple((centre - anchors[index]) / scale))
        else:
            texts[index].remove()
    return [text for text in texts if text.axes is not None]


def spread_labels(axes: Axes, labels: Sequence[Label]) -> list[Text]:
    """Write labels to the right of their points, spread vertically within the axes.

    Call this last: it freezes the layout of the figure, with space for the labels.
    """
    texts = [_write(axes, label, annotation_clip=False, start=(0, 0.5)) for label in labels]
    scale = lay_out(axes)
    frame = axes.get_window_extent()
    heights = axes.transData.transform([label[:2] for label in labels])[:, 1]
    order = np.argsort(heights, kind="stable")
    gap = 1.2 * mpl.rcParams["legend.fontsize"] * scale
    places = heights.copy()
    for below, above in pairwise(order):  # move up until labels do not overlap
        places[above] = max(places[above], places[below] + gap)
    limit = frame.y1
    for index in order[::-1]:  # move down those above the axes
        places[index] = min(places[index], limit)
        limit = places[index] - gap
    for text, old, new in zip(texts, heights, places, strict=True):
        text.set_position((8, (new - old) / scale))
    return texts


def _write(
    axes: Axes, label: Label, start: tuple[float, float] = (0.5, 0.5), **options: Any
) -> Text:
    """Write a label to the right of its point, with a line from ``start`` in its box to it."""
    line = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkB": 4, "relpos": start}
    return axes.annotate(
        label.text,
        label[:2],
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        size=mpl.rcParams["legend.fontsize"],
        weight=label.weight,
        color=darken(label.colour),
        arrowprops=line,
        **options,
    )


def _list_boxes(point: Pixels, text: Text, scale: float) -> list[Bbox]:
    """Return candidate boxes for ``text`` around ``point``, in pixels."""
    size = np.array(Text.get_window_extent(text).size)  # without the line to its point
    boxes = []
    for distance, direction in product(_DISTANCES, _DIRECTIONS):
        slanted = 0.7 if all(direction) else 1.0
        centre = point + np.array(direction) * (slanted * distance * scale + size / 2)
        boxes.append(Bbox([centre - size / 2, centre + size / 2]))
    return boxes


def _rate(point: Pixels, box: Bbox, anchors: Pixels, obstacles: Pixels, axes: Axes) -> float:
    """Return the cost of writing the label of ``point``, one of ``anchors``, in ``box``."""
    frame, wide = axes.get_window_extent(), box.padded(3)
    outside = bool(np.any(box.min < frame.min) or np.any(box.max > frame.max))
    hidden = ((obstacles > wide.min) & (obstacles < wide.max)).all(axis=1).sum()
    near = np.hypot(*(np.clip(anchors, box.min, box.max) - anchors).T)
    own = np.hypot(*(np.clip(point, box.min, box.max) - point))
    # A label nearer to another point would seem to name that point.
    return float(_FORBIDDEN * outside + hidden + 20 * (near < own).sum() + 0.18 * own)


def _sample_lines(axes: Axes, step: float) -> Pixels:
    """Return pixels of all markers and lines of ``axes``, with one per ``step`` on lines."""
    samples = [np.empty((0, 2))]
    for line in axes.get_lines():
        points = line.get_transform().transform(line.get_xydata())
        if line.get_marker() not in ("None", "", None):
            samples.append(np.repeat(points, 30, axis=0))  # worse to cover than a line
        if line.get_linestyle() != "None":
            for first, second in pairwise(points):
                count = 1 + int(np.hypot(*(second - first)) / step)
                samples.append(np.linspace(first, second, count))
    return np.concatenate(samples)
