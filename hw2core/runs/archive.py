"""Extracts archives of results, checkpoints and logs, such as study.tar.gz."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zlib
from pathlib import Path

from hw2core.errors import UserError
from hw2core.runs import paths

UNPACKED = (("results",), ("logs",))
# What reading a damaged archive raises.
DAMAGES = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, RecursionError)


def extract(archive: Path, folder: Path) -> None:
    """Extract the logs and the files of runs; others in results/, such as tables, are left out.

    Raises:
        UserError: the archive is damaged, or contains something outside of results/ and logs/.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = Path(member.name).parts
            plain = member.isfile() or member.isdir()
            if not plain or parts[:1] not in UNPACKED or ".." in parts:
                raise UserError(f"{member.name}: not a file or folder in results/ or logs/")
            content = tar.extractfile(member)
            if content is not None and (parts[0] == "logs" or paths.is_of_run("/".join(parts))):
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
        if tar.fileobj is not None:
            # tarfile takes a header that it cannot read, or none, for the end.
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise UserError("it is cut or damaged")
            # It does not read the checksum at the end of a compressed archive.
            while tar.fileobj.read(1 << 20):
                pass
