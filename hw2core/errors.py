"""The base of all errors that are a message to the user, not a bug."""

from __future__ import annotations


class UserError(Exception):
    """One line per problem: the file or key, what is wrong with it, and what to do.

    Scripts print it and exit with status 1; a traceback is for bugs only.
    """
