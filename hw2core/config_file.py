"""Reading a configuration file, and saying what is wrong with one so that one can act on it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

_RULES = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "finite_number": "must be finite",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "too_short": "must have at least {min_length} entries",
    "string_too_short": "must not be empty",
}


class ConfigError(ValueError):
    """Everything wrong with a configuration, one line each."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        """Collect ``problems`` (each starting with its key) about the file ``source``."""
        # A problem in a default shows in every run that inherits it: say it once.
        # And a line break in a key must not break the line.
        self.lines = [
            f"{source}: {problem}".replace("\n", "\\n") for problem in dict.fromkeys(problems)
        ]
        super().__init__("\n".join(self.lines))


def read_config(path: Path | str) -> dict[str, Any]:
    """Read a YAML configuration; a key given twice is an error, which YAML itself lets pass.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or a key stands in it twice.
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

    Mappings are merged key by key; a list, like any other value, takes the place of what was there.

    Raises:
        ConfigError: as ``read_config``.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _lay_over(merged, read_config(path))
    return merged


def describe_errors(
    error: ValidationError,
    locate: Callable[[tuple[int | str, ...]], str],
    allowed: Mapping[str, Iterable[str]] | None = None,
) -> list[str]:
    """Return one line for each problem in ``error``: ``path: value: what is allowed``.

    Args:
        error: what pydantic found.
        locate: gives the path in the person's file for a location in the model.
        allowed: the known keys of each section (``""``: the top), to name beside an unknown key.
    """
    errors = error.errors()
    # A list with a wrong entry also counts as short of one: the entry says it better.
    causes = {details["loc"][:end] for details in errors for end in range(len(details["loc"]))}
    return [
        _describe(details, locate, allowed or {})
        for details in errors
        if details["type"] != "too_short" or details["loc"] not in causes
    ]


def _describe(
    details: ErrorDetails,
    locate: Callable[[tuple[int | str, ...]], str],
    allowed: Mapping[str, Iterable[str]],
) -> str:
    context: dict[str, Any] = details.get("ctx", {})
    location = tuple(details["loc"])
    if context.get("key"):
        location = (*location, *context["key"].split("."))
    path = locate(location)
    kind = details["type"]
    if kind == "extra_forbidden":
        keys = allowed.get(".".join(str(part) for part in location[:-1]), ())
        return f"{path}: unknown key" + (f"; allowed: {', '.join(sorted(keys))}" if keys else "")
    if kind == "missing":
        return f"{path}: missing; it must be given"
    rule = _RULES.get(kind)
    said = rule.format(**context) if rule else details["msg"].removeprefix("Value error, ")
    if isinstance(details["input"], str | int | float | bool | list | tuple | None):
        return f"{path}: {details['input']!r}: {said}"
    return f"{path}: {said}"


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
