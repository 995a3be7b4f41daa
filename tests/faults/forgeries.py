"""Forged results: a good file with one value of a wrong type, size or range, by its JSON Schema."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

MARKUP = "`<script>alert(1)</script>`{=html}"
# One of each kind of JSON value, and what is too much, too long, or no text to print.
WRONG: tuple[Any, ...] = (
    None, True, -1, 0.5, 2**70, -1e300, 1e300, 10**400, float("nan"), float("-inf"),
    "", "word", "a" * 10_000, "a\nb\x1b[31m\u2028", MARKUP, "../../etc", "\ud800",
    [], [[]], [None], [1, "a"], {}, {"a": {}}, [0.5] * 10_001,
)  # fmt: skip


def forge(document: dict[str, Any]) -> Iterator[tuple[Path, Any, dict[str, Any]]]:
    """Yield path and value of each change, and the document with it; "absent" takes a key away."""
    for path, old in walk(document):
        for value in WRONG:
            if not (type(value) is type(old) and value == old):
                yield path, value, change(document, path, value)
        if isinstance(path[-1], str):
            yield path, "absent", change(document, path, "absent")
        if isinstance(old, dict):
            yield (*path, "extra"), 1, change(document, (*path, "extra"), 1)
        if isinstance(old, list):
            yield path, "one more", change(document, path, [*old, *old[:1]])


def walk(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield path and value of everything in a document; of each list, of its first entry only."""
    if path:
        yield path, values
    if isinstance(values, dict):
        for key, value in values.items():
            yield from walk(value, (*path, key))
    elif isinstance(values, list) and values:
        yield from walk(values[0], (*path, 0))


def change(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return a copy with another value at ``path``; "absent" deletes the key."""
    changed = copy.deepcopy(document)
    target: Any = changed
    for key in path[:-1]:
        target = target[key]
    if value == "absent":
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return changed
