"""Prepare the data set that a data spec names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.data.generated import generate_images
from hw2core.data.prepared import write_prepared

if TYPE_CHECKING:
    from hw2core.config.schema import DataSpec


def prepare(spec: DataSpec, directory: Path) -> Path:
    """Read or generate the images of ``spec``, write them to ``directory``, return the manifest.

    Raises:
        DataError: the source is damaged or cannot be downloaded; ``directory`` is unchanged.
    """
    if spec.name == "cifar10":
        from hw2core.data.cifar10 import read_cifar10  # only here: torchvision is slow to import

        arrays = read_cifar10(root=spec.root, download_dir=directory.parent / "download")
        source = {"kind": "CIFAR-10"}
    else:
        arrays = generate_images(spec.source_train, spec.source_test)
        source = {"kind": "generated"}
    return write_prepared(arrays, directory, name=spec.name, source=source)
