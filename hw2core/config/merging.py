"""Merges the sections that a run is made of, from the outermost to the innermost."""

from __future__ import annotations

from collections.abc import Iterable

from hw2core.config.fields import Values
from hw2core.config.schema import NEEDS


def merge_layers(layers: Iterable[Values]) -> Values:
    """Merge what the layers of a section give, from the outermost to the innermost.

    A layer that chooses another data set, optimizer or schedule leaves out the keys of the outer
    layers that the new choice does not have: a run with ``optimizer: adamw`` need not say
    ``nesterov: false``, and another data set does not inherit a size.
    """
    merged: Values = {}
    for layer in layers:
        if layer.get("name", merged.get("name")) != merged.get("name"):
            merged = {k: v for k, v in merged.items() if k not in ("source_train", "source_test")}
        merged |= layer
        for key, (chosen, values) in NEEDS.items():
            if chosen in layer and key not in layer and layer[chosen] not in values:
                merged.pop(key, None)
    return merged
