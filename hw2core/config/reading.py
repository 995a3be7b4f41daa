"""Reads configuration files: strict YAML, alone or several merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hw2core.config.errors import ConfigError


def read_config(path: Path | str) -> dict[str, Any]:
    """Read a YAML configuration; unlike in plain YAML, a key given twice is an error.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or has a key twice.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            values = yaml.load(file, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(str(path), [f"{line}{problem}"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    if not isinstance(values, dict):
        raise ConfigError(str(path), ["must be a mapping of keys to values"])
    return values


def read_configs(paths: Iterable[Path | str]) -> dict[str, Any]:
    """Read configurations with ``read_config`` and merge them, as Snakemake does with several.

    Mappings are merged key by key; a list, like any other value, replaces the earlier one.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _merge(merged, read_config(path))
    return merged


def _merge(earlier: object, later: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(earlier) if isinstance(earlier, Mapping) else {}
    for key, value in later.items():
        merged[key] = _merge(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node] | None) -> yaml.MappingNode:
        # As it is written: what a key << merges is added later, and may be given again.
        node = super().compose_mapping_node(anchor)  # type: ignore[arg-type]
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is given twice", key.start_mark
                    )
                seen.add(key.value)
        return node
