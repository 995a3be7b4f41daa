"""Defines the types of a result's values: sizes are bounded, no text is markup or a command."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from hw2core.config.errors import refuse
from hw2core.config.fields import MAX_CONVS, MAX_EPOCHS, RUN_NAME
from hw2core.data.arrays import MAX_CLASSES

MAX_LAYERS = 3 * MAX_CONVS  # with 1x1 convolutions and linear layers
MAX_PROBES = 100  # epochs in which layers are probed
ROUNDING = 1e-3  # in percent: of 10,000 images, a tenth of one
WORD_SIGNS = "A-Za-z0-9 ()+,./:@_-"  # no markup in HTML, Markdown, LaTeX or Typst


def _drop_not_finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_square(rows: list[list[int]]) -> list[list[int]]:
    if any(len(row) != len(rows) for row in rows):
        raise ValueError(f"must have a row and a column per class, {len(rows)}")
    return rows


class Frozen(BaseModel):
    """Base of all parts: refuses unknown keys and other types, and cannot be changed."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


Count = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]
Epoch = Annotated[int, Field(ge=0, le=MAX_EPOCHS)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]  # what torch takes
Class = Annotated[int, Field(ge=0, lt=MAX_CLASSES)]
Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Finite = Annotated[float, Field(ge=-1e39, le=1e39)] | None  # single precision ends at 3.4e38
Number = Annotated[Finite, BeforeValidator(_drop_not_finite)]

Numbers = Annotated[list[Number], Field(max_length=MAX_EPOCHS)]
Times = Annotated[list[Seconds], Field(max_length=MAX_EPOCHS)]
Percents = Annotated[list[Percent], Field(max_length=MAX_EPOCHS)]
Probed = Annotated[
    list[Annotated[list[Number], Field(max_length=MAX_LAYERS)]], Field(max_length=MAX_PROBES)
]
Value = TypeVar("Value")
ByClass = Annotated[list[Value], Field(min_length=1, max_length=MAX_CLASSES)]
Confusion = Annotated[ByClass[ByClass[Count]], AfterValidator(_check_square)]

Name = Annotated[str, Field(pattern=f"^{RUN_NAME}$")]
Layer = Annotated[str, Field(pattern="^[a-z]{1,10}[0-9]{1,5}$")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{0,64}$")]
Words = Annotated[str, Field(pattern=f"^[{WORD_SIGNS}]{{0,300}}$")]

_WORDS: TypeAdapter[Any] = TypeAdapter(Words)
_VALUE: TypeAdapter[Any] = TypeAdapter(
    bool | Finite | Words | Annotated[list[bool | Finite | Words], Field(max_length=100)]
)
_NAMES: dict[str, TypeAdapter[Any]] = {
    "name": TypeAdapter(Name),
    "experiment": TypeAdapter(Name),
    "seed": TypeAdapter(Seed),
}


def _check_config(config: dict[str, Any]) -> dict[str, Any]:
    """Check keys and sizes; ``RunSpec.from_config`` checks their meaning."""
    checked = [(key, config.get(key), kind) for key, kind in _NAMES.items()]
    for path, value in _flatten(config):
        if isinstance(value, dict):  # the keywords of a layer
            checked += [(f"{path}.{key}", value[key], _VALUE) for key in value]
        else:
            checked.append((path, value, _VALUE))
    for path, value, kind in checked:
        try:
            _WORDS.validate_python(path)
            kind.validate_python(value, strict=True)
        except ValidationError:
            raise refuse(path, f"{value!r}: not a value that a run can have") from None
    return config


def _flatten(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of each section, and those that are in none."""
    for key, values in config.items():
        section = values if isinstance(values, dict) else {None: values}
        yield from ((f"{key}.{k}" if k else key, value) for k, value in section.items())


Config = Annotated[dict[str, Any], AfterValidator(_check_config)]


def measure_class_accuracy(confusion: list[list[int]]) -> list[float | None]:
    """Return the accuracy on each class, in percent; None for a class without images."""
    return [
        100.0 * row[label] / sum(row) if sum(row) else None for label, row in enumerate(confusion)
    ]


def check_figures(
    confusion: list[list[int]],
    class_accuracy: list[float | None],
    accuracy: float,
    loss: float | None,
) -> None:
    """Check accuracies and loss against the confusion matrix of the same images.

    Raises:
        PydanticCustomError: names the first figure that the matrix contradicts.
    """
    number = sum(map(sum, confusion))
    correct = sum(row[label] for label, row in enumerate(confusion))
    figures = {f"class_accuracy.{label}": value for label, value in enumerate(class_accuracy)}
    figures["accuracy"] = accuracy
    expected = [*measure_class_accuracy(confusion), 100.0 * correct / number]
    for (key, found), share in zip(figures.items(), expected, strict=True):
        if (found is None) != (share is None) or abs((found or 0) - (share or 0)) > ROUNDING:
            raise refuse(key, f"{found}: confusion gives {share}")
    # A mistake gives its class at least as much probability as the right one: half at most.
    least = (number - correct) * math.log(2) / number
    if loss is not None and loss < least - ROUNDING:
        raise refuse("loss", f"{loss}: the mistakes in confusion give at least {least}")
