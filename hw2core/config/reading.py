"""Reads configuration files: strict YAML, and several files laid over each other."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
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
    """Read configurations and lay each over those before it, as Snakemake does with several.

    Mappings are merged key by key; a list, like any other value, replaces the earlier one.

    Raises:
        ConfigError: as ``read_config``.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _lay_over(merged, read_config(path))
    return merged


def _lay_over(below: object, above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below) if isinstance(below, Mapping) else {}
    for key, value in above.items():
        merged[key] = _lay_over(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key.value!r} is given twice", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)
