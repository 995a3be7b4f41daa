"""Writes files whole or not at all, and hashes them."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hw2core.errors import UserError


class WriteError(UserError, OSError):
    """A file cannot be written: one line with the file, the reason and what to do."""


@contextmanager
def replace_atomically(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` that replaces it unless the block raises.

    Readers see the old file or the complete new one, even after a kill or on a full disk. The
    temporary file has the suffix of ``path``, from which libraries infer the format. Missing parent
    folders are made, and temporary files of writers killed on this machine are removed.

    Raises:
        WriteError: the folder cannot be written or the disk is full; ``path`` is unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f"{_begin_temporary(path)}{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "free disk space or make the folder writable, and run again"
        ) from error
    finally:
        with suppress(OSError):  # a read-only folder raises even if there is no file
            temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def make_temporary_folder(path: Path | str) -> Iterator[Path]:
    """Yield a new folder next to ``path`` that is deleted after the block.

    Those of processes killed on this machine are deleted first.
    """
    path = Path(path)
    remove_leftovers(path)
    folder = path.with_name(f"{_begin_temporary(path)}{os.getpid()}.tmp{path.suffix}")
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier process with this number
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hash_file(path: Path | str) -> str:
    """Return the sha256 of a file, in hexadecimal digits.

    Raises:
        OSError: the file is missing, or no regular file: a pipe would wait for its writer.
    """
    check_regular(path, sys.maxsize)
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_regular(path: Path | str, largest: int) -> None:
    """Check that a file is a regular file of at most ``largest`` bytes, so that reading it ends.

    Raises:
        OSError: the file is missing, a folder, a pipe or a device, or larger.
    """
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"larger than {largest:,} bytes", str(path))


def check_exist(paths: Iterable[Path | str]) -> None:
    """Check that files of the project are there.

    Raises:
        UserError: with the first that is not.
    """
    for path in map(Path, paths):
        if not path.is_file():
            raise UserError(f"{path}: no such file; restore it from the project")


def check_places(paths: Iterable[Path | str]) -> None:
    """Check that nothing but a file is where a file belongs, and nothing but folders above it.

    Raises:
        WriteError: with the first that is in the way.
    """
    for path in map(Path, paths):
        folder = next(parent for parent in path.parents if os.path.lexists(parent))
        place, found = path, ""
        try:
            if path.is_dir():
                found = "a folder"
            elif path.is_symlink() and not path.exists():
                found = "a link to nothing"
            elif not folder.is_dir():
                place, found = folder, "not a folder"
        except OSError as error:  # of a folder that may not be entered
            raise WriteError(
                f"{path}: {error.strerror}; make its folder readable, and run again"
            ) from None
        if found:
            raise WriteError(f"{place}: {found}; move or delete it, and run again")


def check_writable(paths: Iterable[Path | str]) -> None:
    """Check that files can be written, before anything is made or deleted for them.

    Raises:
        WriteError: something is in the way of one of them, or the folder of one, or its nearest
            existing parent, is read-only.
    """
    for path in map(Path, paths):
        check_places([path])
        folder = next(parent for parent in path.parents if parent.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WriteError(
                f"{path}: cannot be written ({folder} is read-only); "
                "make it writable, and run again"
            )


def prepare_writing(path: Path | str) -> None:
    """Make the folder of a file, and check by a temporary file that it can be written later.

    Raises:
        WriteError: it cannot.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written ({error.strerror or error}); give another place, and run "
            "again"
        ) from error


def remove_leftovers(path: Path) -> None:
    """Delete the temporary files or folders for ``path`` of processes that have ended here."""
    start, end = _begin_temporary(path), f".tmp{path.suffix}"
    for leftover in path.parent.glob(f"{glob.escape(start)}*{end}"):
        writer = leftover.name.removeprefix(start).removesuffix(end)
        if writer.isdecimal():
            import psutil  # here, because it is slow to import and there is seldom a leftover

            if not psutil.pid_exists(int(writer)):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)


def _begin_temporary(path: Path) -> str:
    """Return the prefix of temporary files for ``path``, which differs between machines."""
    return f".{path.stem}.{socket.gethostname()}."
