"""Prepare the data set that a data spec names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.data.generated import generate_images
from hw2core.data.prepared import DataError, write_prepared
from hw2core.data.registry import DATA_SETS

if TYPE_CHECKING:
    from hw2core.config.images import DataSpec


def prepare(spec: DataSpec, directory: Path) -> Path:
    """Read or generate the images of ``spec``, write them to ``directory``, return the manifest.

    Raises:
        DataError: the source is damaged or cannot be downloaded; ``directory`` is unchanged.
    """
    entry = DATA_SETS[spec.name]
    if entry.sizes is None:
        arrays = generate_images(spec.source_train, spec.source_test)
    else:
        # By name, and only here: torchvision is slow to import.
        module, function = entry.reader.split(":")
        read = getattr(importlib.import_module(module), function)
        arrays = read(root=spec.root, download_dir=directory.parent / "download")
    if len(arrays.classes) != entry.num_classes:
        raise DataError(
            f"{entry.title}: {len(arrays.classes)} classes were read, and its entry in "
            f"hw2core/data/registry.py says {entry.num_classes}"
        )
    return write_prepared(arrays, directory, name=spec.name, source={"kind": entry.title})
