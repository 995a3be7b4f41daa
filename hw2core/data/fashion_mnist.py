"""Read Fashion-MNIST from its original files, whose list torchvision has."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import download_url

from hw2core.data.arrays import Arrays, Bytes
from hw2core.data.sources import Source, check_files, read_source

FOLDER = "FashionMNIST/raw"  # where torchvision has them
MARGIN = 2  # pixels around 28x28, which make them 32x32
HEADS = {3: 16, 1: 8}  # bytes before the content, by its number of dimensions


def read_fashion_mnist(*, root: Path | None, download_dir: Path) -> Arrays:
    """Read the 60,000 training and 10,000 test images, as ``read_source`` does.

    They are grey and 28x28: each channel has the image, with a black margin. The compressed files
    are read, because these have published checksums.
    """
    source = Source(
        folder=FOLDER,
        files=FashionMNIST.resources,
        url=FashionMNIST.mirrors[0],
        archive=f"the four {FOLDER}/*.gz",
        load=_load,
        download=_download,
    )
    return read_source(source, root=root, download_dir=download_dir)


def _download(root: Path) -> None:
    for name, md5 in FashionMNIST.resources:
        download_url(f"{FashionMNIST.mirrors[0]}{name}", root / FOLDER, name, md5)


def _load(root: Path) -> Arrays:
    check_files(FashionMNIST.resources, root / FOLDER)
    names = [name for name, _ in FashionMNIST.resources]
    try:
        train, train_labels, test, test_labels = (_read(root / FOLDER / name) for name in names)
    except (EOFError, zlib.error, ValueError) as error:
        raise RuntimeError(str(error)) from error
    return Arrays(
        train_images=_fill(train),
        train_labels=train_labels,
        test_images=_fill(test),
        test_labels=test_labels,
        classes=tuple(FashionMNIST.classes),
    )


def _read(path: Path) -> Bytes:
    """Return the bytes of an IDX file: two zeros, the type, the number of dimensions, these."""
    content = gzip.decompress(path.read_bytes())
    head = HEADS[content[3]]
    shape = np.frombuffer(content[4:head], dtype=">i4")
    return np.frombuffer(content, dtype=np.uint8, offset=head).reshape(shape)


def _fill(images: Bytes) -> Bytes:
    """Return grey images (N, 28, 28) as (N, 32, 32, 3)."""
    padded = np.pad(images, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)])
    return np.repeat(padded[..., None], 3, axis=3)
