"""The data sets that a run can name: their readers, sizes and classes.

To add a data set, write one module with its reader and an entry in ``DATA_SETS``. All images are
prepared as 32x32 RGB; mean and standard deviation are computed when they are.
"""

from __future__ import annotations

from typing import NamedTuple


class DataSet(NamedTuple):
    """A data set.

    Attributes:
        title: its name in sentences.
        reader: ``module:function``, imported when images are prepared. The function gets ``root``,
            the folder that config.yaml gives or None, and ``download_dir``, and returns
            :class:`hw2core.data.arrays.Arrays`. With ``files``, ``root`` is the folder they are in.
        sizes: training and test images; None where config.yaml says how many are made.
        num_classes: how many classes.
        balanced: training images that can be drawn with as many of each class; None for all.
        checksummed: whether the reader checks published checksums. If not, its code decides the
            images, and is part of a run's code hash.
        files: the files that the reader reads, as names or patterns (``*/*.png``) in its folder:
            when they change, the images are prepared again. () where the reader compares them with
            checksums itself; None where ``checksummed`` says so, or there are none.
        place: without ``files``, a file or folder that is there where the original files are.
    """

    title: str
    reader: str
    sizes: tuple[int, int] | None
    num_classes: int
    balanced: int | None = None
    checksummed: bool = False
    files: tuple[str, ...] | None = None
    place: str = ""


DATA_SETS = {
    "cifar10": DataSet(
        "CIFAR-10",
        "hw2core.data.cifar:read_cifar10",
        (50_000, 10_000),
        10,
        checksummed=True,
        place="cifar-10-batches-py",
    ),
    "cifar100": DataSet(
        "CIFAR-100",
        "hw2core.data.cifar:read_cifar100",
        (50_000, 10_000),
        100,
        checksummed=True,
        place="cifar-100-python",
    ),
    "svhn": DataSet(
        "SVHN",
        "hw2core.data.svhn:read_svhn",
        (73_257, 26_032),
        10,
        balanced=46_590,
        checksummed=True,
        place="test_32x32.mat",
    ),
    "fashion_mnist": DataSet(
        "Fashion-MNIST",
        "hw2core.data.fashion_mnist:read_fashion_mnist",
        (60_000, 10_000),
        10,
        files=(),
        place="FashionMNIST/raw",
    ),
    "generated": DataSet("generated", "hw2core.data.generated:generate_images", None, 10),
}


def count_classes(name: object) -> int:
    """Return the number of classes of a data set; that of CIFAR-10 for one that is not known."""
    return DATA_SETS.get(str(name), DATA_SETS["cifar10"]).num_classes


def title_data_set(name: object) -> str:
    """Return the name of a data set in sentences; one that is not known has none."""
    return DATA_SETS[str(name)].title if name in DATA_SETS else str(name)
