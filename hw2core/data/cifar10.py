"""Read CIFAR-10 from its original files, through torchvision (imported nowhere else)."""

from __future__ import annotations

import os
import socket
import tarfile
from http.client import HTTPException
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from hw2core.data.arrays import Arrays
from hw2core.data.prepared import DataError

ROOT_VARIABLE = "HW2_DATA"
# torchvision sets no timeout; without one, a stalled connection blocks the pipeline forever.
DOWNLOAD_TIMEOUT = 60.0  # seconds without a byte


def read_cifar10(*, root: Path | None, download_dir: Path) -> Arrays:
    """Read the 50,000 training and 10,000 test images.

    The folder ``cifar-10-batches-py`` is looked for in ``root``, else in the folder that the
    environment variable HW2_DATA names, else in ``download_dir``, where it is downloaded if missing
    or damaged. torchvision checks the md5 of each file before unpickling it, because a pickle of
    unknown origin can run code.

    Raises:
        DataError: a given folder is missing or damaged, or the download failed.
    """
    given = os.environ.get(ROOT_VARIABLE) if root is None else str(root)
    folder = Path(given or download_dir).expanduser()
    try:
        return _load_files(folder)
    except (OSError, RuntimeError) as error:
        if given:
            asked_by = f"named by {ROOT_VARIABLE}" if root is None else "given as root"
            raise DataError(
                f"{_find_problem(folder)} ({folder} is {asked_by}); give an intact copy of "
                f"{CIFAR10.filename}, unpacked, or no folder to download it"
            ) from error
    return _download_files(folder)


def _load_files(folder: Path) -> Arrays:
    train, test = CIFAR10(folder, train=True), CIFAR10(folder, train=False)
    return Arrays(
        train_images=np.ascontiguousarray(train.data, dtype=np.uint8),
        train_labels=np.array(train.targets, dtype=np.uint8),
        test_images=np.ascontiguousarray(test.data, dtype=np.uint8),
        test_labels=np.array(test.targets, dtype=np.uint8),
        classes=tuple(train.classes),
    )


def _find_problem(folder: Path) -> str:
    """Return the folder or the first file that cannot be read, and why."""
    folder = folder / CIFAR10.base_folder
    if not folder.is_dir():
        return f"{folder}: no such folder"
    meta = (CIFAR10.meta["filename"], CIFAR10.meta["md5"])
    for name, md5 in [*CIFAR10.train_list, *CIFAR10.test_list, meta]:
        try:
            if not check_integrity(folder / name, md5):
                problem = "damaged: wrong md5" if (folder / name).exists() else "No such file"
                return f"{folder / name}: {problem}"
        except OSError as error:
            return f"{folder / name}: cannot be read: {error.strerror}"
    return f"{folder}: cannot be read"


def _download_files(folder: Path) -> Arrays:
    """Download, unpack and read the images; replace what a killed download left."""
    default_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        download_and_extract_archive(
            CIFAR10.url,
            folder,
            filename=CIFAR10.filename,
            md5=CIFAR10.tgz_md5,
            remove_finished=True,
        )
        return _load_files(folder)
    # torchvision passes on whatever the network, the archive or its own md5 check raises.
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
        raise DataError(
            f"{folder / CIFAR10.base_folder}: the download from {CIFAR10.url} failed ({error}); "
            f"run again with network access, or unpack {CIFAR10.filename} yourself and set "
            f"{ROOT_VARIABLE} to its folder"
        ) from error
    finally:
        socket.setdefaulttimeout(default_timeout)
