"""Finds the runs that a user names, by name or by path, and suggests similar names."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hw2core.errors import UserError

if TYPE_CHECKING:
    from hw2core.config.study import Study

FOLDER = "results/"
# In a file of a run: results/<run>/seed<k>.json, .safetensors, .test.json.
SEED_FILE = re.compile(r"(.+)/seed(\d+)\.[a-z.]+")


class UnknownName(UserError):
    """A name that is neither a run nor an experiment."""


def select_runs(study: Study, names: Iterable[str]) -> list[tuple[str, int]]:
    """Return (run, seed) of everything named, in the order of config.yaml; without names, all.

    Args:
        names: runs or experiments, with or without ``results/`` in front and a slash at the end, or
            files of a run, each of which selects its seed.

    Raises:
        UnknownName: with a line for each wrong name.
    """
    pairs = [
        (experiment.name, run, seed)
        for experiment in study.experiments.values()
        for run, seed in experiment.pairs()
    ]
    chosen: set[tuple[str, int]] = set()
    problems = []
    for given in names:
        name, seed = split_name(given)
        found = {(r, s) for e, r, s in pairs if name in (e, r) and seed in (None, s)}
        if not found:
            problems.append(describe_unknown(study, given))
        chosen |= found
    if problems:
        raise UnknownName("\n".join(problems))
    return [(run, seed) for _, run, seed in pairs if not chosen or (run, seed) in chosen]


def split_name(given: str) -> tuple[str, int | None]:
    """Return the run or experiment of a name or path, and the seed of a file."""
    name = os.path.relpath(given or ".").removeprefix(FOLDER)
    file = SEED_FILE.fullmatch(name)
    return (file[1], int(file[2])) if file else (name, None)


def describe_unknown(study: Study, given: str) -> str:
    """Return one line about a name that was not found, with the most similar ones."""
    name, seed = split_name(given)
    if name in study.runs and seed is not None:
        return f"{given}: config.yaml plans no seed {seed} of this run"
    hint = suggest(given, [*study.experiments, *study.runs])
    return f"{given}: no run or experiment of this name; {hint}"


def suggest(given: str, known: Iterable[str]) -> str:
    """Return a clause with up to three of the names ``known`` that are most similar to ``given``.

    A leading ``results/`` makes no difference.
    """
    name = split_name(given)[0]
    names = {split_name(full)[0]: full for full in known}
    # The given name may be complete, or the beginning of several.
    similar = [name] if name in names else [full for full in names if full.startswith(name)][:3]
    similar = similar or difflib.get_close_matches(name, names, n=3)
    if not similar:
        return f"there are {', '.join(list(names.values())[:3])}, ..."
    return f"did you mean {' or '.join(names[found] for found in similar)}?"
