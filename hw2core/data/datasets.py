"""Prepare the data set that a data spec names."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.data.prepared import DataError, write_prepared
from hw2core.data.registry import DATA_SETS

if TYPE_CHECKING:
    from hw2core.config.images import DataSpec

ROOT_VARIABLE = "HW2_DATA"  # not from sources.py, which imports torchvision: planning needs it


def prepare(spec: DataSpec, directory: Path, origin: Mapping[str, str] | None = None) -> Path:
    """Read or generate the images of ``spec``, write them to ``directory``, return the manifest.

    Args:
        origin: what the images are made from, as an entry of the manifest.

    Raises:
        DataError: the source is damaged or cannot be downloaded; ``directory`` is unchanged.
    """
    entry = DATA_SETS[spec.name]
    # By name, and only here: torchvision is slow to import.
    module, function = entry.reader.split(":")
    read = getattr(importlib.import_module(module), function)
    if entry.sizes is None:
        arrays = read(spec.source_train, spec.source_test)
    else:
        root = find_root(spec, directory) if entry.files else spec.root
        arrays = read(root=root, download_dir=find_downloads(directory))
    if len(arrays.classes) != entry.num_classes:
        raise DataError(
            f"{entry.title}: {len(arrays.classes)} classes were read, and its entry in "
            f"hw2core/data/registry.py says {entry.num_classes}"
        )
    source = {"kind": entry.title, **(origin or {})}
    return write_prepared(arrays, directory, name=spec.name, source=source)


def find_root(spec: DataSpec, directory: Path) -> Path:
    """Return the folder of the original files: config.yaml's, HW2_DATA's, else the downloads'."""
    given = spec.root or os.environ.get(ROOT_VARIABLE) or find_downloads(directory)
    return Path(os.path.expanduser(given))  # noqa: PTH111 (~nobody is taken as it is)


def find_downloads(directory: Path) -> Path:
    """Return the folder that data sets are downloaded to, next to that of the prepared images."""
    return directory.parent / "download"
