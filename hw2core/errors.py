"""Defines the base of all errors that are a message to the user, not a bug."""

from __future__ import annotations


class UserError(Exception):
    """One line per problem: the file or key, what is wrong with it, and what to do.

    Scripts print it and exit with status 1; a traceback is for bugs only.
    """


def make_line(text: str) -> str:
    """Return ``text`` as one printable line; a long text keeps only its two ends."""
    if len(text) > 1000:
        text = f"{text[:600]} ... {text[-300:]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
