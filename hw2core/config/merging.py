"""Merges the sections that a run is made of, from the outermost to the innermost."""

from __future__ import annotations

from collections.abc import Iterable

from hw2core.config.fields import Values
from hw2core.config.schema import NEEDS


def merge_values(layers: Iterable[Values]) -> Values:
    """Merge sections of a run, from the outermost to the innermost."""
    return {key: value for layer in layers for key, value in layer.items()}


def merge_data(layers: Iterable[Values]) -> Values:
    """Merge data sections, as ``merge_values``; another data set does not inherit a size."""
    merged: Values = {}
    for layer in layers:
        if layer.get("name", merged.get("name")) != merged.get("name"):
            merged = {k: v for k, v in merged.items() if k not in ("source_train", "source_test")}
        merged |= layer
    return merged


def merge_training(layers: Iterable[Values]) -> Values:
    """Merge training sections, from the outermost to the innermost.

    Where one chooses another optimizer or schedule, what those outside of it say and the new one
    does not have is left out: a run with ``optimizer: adamw`` need not say ``nesterov: false``.
    """
    merged: Values = {}
    for layer in layers:
        merged |= layer
        for key, (chosen, values) in NEEDS.items():
            if chosen in layer and key not in layer and layer[chosen] not in values:
                merged.pop(key, None)
    return merged
