"""Parses the options of scripts that are JSON."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import use_checkout  # noqa: F401
from pydantic import TypeAdapter, ValidationError

from hw2core.config.errors import describe_errors
from hw2core.config.spec import Experiment
from hw2core.errors import make_line


def parse_json(kind: Any, text: str) -> Any:
    """Return a value of the type ``kind`` from JSON.

    Raises:
        argparse.ArgumentTypeError: it is none; names each key, its value and what is allowed.
    """
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        problems = (line.removeprefix(": ") for line in describe_errors(error))
        raise argparse.ArgumentTypeError(make_line("; ".join(problems))) from None


def add_experiments_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--experiments``, the experiments to show, as Snakemake passes them."""
    parser.add_argument(
        "--experiments", type=partial(parse_json, list[Experiment]), help="as JSON; default: all"
    )
