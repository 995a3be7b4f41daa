"""Finds the original files of a data set: in a folder that is given, or downloaded."""

from __future__ import annotations

import os
import socket
import tarfile
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from torchvision.datasets.utils import check_integrity

from hw2core.data.arrays import Arrays
from hw2core.data.prepared import DataError

ROOT_VARIABLE = "HW2_DATA"
# torchvision sets no timeout: without one a stalled connection hangs the pipeline forever.
DOWNLOAD_TIMEOUT = 60.0  # seconds without a byte


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes:
        folder: of the files, in a root.
        files: name and md5 of each.
        url: where they are.
        archive: what to give a good copy of, in words.
        load: reads the files in a root; raises OSError or RuntimeError where one is damaged.
        download: writes the files into a root.
    """

    folder: str
    files: Sequence[tuple[str, str]]
    url: str
    archive: str
    load: Callable[[Path], Arrays]
    download: Callable[[Path], None]


def read_source(source: Source, *, root: Path | None, download_dir: Path) -> Arrays:
    """Read a data set.

    Its folder is looked for in ``root``, else in the folder that the environment variable HW2_DATA
    names, else in ``download_dir``, where it is downloaded if missing or damaged.

    Raises:
        DataError: a given folder is missing or damaged, or the download failed.
    """
    given = os.environ.get(ROOT_VARIABLE) if root is None else str(root)
    # Unlike Path's, these take ~nobody as it is, and a name too long for a folder that is missing.
    folder = Path(os.path.expanduser(given or download_dir))  # noqa: PTH111
    try:
        return source.load(folder)
    except (OSError, RuntimeError) as error:
        if given:
            asked_by = f"named by {ROOT_VARIABLE}" if root is None else "given as root"
            raise DataError(
                f"{_find_problem(source, folder)} ({folder} is {asked_by}); give an intact copy "
                f"of {source.archive}, or no folder to download it"
            ) from error
    return _download(source, folder)


def check_files(source_files: Sequence[tuple[str, str]], folder: Path) -> None:
    """Raise RuntimeError unless all files are there, with their md5."""
    for problem in _list_problems(source_files, folder):
        raise RuntimeError(problem)


def _list_problems(files: Sequence[tuple[str, str]], folder: Path) -> Iterator[str]:
    for name, md5 in files:
        try:
            if not check_integrity(folder / name, md5):
                problem = "damaged: wrong md5" if (folder / name).exists() else "No such file"
                yield f"{folder / name}: {problem}"
        except OSError as error:
            yield f"{folder / name}: cannot be read: {error.strerror}"


def _find_problem(source: Source, root: Path) -> str:
    """Return the folder or the first file that cannot be read, and why."""
    folder = root / source.folder
    if not os.path.isdir(folder):  # noqa: PTH112
        return f"{folder}: no such folder"
    return next(_list_problems(source.files, folder), f"{folder}: cannot be read")


def _download(source: Source, root: Path) -> Arrays:
    """Download and read the images; replace what a killed download left."""
    default_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        source.download(root)
        return source.load(root)
    # torchvision passes on whatever the network (ValueError: a redirect to what is no address), the
    # archive or its own md5 check raises.
    except (OSError, RuntimeError, EOFError, ValueError, HTTPException, tarfile.TarError) as error:
        raise DataError(
            f"{root / source.folder}: the download from {source.url} failed ({error}); run again "
            f"with network access, or fetch {source.archive} yourself and set {ROOT_VARIABLE} to "
            f"its folder"
        ) from error
    finally:
        socket.setdefaulttimeout(default_timeout)
