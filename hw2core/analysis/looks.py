"""What colours and markers mean, the same in every figure.

Colour stands for the depth L and marker shape for the widths K, by value, so that a net looks
the same in every figure. Lightness rises with depth, so that the order survives in grey, and
depths that meet in one panel differ in hue (CIELAB distance at least 16, also as simulated for
deuteranopia and protanopia). Figures over all runs colour by kind of network instead.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

from hw2core.analysis.tables import iterate_rows, split_numbers

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
_DEPTHS = LinearSegmentedColormap.from_list("depths", DEPTH_COLOURS)
# Kinds of networks, by model: none of the colours of depths, and apart in grey.
FAMILIES = {"cnn": ("plain", "#4d4d4d"), "resnet": ("residual", "#d55e00")}
FAMILIES |= {"ycn": ("custom", "#cc79a7"), "mlp": ("MLP", "#8c510a")}


def depth_colour(depth: int) -> str:
    """Return the colour of depth L, the same in every figure."""
    place = np.interp(math.log2(depth), np.log2(list(DEPTH_PLACES)), list(DEPTH_PLACES.values()))
    return to_hex(_DEPTHS(float(place)))


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
    """Return ``summary`` with what each run looks like.

    New columns: ``label``, ``facet``, ``variant``, ``colour``, ``marker``, and ``size_colour``, the
    colour of the depth. Nets with a depth are labelled by it and fall into facets by their widths.
    Those that have a label in their names (``exp_warmup_L8_K32``: variant ``warmup``) are compared
    by that: they fall into facets by size and have the colours of the style, in order. Runs
    without a depth are labelled by their names, in one facet without a title.
    """
    looks: dict[str, tuple[str, ...]] = {}
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    places: dict[str, int] = {}
    for row in iterate_rows(summary.drop_duplicates("run")):
        if pd.isna(row.depth):
            label = row.run.removeprefix(f"{row.experiment}_")
            colour = cycle[len(looks) % len(cycle)]
            looks[row.run] = (label, "", "", colour, "o", colour)
            continue
        variant = find_variant(row)
        depth = int(row.depth)
        marker, colour = width_marker(row.widths), depth_colour(depth)
        if variant:
            place = places.setdefault(variant, len(places))
            facet = f"L = {depth}, K = {row.widths}"
            looks[row.run] = variant, facet, variant, cycle[place % len(cycle)], marker, colour
        else:
            looks[row.run] = f"L = {depth}", f"K = {row.widths}", "", colour, marker, colour
    frame = summary.copy()
    names = ("label", "facet", "variant", "colour", "marker", "size_colour")
    for column, name in enumerate(names):
        frame[name] = [looks[run][column] for run in frame["run"]]
    return frame


def find_variant(row: Any) -> str:
    """Return the label in the name of a net's run, empty where there is none."""
    suffix = f"_L{row.depth}_K{row.widths}"
    return str(row.run.removesuffix(suffix).removeprefix(row.experiment).strip("_"))


def select_nets(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of convolutional networks: those that have a depth."""
    return summary.dropna(subset="depth")


def select_unlabelled(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the nets that differ from each other in size only, not in a label of their names."""
    nets = select_nets(summary)
    return nets[[not find_variant(row) for row in iterate_rows(nets)]]


def add_family(summary: pd.DataFrame) -> pd.DataFrame:
    """Return ``summary`` with ``family`` and ``colour``, by kind of network."""
    kinds = [FAMILIES.get(model, (str(model), "#000000")) for model in summary["model"]]
    grows = summary["widths"].fillna("").astype(str).str.contains("-")
    names = [
        f"{name}, growing widths" if wide and model != "ycn" else name
        for (name, _), wide, model in zip(kinds, grows, summary["model"], strict=True)
    ]
    colours = [colour for _, colour in kinds]
    return summary.assign(family=names, colour=colours)


def sort_facets(facets: Iterable[str]) -> list[str]:
    """Return the distinct facets in natural order."""
    return sorted(set(facets), key=split_numbers)
