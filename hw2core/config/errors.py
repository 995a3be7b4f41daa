"""Turns pydantic's errors about a configuration into one line per problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from hw2core.errors import UserError, make_line

Location = tuple[int | str, ...]

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
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must have no control characters",
}


class ConfigError(UserError):
    """All problems of a configuration, one line per problem."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        """Collect ``problems`` (each starting with its key) of the file ``source``."""
        self.lines = [make_line(f"{source}: {problem}") for problem in problems]
        super().__init__("\n".join(self.lines))


def refuse(key: str, message: str) -> PydanticCustomError:
    """Return the error for a validator to raise: ``message`` about the (dotted) ``key``."""
    # The message is a value, because pydantic would replace braces in the template.
    return PydanticCustomError("refused", "{message}", {"key": key, "message": message})


def join_path(location: Iterable[int | str]) -> str:
    """Return ``experiments.exp3.seeds.0`` for the parts of a location."""
    return ".".join(str(part) for part in location)


def describe_errors(
    error: ValidationError,
    locate: Callable[[Location], str] = join_path,
    list_keys: Callable[[Location], Iterable[str]] = lambda section: (),
) -> list[str]:
    """Return one line for each problem in ``error``: ``path: value: what is allowed``.

    Args:
        error: the error that pydantic raised.
        locate: returns the path in the user's file for a location in the model.
        list_keys: returns the keys that a section may have, to list them for an unknown key.
    """
    errors = error.errors()
    # A list with a wrong entry also counts as too short: only the entry is reported.
    causes = {details["loc"][:end] for details in errors for end in range(len(details["loc"]))}
    return [
        _describe(details, locate, list_keys)
        for details in errors
        if details["type"] != "too_short" or details["loc"] not in causes
    ]


def _describe(
    details: ErrorDetails,
    locate: Callable[[Location], str],
    list_keys: Callable[[Location], Iterable[str]],
) -> str:
    context: dict[str, Any] = details.get("ctx", {})
    location = tuple(details["loc"])
    if context.get("key"):
        location = (*location, *context["key"].split("."))
    path = locate(location)
    kind = details["type"]
    if kind == "extra_forbidden":
        keys = ", ".join(sorted(list_keys(location[:-1])))
        return f"{path}: unknown key" + (f"; allowed: {keys}" if keys else "")
    if kind == "missing":
        return f"{path}: missing; it must be given"
    rule = _RULES.get(kind)
    text = rule.format(**context) if rule else details["msg"].removeprefix("Value error, ")
    if isinstance(details["input"], str | int | float | bool | list | tuple | None):
        return f"{path}: {details['input']!r}: {text}"
    return f"{path}: {text}"
