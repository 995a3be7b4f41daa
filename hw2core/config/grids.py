"""Grids of an experiment: their values, the sections that their keys belong to, names of points."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from hw2core.config.fields import SECTIONS, Values, read_scalar

# L and K end a run's name anyway.
IN_SUFFIX = ("architecture.filters_per_layer", "architecture.layers_per_block")
# Names of the fields in the name of a run; any other has its own, without "_". Never change one.
SHORT_NAMES = {
    "activation_type": "act",
    "batch_size": "batch",
    "batchnorm": "bn",
    "early_stopping": "patience",
    "hidden_dims": "hidden",
    "initialization": "init",
    "kernel_size": "kernel",
    "label_smoothing": "smoothing",
    "optimizer": "opt",
    "pool_every": "every",
    "pooling_type": "pool",
    "split_seed": "split",
    "squeeze_excitation": "se",
    "validation": "val",
    "weight_decay": "wd",
}

MOST_VALUES = 1000
LARGEST_END = 1e30


def _expand(values: object) -> object:
    """Return ``{log: [first, last, number]}`` as a list; a list is one already."""
    if not isinstance(values, dict):
        return values
    ends = values.get("log") if values.keys() == {"log"} else None
    match list(map(read_scalar, ends)) if isinstance(ends, list) else []:
        case [int() | float() as first, int() | float() as last, int() as number] if (
            0 < min(first, last) <= max(first, last) <= LARGEST_END
            and math.isfinite(max(first, last) / min(first, last))
            and 2 <= number <= MOST_VALUES
        ):
            return space_by_ratio(first, last, number)
    raise ValueError(
        "must be a list, or {log: [FIRST, LAST, NUMBER]}: as many numbers of equal ratios, the "
        f"ends greater than 0 and at most {LARGEST_END:g}, 2 to {MOST_VALUES} of them"
    )


GridValues = Annotated[list[Any], Field(min_length=1), BeforeValidator(_expand)]
Grid = Mapping[str, list[Any]]


class Point(NamedTuple):
    """A point of a grid: its values by section, and its part of a run's name."""

    sections: dict[str, Values]
    settings: list[tuple[str, str]]  # section and field of all but L and K, in a fixed order
    label: str


def split_key(key: str) -> tuple[str, str]:
    """Return section and field of a grid's key; one without a section is of the architecture."""
    section, dot, field = key.partition(".")
    return (section, field) if dot else (SECTIONS[0], key)


def list_settings(grids: Iterable[Grid]) -> tuple[str, ...]:
    """Return the keys of grids but L and K, as ``section.field``, in the order of a run's name."""
    keys = {".".join(split_key(key)) for grid in grids for key in grid}
    return tuple(sorted(keys.difference(IN_SUFFIX)))


def list_points(grids: Iterable[Grid]) -> Iterator[Point]:
    """Yield the points of each grid, the last key changing fastest."""
    for grid in grids:
        for values in itertools.product(*grid.values()):
            given = dict(zip(map(split_key, grid), values, strict=True))
            sections: dict[str, Values] = {section: {} for section in SECTIONS}
            for (section, field), value in given.items():
                sections[section][field] = value
            settings = list(map(split_key, list_settings([grid])))
            words = [name_setting(x, given[split_key(x)]) for x in map(".".join, settings)]
            yield Point(sections, settings, "_".join(words))


def find_unknown_sections(grids: Iterable[Grid]) -> Iterator[str]:
    """Yield the keys of grids whose section no grid can vary."""
    for grid in grids:
        yield from (k for k in grid if "." in k and split_key(k)[0] not in ("training", "data"))


def space_by_ratio(first: float, last: float, number: int) -> list[float]:
    """Return ``number`` values of equal ratios, of three digits, from ``first`` to ``last``.

    They are whole where both ends are.
    """
    ratio = (last / first) ** (1 / (number - 1))
    inner = [float(f"{first * ratio**step:.3g}") for step in range(1, number - 1)]
    if isinstance(first, int) and isinstance(last, int):
        inner = [round(value) for value in inner]
    return [first, *inner, last]


def name_setting(key: str, value: object) -> str:
    """Return ``lr0.01`` for ``training.lr``, ``bn-true``, ``hidden128-64``: equal for equal values.

    Args:
        key: as ``section.field``.
        value: as in a file, or as it was read.
    """
    field = key.partition(".")[2]
    short = SHORT_NAMES.get(field, field.replace("_", ""))
    values = value if isinstance(value, list | tuple) else [value]
    text = "-".join(map(_write, values)) or "none"
    return f"{short}{text}" if text[0].isdigit() else f"{short}-{text}"


def _write(value: object) -> str:
    value = read_scalar(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float) and value.is_integer() and value < 1e6:
        value = int(value)
    # 1e-05 and 1e+20, as one writes them.
    return re.sub(r"(?<=\de)(?:\+|(-))0?", r"\1", str(value))
