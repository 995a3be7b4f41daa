"""What tables, figures and the report need to know of an experiment, as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pydantic import TypeAdapter

from hw2core.architectures import Frozen


class Outline(Frozen):
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
    plain = [outline.model_dump(mode="json") for outline in outlines]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def parse_outlines(text: str) -> list[Outline]:
    """Read what ``dump_outlines`` wrote."""
    return TypeAdapter(list[Outline]).validate_json(text)
