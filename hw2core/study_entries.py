"""config.yaml as it is written: its sections and keys, before experiments become runs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hw2core.architectures import Frozen, Whole

Values = dict[str, Any]
Text = Annotated[str, Field(min_length=1)]


def _read_grid(value: object) -> object:
    """Read a single grid as a list of one: the union of several is written as a list."""
    return [value] if isinstance(value, dict) else value


def _read_labels(value: object) -> object:
    """Read labels such as 0.4, which YAML takes for numbers, as words."""
    return {str(key): run for key, run in value.items()} if isinstance(value, dict) else value


class RunEntry(Frozen):
    """What one labelled run of an experiment says beyond its experiment."""

    model: str | None = None
    architecture: Values = Field(default_factory=dict)
    training: Values = Field(default_factory=dict)
    data: Values = Field(default_factory=dict)


class ExperimentEntry(RunEntry):
    """An experiment as config.yaml writes it."""

    question: Text
    varies: Text
    fixed: Text
    seeds: Annotated[list[Whole], Field(min_length=1)] | None = None
    grid: Annotated[list[dict[str, list[Any]]], BeforeValidator(_read_grid)] = Field(
        default_factory=list
    )
    runs: Annotated[dict[str, RunEntry], BeforeValidator(_read_labels)] = Field(
        default_factory=dict
    )


class StudyEntry(Frozen):
    """config.yaml as a whole."""

    data: Values
    training: Values
    seeds: Annotated[list[Whole], Field(min_length=1)]
    experiments: Annotated[dict[str, ExperimentEntry], Field(min_length=1)]
