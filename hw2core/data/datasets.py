"""Prepare the data set that a data spec names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hw2core.data.arrays import Arrays
from hw2core.data.generated import generate_images
from hw2core.data.prepared import write_prepared

if TYPE_CHECKING:
    from hw2core.config.schema import DataSpec


class Dataset(NamedTuple):
    """A data set that a spec can name."""

    kind: str  # where its images come from, for the manifest
    read: Callable[[DataSpec, Path], Arrays]  # of the spec and the folder for a download


def _read_cifar10(spec: DataSpec, download_dir: Path) -> Arrays:
    from hw2core.data.cifar10 import read_cifar10  # only here: torchvision is slow to import

    return read_cifar10(root=spec.root, download_dir=download_dir)


def _make_generated(spec: DataSpec, _download_dir: Path) -> Arrays:
    return generate_images(spec.source_train, spec.source_test)


DATASETS = {
    "cifar10": Dataset("CIFAR-10", _read_cifar10),
    "generated": Dataset("generated", _make_generated),
}


def prepare(spec: DataSpec, directory: Path) -> Path:
    """Read or generate the images of ``spec``, write them to ``directory``, return the manifest.

    Raises:
        DataError: the source is damaged or cannot be downloaded; ``directory`` is unchanged.
    """
    dataset = DATASETS[spec.name]
    arrays = dataset.read(spec, directory.parent / "download")
    return write_prepared(arrays, directory, name=spec.name, source={"kind": dataset.kind})
