"""CIFAR-10 from its original files, through torchvision (imported nowhere else)."""

from __future__ import annotations

import hashlib
import os
import socket
import tarfile
import tempfile
from http.client import HTTPException
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10

from hw2core.data.arrays import Arrays
from hw2core.data.prepared import DataError

ROOT_VARIABLE = "HW2_DATA"
# torchvision sets no time-out: without one a stalled connection hangs the pipeline for ever.
DOWNLOAD_TIMEOUT = 60.0  # seconds without a byte


def read_cifar10(*, root: Path | None, download_dir: Path) -> Arrays:
    """Read the 50,000 training and 10,000 test images.

    The files are those under ``root``, else under the folder named by the environment variable
    HW2_DATA, else under ``download_dir``, where they are downloaded if absent. Each is checked by
    its md5 before it is unpickled, for a pickle of unknown origin could run any code.

    Args:
        root: the folder that holds ``cifar-10-batches-py``.
        download_dir: takes a download; untouched where ``root`` or HW2_DATA is given.

    Raises:
        DataError: a folder or file is missing or damaged, or the download failed.
    """
    given = os.environ.get(ROOT_VARIABLE) if root is None else str(root)
    if given:
        folder, way_out = Path(given), f"give a good copy of {CIFAR10.filename}, unpacked"
        if not (folder / CIFAR10.base_folder).is_dir():
            asked_by = f"named by {ROOT_VARIABLE}" if root is None else "given as root"
            raise DataError(
                f"{folder / CIFAR10.base_folder}: no such folder ({folder} is {asked_by}); "
                f"{way_out}, or leave it out to download"
            )
    else:
        folder = Path(download_dir)
        way_out = f"delete the folder {folder / CIFAR10.base_folder} and run again to download"
        if not (folder / CIFAR10.base_folder).exists():
            _download(folder)
    _check_files(folder, way_out)
    train, test = CIFAR10(folder, train=True), CIFAR10(folder, train=False)
    return Arrays(
        train_images=np.ascontiguousarray(train.data, dtype=np.uint8),
        train_labels=np.array(train.targets, dtype=np.uint8),
        test_images=np.ascontiguousarray(test.data, dtype=np.uint8),
        test_labels=np.array(test.targets, dtype=np.uint8),
        classes=tuple(train.classes),
    )


def _check_files(folder: Path, way_out: str) -> None:
    """Raise a DataError that names the first missing or damaged file."""
    meta = (CIFAR10.meta["filename"], CIFAR10.meta["md5"])
    for name, expected in [*CIFAR10.train_list, *CIFAR10.test_list, meta]:
        path = folder / CIFAR10.base_folder / name
        try:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "md5").hexdigest()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); {way_out}") from error
        if found != expected:
            raise DataError(f"{path}: damaged (md5 {found}, should be {expected}); {way_out}")


def _download(folder: Path) -> None:
    """Download and unpack beside ``folder``, then move the whole into it, or nothing at all."""
    default_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder.parent) as temporary:
            CIFAR10(temporary, download=True)
            folder.mkdir(exist_ok=True)
            (Path(temporary) / CIFAR10.base_folder).rename(folder / CIFAR10.base_folder)
    # torchvision passes on whatever the network, the archive or its own md5 check raises.
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
        raise DataError(
            f"{folder / CIFAR10.base_folder}: the download from {CIFAR10.url} failed ({error}); "
            f"run again with a network, or unpack {CIFAR10.filename} yourself and name its folder "
            f"in {ROOT_VARIABLE}"
        ) from error
    finally:
        socket.setdefaulttimeout(default_timeout)
