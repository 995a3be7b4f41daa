"""Read CIFAR-10 and CIFAR-100 from their original files, through torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import download_and_extract_archive

from hw2core.data.arrays import Arrays
from hw2core.data.sources import Source, read_source


def read_cifar10(*, root: Path | None, download_dir: Path) -> Arrays:
    """Read the 50,000 training and 10,000 test images, in ten classes, as ``read_source`` does.

    torchvision checks the md5 of each file before unpickling it, because a pickle of unknown
    origin can run code.
    """
    return read_source(_describe(CIFAR10), root=root, download_dir=download_dir)


def read_cifar100(*, root: Path | None, download_dir: Path) -> Arrays:
    """Read as many images in a hundred classes, the fine ones."""
    return read_source(_describe(CIFAR100), root=root, download_dir=download_dir)


def _describe(kind: type[CIFAR10]) -> Source:
    meta = [(kind.meta["filename"], kind.meta["md5"])]
    return Source(
        folder=kind.base_folder,
        files=[(name, md5) for name, md5 in [*kind.train_list, *kind.test_list, *meta]],
        url=kind.url,
        archive=f"{kind.filename}, unpacked",
        load=lambda root: _load(kind, root),
        download=lambda root: download_and_extract_archive(
            kind.url, root, filename=kind.filename, md5=kind.tgz_md5, remove_finished=True
        ),
    )


def _load(kind: type[CIFAR10], root: Path) -> Arrays:
    train, test = kind(root, train=True), kind(root, train=False)
    return Arrays(
        train_images=np.ascontiguousarray(train.data, dtype=np.uint8),
        train_labels=np.array(train.targets, dtype=np.uint8),
        test_images=np.ascontiguousarray(test.data, dtype=np.uint8),
        test_labels=np.array(test.targets, dtype=np.uint8),
        classes=tuple(train.classes),
    )
