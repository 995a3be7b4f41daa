"""Reads configuration files in strict YAML, and merges several."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hw2core.config.errors import ConfigError
from hw2core.io import check_regular

DEFAULT = "config.yaml"
LARGEST_FILE = 1 << 20
MOST_NODES = 100_000  # with aliases expanded
NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
MISREAD = re.compile("[-+]?0[0-7_]+|.*:.*")  # numbers that YAML reads as octal or base 60


def read_config(path: Path | str) -> dict[str, Any]:
    """Read a YAML configuration; refuse keys and numbers that YAML would silently change.

    Unlike in plain YAML, a key given twice is an error, and so is a key or number that YAML would
    change (``off``, ``0.10`` or ``016`` as a key), also to another key (``1.0`` is that of ``1``).

    Raises:
        ConfigError: the file cannot be read, is not YAML, or has one of these errors.
    """
    try:
        check_regular(path, LARGEST_FILE)
        with Path(path).open(encoding="utf-8") as file:
            values = yaml.load(file, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(str(path), [f"{line}{problem}"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:  # not UTF-8, a date of month 13, thousands of [
        raise ConfigError(str(path), [f"not valid YAML ({error})"]) from None
    if not isinstance(values, dict):
        raise ConfigError(str(path), ["must be a mapping of keys to values"])
    if "__use_yte__" in values:
        raise ConfigError(str(path), ["__use_yte__: not allowed; Snakemake would run the file"])
    return values


def choose_config(folder: Path | str = "", *, default: Path) -> Path:
    """Return the config.yaml of ``folder``, or ``default`` if there is none."""
    own = Path(folder, DEFAULT)
    return own if own.exists() else default


def list_configs(
    given: Iterable[Path | str], *, folder: Path | str = "", default: Path
) -> list[str]:
    """Return the files that a call of Snakemake merges, the first below the others.

    Args:
        given: its ``--configfile``.
        folder: its ``--directory``, whose config.yaml comes first.
        default: comes first where ``folder`` has none.
    """
    return put_first(choose_config(folder, default=default), given)


def put_first(first: Path | str, given: Iterable[Path | str]) -> list[str]:
    """Return the files that are merged: ``first``, then those given, one of which may be it."""
    files = [os.path.relpath(first), *map(str, given)]
    while len(files) > 1 and Path(files[1]).resolve() == Path(first).resolve():
        del files[1]  # merged already; after another file, its values would win again
    return files


def read_configs(paths: Iterable[Path | str]) -> dict[str, Any]:
    """Read configurations with ``read_config`` and merge them, as Snakemake does with several.

    Mappings are merged key by key; a list, like any other value, replaces the earlier one.

    Raises:
        ConfigError: a file is wrong, or has the key ``1.0`` where an earlier one has ``1``.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            merged = _merge(merged, read_config(path))
        except ValueError as error:
            raise ConfigError(str(path), [str(error)]) from None
    return merged


def _merge(earlier: object, later: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(earlier) if isinstance(earlier, Mapping) else {}
    for key, value in later.items():
        known = next((other for other in merged if other == key), key)
        if str(known) != str(key):
            raise ValueError(_describe_same(key, known))
        merged[key] = _merge(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses values that YAML would change, and endless aliases."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._sizes: dict[yaml.Node, int] = {}  # nodes in each node

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if node is None or (alias and node in self._sizes):
            return node
        if alias:
            raise _refuse(node, "an alias of a value that contains it")
        parts = [node.value] if isinstance(node, yaml.ScalarNode) else node.value
        flat = [part for pair in parts for part in (pair if isinstance(pair, tuple) else [pair])]
        self._sizes[node] = 1 + sum(self._sizes.get(part, 0) for part in flat)
        if self._sizes[node] > MOST_NODES:
            raise _refuse(node, f"more than {MOST_NODES:,} values, counted with aliases")
        return node

    def compose_scalar_node(self, anchor: dict[Any, yaml.Node] | None) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)  # type: ignore[arg-type]
        if node.tag in NUMBERS and MISREAD.fullmatch(node.value):
            value = self.construct_object(node)
            raise _refuse(node, f"{node.value}: YAML reads {value}; write {value} or use quotes")
        return node

    def construct_scalar(self, node: Any) -> str:
        # JSON, as in the copy for jobs, writes a character beyond U+FFFF as a pair of escapes.
        pairs = str(super().construct_scalar(node)).encode("utf-16", "surrogatepass")
        return pairs.decode("utf-16", "surrogatepass")

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node] | None) -> yaml.MappingNode:
        # Checked as written: the key << adds its keys later, and they may be given again.
        node = super().compose_mapping_node(anchor)  # type: ignore[arg-type]
        seen: dict[object, str] = {}  # keys as read and as written
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            read = key.value if key.value == "<<" else self.construct_object(key)
            if type(read) not in (str, int, float) or str(read) != key.value:
                raise _refuse(key, f"the key {key.value}: YAML reads {read!r}; write it in quotes")
            if key.value in seen.values():
                raise _refuse(key, f"the key {key.value!r} is given twice")
            if read in seen:
                raise _refuse(key, _describe_same(key.value, seen[read]))
            seen[read] = key.value
        return node


def _describe_same(key: object, known: object) -> str:
    return f"the key {key}: YAML reads it as the key {known}; write both in quotes"


def _refuse(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
