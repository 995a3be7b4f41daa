"""Prepare the data set that a data spec names."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw2core.data.arrays import Arrays, check_arrays
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
        DataError: the source is damaged or cannot be downloaded, or the images are not what their
            entry says or cannot be trained on; ``directory`` is unchanged.
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
    if problem := _find_problem(arrays, spec):
        raise DataError(f"{entry.title}: {problem}")
    source = {"kind": entry.title, **(origin or {})}
    if entry.files:
        # Own images: they may be ordered by class, and an evaluation takes the first ones.
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(arrays.test_labels))
        test = {name: getattr(arrays, name)[order] for name in ("test_images", "test_labels")}
        arrays = arrays._replace(**test)
    return write_prepared(arrays, directory, name=spec.name, source=source)


def _find_problem(arrays: Arrays, spec: DataSpec) -> str | None:
    """Return what is wrong with images that were read, or how they differ from their entry."""
    entry = "its entry in hw2core/data/registry.py"
    classes, number = len(arrays.classes), spec.num_classes
    if classes != number:
        return f"{classes} classes were read, and {entry} says {number}"
    try:
        check_arrays(arrays)
    except ValueError as error:
        return str(error)
    train, test = len(arrays.train_images), len(arrays.test_images)
    if (train, test) != (spec.source_train, spec.source_test):
        says = f"{spec.source_train} + {spec.source_test}"
        return f"{train} + {test} images were read, and {entry} says {says}"
    found, counts = np.unique(arrays.train_labels, return_counts=True)
    if len(found) < number and not spec.entry.checksummed:
        absent = min(set(range(number)) - set(found.tolist()))
        return f"no training image has the label {absent}, and {entry} says {number} classes"
    most = len(counts) * int(counts.min())
    if (spec.entry.balanced or train) > most:
        problem = f"only {most} training images can be drawn with as many of each class"
        return f"{problem}; give {entry} balanced={most}"
    pixels = (0, 1, 2)  # axes: all but the channels
    constant = arrays.train_images.min(axis=pixels) == arrays.train_images.max(axis=pixels)
    if constant.any():
        return f"channel {constant.argmax()} of the training images has the same value everywhere"
    return None


def find_root(spec: DataSpec, directory: Path) -> Path:
    """Return the folder of the original files: config.yaml's, HW2_DATA's, else the downloads'."""
    given = spec.root or os.environ.get(ROOT_VARIABLE) or find_downloads(directory)
    return Path(os.path.expanduser(given))  # noqa: PTH111 (~nobody is taken as it is)


def find_downloads(directory: Path) -> Path:
    """Return the folder that data sets are downloaded to, next to that of the prepared images."""
    return directory.parent / "download"
