"""Whole files or none: every file of the project is written through here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_atomically(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    The temporary file keeps the suffix (libraries choose a format by it), is flushed to the disk
    before the rename, and is removed when the block raises: a reader sees the old file or the
    whole new one, after a kill or on a full disk too. Missing parent folders are made.

    Raises:
        FileNotFoundError: the block wrote nothing.
        OSError: the folder cannot be written or the disk is full; ``path`` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
