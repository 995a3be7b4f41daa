"""Defines the types of the values in config.yaml, with their limits."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hw2core.data.arrays import IMAGE_SHAPE, MAX_CLASSES
from hw2core.data.registry import DATA_SETS

SECTIONS = ("architecture", "training", "data")  # of a run
KEYWORDS = ("conv_params", "activation_params", "pooling_params")
# Names become file names (at most 255 characters with suffixes), targets and command arguments.
EXPERIMENT_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
RUN_LABEL = "[A-Za-z0-9._-]{0,99}"
RUN_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,149}"
TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"  # without control characters but tab and line feed
# Limits that no study reaches. Without them, a typing error would fill the memory.
MOST = 1_000_000
MAX_EPOCHS = 10_000
MAX_SEED = 2**32 - 1
MAX_CONVS = 1000
FILES_RULE = (
    'must be a tuple of names or patterns in the folder of the data set, as in ("train/*.png",); '
    "() if the reader compares the files with checksums"
)
WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
MAX_RATE = 1e20  # divided by 1 - momentum, it must stay below 3e38 (single precision)


def read_scalar(value: object) -> object:
    """Read what YAML (1e-3) and a command line (training={flip: true}) pass as text."""
    if isinstance(value, str):
        for kind in (int, float):
            with suppress(ValueError):
                return kind(value)
        return WORDS.get(value.lower(), value)
    return value


def check_path(value: object) -> object:
    """Return ``value``, or raise ValueError for a path that no folder can have."""
    if isinstance(value, str) and (len(value) > 1000 or not re.search(TEXT, value)):
        raise ValueError("must have at most 1000 characters, and no control characters")
    return value


def check_data_set(name: object) -> str:
    """Return ``name``, or raise ValueError where it is no data set."""
    if not isinstance(name, str) or name not in DATA_SETS:
        raise ValueError(f"must be one of {', '.join(map(repr, DATA_SETS))}")
    entry = DATA_SETS[name]
    if entry.num_classes not in range(2, MAX_CLASSES + 1):
        place = f"its entry in hw2core/data/registry.py has num_classes={entry.num_classes!r}"
        raise ValueError(f"{place}; must be 2 to {MAX_CLASSES}, as labels are stored in a byte")
    needs_files = entry.sizes is not None and not entry.checksummed
    if (needs_files or entry.files is not None) and not _are_patterns(entry.files):
        raise ValueError(
            f"its entry in hw2core/data/registry.py has files={entry.files!r}; {FILES_RULE}"
        )
    return name


def _are_patterns(files: object) -> bool:
    """Return whether ``files`` of a data set are names or patterns in a folder."""
    if not isinstance(files, tuple | list) or not all(isinstance(name, str) for name in files):
        return False
    parts = [Path(name).parts for name in files]
    return all(
        there
        and "\0" not in name
        and not Path(name).is_absolute()
        # Before Python 3.13, pathlib takes no others.
        and all(part == "**" or "**" not in part for part in there)
        for name, there in zip(files, parts, strict=True)
    )


READ = BeforeValidator(read_scalar)
Flag = Annotated[bool, Field(strict=True), READ]
Count = Annotated[int, Field(strict=True, ge=1, le=MOST), READ]
Limit = Annotated[Count | None, READ]  # None: no limit
Epochs = Annotated[int, Field(strict=True, ge=1, le=MAX_EPOCHS), READ]
Width = Annotated[int, Field(strict=True, ge=1, le=10_000), READ]
Widths = Annotated[tuple[Width, ...], Field(max_length=100)]
Convolutions = Annotated[int, Field(strict=True, ge=1, le=MAX_CONVS), READ]
Shift = Annotated[int, Field(strict=True, ge=0, lt=IMAGE_SHAPE[0]), READ]
Side = Annotated[int, Field(strict=True, ge=0, le=IMAGE_SHAPE[0]), READ]
Seed = Annotated[int, Field(strict=True, ge=0, le=MAX_SEED), READ]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False), READ]
Fraction = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1), READ]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, lt=1), READ]
Values = dict[str, Any]
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=TEXT)]
Seeds = Annotated[list[Seed], Field(min_length=1, max_length=1000)]
Names = Annotated[Annotated[list[Text], Field(min_length=1)] | None, READ]
