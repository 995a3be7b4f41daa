"""Merges the sections that a run is made of, from the outermost to the innermost."""

from __future__ import annotations

from collections.abc import Iterable

from hw2core.config.fields import Values
from hw2core.config.schema import NEEDS

SIZES = ("source_train", "source_test")  # of a data set


def merge_layers(layers: Iterable[Values]) -> Values:
    """Merge what the layers of a section give, from the outermost to the innermost.

    If the innermost choice of a data set, optimizer or schedule does not have a key of an outer
    layer, that key is left out: a run with ``optimizer: adamw`` need not say ``nesterov: false``,
    and another data set does not inherit a size.
    """
    layers = list(layers)
    merged: Values = {}
    sizes: dict[str, Values] = {}  # by the data set that they were given for, checked later
    for layer in layers:
        merged |= layer
        given = {key: layer[key] for key in SIZES if key in layer}
        name = str(merged.get("name"))
        sizes[name] = sizes.get(name, {}) | given
    merged = {key: merged[key] for key in merged if key not in SIZES}
    merged |= sizes.get(str(merged.get("name")), {})
    for key, (chosen, values) in NEEDS.items():
        choices = [i for i, layer in enumerate(layers) if chosen in layer]
        if not choices or merged[chosen] in values:
            continue
        if not any(key in layer for layer in layers[choices[-1] :]):
            merged.pop(key, None)
    return merged
