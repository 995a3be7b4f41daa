"""Finds out which checkpoints in an unpacked archive are further on than those in this folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hw2core.errors import make_line
from hw2core.runs import paths
from hw2core.runs.checkpoint_head import Head, find_changes, make_head
from hw2core.runs.files import ResultError, read_result

NO_FURTHER = "no further than here"
DONE = "of runs that are done here"
DAMAGED = "that cannot be read"


class Saved(NamedTuple):
    """What a checkpoint is of, and its number of epochs."""

    head: Head
    epochs: int


@dataclass
class Merge:
    """What to do with checkpoints of another folder.

    Attributes:
        copies: the source of each file of this folder that is to be written.
        aside: where to move the files that cannot be read and are in the way.
        left_out: how many checkpoints are not needed, by the reason.
        problems: a line for each that cannot be read.
    """

    copies: dict[Path, Path] = field(default_factory=dict)
    aside: dict[Path, Path] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def merge_checkpoints(folder: Path, files: Iterable[Path]) -> Merge:
    """Compare the checkpoints ``files`` of ``folder`` with those in the working folder.

    Of the same run and setting, the one with the most epochs is used. One of another run or setting
    gets the name under which training keeps it and finds it again. Those of a run whose result
    is in one of the folders are not needed.

    Args:
        files: paths from ``folder``, as ``results/<run>/seed<k>.checkpoint``.

    Raises:
        OSError: a file here cannot be read, or is no regular file.
    """
    merge = Merge()
    runs: dict[Path, list[Path]] = {}
    for file in sorted(files):  # .checkpoint, then those of other settings, then .previous
        checkpoint = file.with_name(f"{file.name.partition('.')[0]}.checkpoint")
        runs.setdefault(checkpoint, []).append(file)
    for checkpoint, theirs in runs.items():
        _merge_run(merge, folder, checkpoint, theirs)
    return merge


def _merge_run(merge: Merge, folder: Path, checkpoint: Path, theirs: list[Path]) -> None:
    """Add what to do with the files ``theirs`` of one run and seed."""
    result = checkpoint.with_suffix(".json")
    done = list(_identify_results(folder / result, result))
    previous = checkpoint.with_name(f"{checkpoint.name}.previous")
    ours: dict[Path, Saved] = {}
    damaged = set()
    for path in filter(Path.exists, (checkpoint, previous, *paths.list_kept(checkpoint))):
        try:
            ours[path] = read_saved(path)
        except ValueError:
            damaged.add(path)
    seen: list[Head] = []
    for file in theirs:
        try:
            saved = read_saved(folder / file)
        except ValueError as error:
            merge.problems.append(make_line(f"{file}: left out: {error}"))
            merge.left_out[DAMAGED] += 1
            continue
        known = saved.head in seen  # the one before it, or a copy
        seen.append(saved.head)
        reason = ""
        if any(not find_changes(saved.head.identity, identity) for identity in done):
            reason = DONE
        elif any(x.head == saved.head and x.epochs >= saved.epochs for x in ours.values()):
            reason = NO_FURTHER
        if reason:
            merge.left_out.update([] if known else [reason])
            continue
        used = ours.get(checkpoint) or ours.get(previous)
        is_kept = file not in (checkpoint, previous)
        in_use = used.head == saved.head if used else not is_kept
        target = checkpoint if in_use else saved.head.name_kept(checkpoint)
        if target in damaged:
            merge.aside[target] = checkpoint.with_name(f"{checkpoint.name}.damaged")
        merge.copies[target] = folder / file
        ours[target] = saved


def _identify_results(*files: Path) -> Iterator[dict[str, str]]:
    """Yield the identity of each of the results that can be read."""
    for path in files:
        try:
            result = read_result(path)
        except ResultError:
            continue
        yield {key: getattr(result, key) for key in ("spec_hash", "code_hash", "data_sha256")}


def read_saved(path: Path) -> Saved:
    """Read what a checkpoint is of and its number of epochs, after checking it.

    Raises:
        ValueError: it is damaged, or of another format.
        OSError: it is no regular file, or cannot be read.
    """
    # Here, because they import torch, which an archive without checkpoints does not need.
    from hw2core.engine.device import ran_out_of_memory, shorten
    from hw2core.runs.checkpoint import FORMAT, check_histories, read_state

    try:
        state = read_state(path)
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']!r}, not {FORMAT!r}")
        check_histories(state)
        return Saved(make_head(state["identity"], state["setting"]), len(state["train"]))
    except OSError:
        raise
    except Exception as error:  # what is in it may be anything
        if ran_out_of_memory(error):
            raise
        raise ValueError(shorten(error)) from None
