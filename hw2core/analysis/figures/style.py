"""Defines the colours of all figures and their meaning.

A family of networks, a depth and a width have the same colour in every figure. ``DARK`` maps each
colour to its counterpart on a dark page; SVGs contain no other colours.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

from hw2core.runs.paths import FIGURE_STYLE

STYLE = Path(__file__).parents[3] / FIGURE_STYLE
FIGURE_WIDTH = 5.4  # inches; text of 8.5 points is 8 pixels high on a phone

INK, MUTED, FAINT, PAPER = "#262626", "#6b6b6b", "#b3b3b3", "#ffffff"
AXES, GRID, BAND = "#7f7f7f", "#e6e6e6", "#dcdcdc"
# From Okabe and Ito's palette, which colour-blind readers can distinguish.
FAMILIES = {
    "plain": "#0072b2",
    "batch norm": "#009e73",
    "residual": "#d55e00",
    "custom": "#a0468c",
    "MLP": "#8c510a",
}
OTHER_FAMILY = "#4d4d4d"
VARIANTS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c510a", "#4d4d4d")
# In seaborn's format: none, or lengths of dash and gap.
DASHES: tuple[Any, ...] = ("", (4, 1.6), (1.2, 1.4), (6, 1.4, 1.2, 1.4), (2.5, 1))


def _sample(colours: tuple[str, ...], count: int) -> tuple[str, ...]:
    scale = LinearSegmentedColormap.from_list("scale", colours)
    return tuple(to_hex(scale(place)) for place in np.linspace(0, 1, count))


_DEPTHS = _sample(("#1a1a5e", "#0072b2", "#1ba3a0", "#8fb339", "#f0b400"), 24)
# Larger steps between depths that the study compares; other depths are interpolated.
_DEPTH_PLACES = {1: 0.0, 2: 0.15, 3: 0.29, 4: 0.43, 6: 0.5, 8: 0.6, 9: 0.66, 16: 0.82, 32: 1.0}
_WIDTHS = _sample(("#e8a02c", "#c8446a", "#4b1a6e"), 24)
SHADES = _sample(("#eaf3f9", "#7fb8d8", "#0072b2"), 9)  # of a heat map, from low to high


def pick(values: Sequence[Any], numbers: Iterable[int]) -> list[Any]:
    """Return the value for each number, cycling through ``values``."""
    return [values[number % len(values)] for number in numbers]


def use_style() -> AbstractContextManager[None]:
    """Return a context in which figures are made and saved in the style of the study."""
    return mpl.style.context(["default", STYLE])


def colour_family(family: str) -> str:
    """Return the colour of a family of networks."""
    return FAMILIES.get(family, OTHER_FAMILY)


def colour_depth(depth: int) -> str:
    """Return the colour of depth L, lighter for deeper networks."""
    known = np.log2(list(_DEPTH_PLACES))
    place = np.interp(math.log2(depth), known, list(_DEPTH_PLACES.values()))
    return _DEPTHS[round(float(place) * (len(_DEPTHS) - 1))]


def colour_widths(widths: str) -> str:
    """Return the colour of widths K (joined by hyphens), darker for a wider widest stage."""
    widest = max(map(int, widths.split("-")))
    place = np.interp(math.log2(widest), (4, 9), (0, 1))
    return _WIDTHS[round(float(place) * (len(_WIDTHS) - 1))]


def darken(colour: str) -> str:
    """Return ``colour``, darkened until text in it has contrast 4.5 on white (WCAG 2 AA)."""
    rgb = np.array(to_rgb(colour))
    while 1.05 / (_luminance(rgb) + 0.05) < 4.5:
        rgb = 0.95 * rgb
    return to_hex(rgb.tolist())


def _luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _invert(colour: str) -> str:
    """Return the same hue with inverted lightness, where white becomes almost black."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    return to_hex(colorsys.hls_to_rgb(hue, 0.97 - 0.86 * lightness, 0.85 * saturation))


_ALL = {INK, MUTED, FAINT, AXES, GRID, BAND, OTHER_FAMILY, *FAMILIES.values(), *VARIANTS}
_ALL |= {*_DEPTHS, *_WIDTHS, *SHADES}
DARK = {colour: _invert(colour) for colour in sorted({*_ALL, *map(darken, _ALL)})}
DARK |= {PAPER: "#15181c", INK: "#e3e6ea"}
