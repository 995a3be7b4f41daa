"""Read SVHN, the Street View House Numbers, from its original files, through torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets import SVHN
from torchvision.datasets.utils import download_url

from hw2core.data.arrays import Arrays
from hw2core.data.sources import Source, read_source


def read_svhn(*, root: Path | None, download_dir: Path) -> Arrays:
    """Read the 73,257 training and 26,032 test images of the digits, as ``read_source`` does."""
    files = [SVHN.split_list[split] for split in ("train", "test")]
    source = Source(
        folder="",
        files=[(name, md5) for _, name, md5 in files],
        url=files[0][0].rpartition("/")[0],
        archive=" and ".join(name for _, name, _ in files),
        load=_load,
        download=lambda root: _download(files, root),
    )
    return read_source(source, root=root, download_dir=download_dir)


def _download(files: list[list[str]], root: Path) -> None:
    for url, name, md5 in files:
        download_url(url, root, name, md5)


def _load(root: Path) -> Arrays:
    train, test = SVHN(root, split="train"), SVHN(root, split="test")
    return Arrays(
        train_images=np.ascontiguousarray(train.data.transpose(0, 2, 3, 1)),  # from (N, C, H, W)
        train_labels=train.labels.astype(np.uint8),
        test_images=np.ascontiguousarray(test.data.transpose(0, 2, 3, 1)),
        test_labels=test.labels.astype(np.uint8),
        classes=tuple(map(str, range(10))),
    )
