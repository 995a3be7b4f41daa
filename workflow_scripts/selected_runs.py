"""Parses the options of scripts that work on selected runs, named like Snakemake's targets."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import use_checkout  # noqa: F401

from hw2core.config.reading import list_configs, read_configs
from hw2core.config.study import STUDY_FILE, Study, load_study
from hw2core.errors import UserError
from hw2core.runs.code_hash import hash_run_code
from hw2core.runs.images import fix_root
from hw2core.runs.selection import select_runs


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with names, and the options of Snakemake that choose the study."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", help="runs, experiments or targets; default: all")
    parser.add_argument(
        "--configfile", nargs="+", default=[], help="merged into config.yaml, as by Snakemake"
    )
    parser.add_argument(
        "--config", nargs="+", default=[], metavar="KEY=VALUE", help="as passed to Snakemake"
    )
    parser.add_argument("--directory", type=Path, default=Path(), help="as passed to Snakemake")
    return parser


def load_runs(args: argparse.Namespace) -> tuple[Study, list[tuple[str, int]]]:
    """Return the study and the selected (run, seed) pairs, and change to ``--directory``.

    Raises:
        UserError: the configuration, a name, or the code of a run is wrong.
        OSError: there is no such folder.
    """
    files = list_configs(args.configfile, folder=args.directory, default=STUDY_FILE)
    config = read_configs(files)
    if args.config:
        _merge_values(config, args.config)
    study = load_study(config, " + ".join([*files, *["--config"] * bool(args.config)]))
    pairs = select_runs(study, args.names)
    for run, _ in pairs:  # a class that does not exist is an error even of an untrained run
        hash_run_code(study.runs[run])
    fix_root(Path.cwd())
    os.chdir(args.directory)
    return study, pairs


def _merge_values(config: dict[str, Any], given: list[str]) -> None:
    """Merge the values of ``--config`` into ``config``, by Snakemake's own rules.

    Raises:
        UserError: one of them is not KEY=VALUE.
    """
    from snakemake.cli import parse_config  # here, because it is slow to import
    from snakemake.utils import update_config

    try:
        update_config(config, parse_config(given))
    except ValueError as error:
        raise UserError(f"--config {' '.join(given)}: {error}") from None
