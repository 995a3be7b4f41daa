"""From a data spec to a prepared data set, whichever source it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.data.prepared import write_prepared

if TYPE_CHECKING:
    from hw2core.spec import DataSpec


def prepare(spec: DataSpec, directory: Path) -> Path:
    """Read or make the images of ``spec``, write them to ``directory``, return the manifest.

    Raises:
        DataError: the source is damaged or cannot be downloaded; nothing is left half-written.
    """
    # Each source is imported when asked for: one needs torchvision, the other nothing.
    if spec.name == "cifar10":
        from hw2core.data.cifar10 import read_cifar10

        arrays = read_cifar10(root=spec.root, download_dir=directory.parent / "download")
        return write_prepared(arrays, directory, name=spec.name, source={"kind": "CIFAR-10"})
    from hw2core.data.generated import generate_images

    arrays = generate_images(spec.pool, spec.test_pool)
    return write_prepared(arrays, directory, name=spec.name, source={"kind": "generated"})
