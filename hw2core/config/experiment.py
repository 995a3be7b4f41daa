"""An experiment as tables, figures and the report see it, and its JSON for command lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass


# Without pydantic, which every job that draws would import for this class alone.
@dataclass(frozen=True)
class Experiment:
    """A question and the names of the runs that answer it, each run with every seed."""

    name: str
    question: str
    varies: str
    fixed: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Yield every run with every seed."""
        return ((run, seed) for run in self.runs for seed in self.seeds)


def dump_experiments(experiments: Iterable[Experiment]) -> str:
    """Return canonical JSON: equal experiments give equal text."""
    plain = [asdict(experiment) for experiment in experiments]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def parse_experiments(text: str) -> list[Experiment]:
    """Return the experiments that ``dump_experiments`` wrote."""
    return [
        Experiment(**{**plain, "runs": tuple(plain["runs"]), "seeds": tuple(plain["seeds"])})
        for plain in json.loads(text)
    ]
