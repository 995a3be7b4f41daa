"""What a kind of fault returns, and what several kinds need to inject theirs."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from small_study import FIGURES, RUNS, TABLES, Study

PATIENCE = 120.0  # seconds


@dataclass
class Outcome:
    """What a fault left, as far as only its kind can say.

    ``unclear`` holds messages that did not name the file and the way out; ``damaged`` the files
    that are known to be wrong until they are made again; ``locked`` is true when Snakemake itself
    was killed, and may ask for ``--unlock``.
    """

    unclear: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    locked: bool = False

    def expect(self, output: str, *patterns: str) -> None:
        """Note when ``output`` shows a traceback or lacks a line that matches all patterns."""
        if "Traceback" in output or "hung for" in output:
            self.unclear.append(f"traceback: {output[-3000:]}")
        lines = output.splitlines()
        if not any(all(re.search(pattern, line) for pattern in patterns) for line in lines):
            self.unclear.append(f"no line with {patterns}: {output[-3000:]}")


class Impossible(Exception):
    """This machine or user cannot inject such a fault; the message says why."""


Kind = Callable[[Study, random.Random], Outcome]


def make_sure(study: Study, *paths: str) -> None:
    """Make files that an earlier fault of the chain left missing."""
    if not all((study / path).exists() for path in paths):
        study.call(*paths)


def delete_some(study: Study, rng: random.Random) -> None:
    """Leave the pipeline something to do: anything from one file to everything."""
    for paths in rng.choice(
        [[TABLES], [FIGURES], [TABLES, FIGURES], [TABLES, RUNS[:1]], [FIGURES, RUNS]]
    ):
        for path in paths:
            study.delete_training(path) if path in RUNS else study.delete(path)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
