"""What tables, figures and the report need to know of an experiment, as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass


# Not of pydantic, as the study is: each job that draws would load it for this alone.
@dataclass(frozen=True)
class Outline:
    """An experiment without the details of its runs: these stand in their results."""

    name: str
    question: str
    varies: str
    fixed: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]

    def list_trainings(self) -> Iterator[tuple[str, int]]:
        """Yield the run name and seed of every training."""
        return ((run, seed) for run in self.runs for seed in self.seeds)


def dump_outlines(outlines: Iterable[Outline]) -> str:
    """Return canonical JSON: the same experiments give the same text."""
    plain = [asdict(outline) for outline in outlines]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def parse_outlines(text: str) -> list[Outline]:
    """Read what ``dump_outlines`` wrote."""
    return [
        Outline(**{**plain, "runs": tuple(plain["runs"]), "seeds": tuple(plain["seeds"])})
        for plain in json.loads(text)
    ]
