"""Parses the options of scripts that work on selected runs, named like Snakemake's targets."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.config.reading import list_configs, read_configs
from hw2core.config.study import STUDY_FILE, Study, load_study
from hw2core.runs.code_hash import hash_run_code
from hw2core.runs.images import fix_root
from hw2core.runs.selection import select_runs


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with names, ``--configfile`` and ``--directory``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", help="runs, experiments or targets; default: all")
    parser.add_argument(
        "--configfile", nargs="+", default=[], help="merged into config.yaml, as by Snakemake"
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
    study = load_study(read_configs(files), " + ".join(files))
    pairs = select_runs(study, args.names)
    for run, _ in pairs:  # a class that does not exist is an error even of an untrained run
        hash_run_code(study.runs[run])
    fix_root(Path.cwd())
    os.chdir(args.directory)
    return study, pairs
