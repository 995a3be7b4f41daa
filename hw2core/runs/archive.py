"""Reads archives of results, checkpoints and logs, such as study.tar.gz."""

from __future__ import annotations

import lzma
import shutil
import sys
import tarfile
import zlib
from collections.abc import Collection
from itertools import count
from pathlib import Path

from hw2core.config.spec import RunSpec
from hw2core.errors import UserError, make_line
from hw2core.io import check_regular, make_temporary_folder
from hw2core.runs import paths
from hw2core.runs.checkpoint_merge import merge_checkpoints
from hw2core.runs.files import read_result
from hw2core.runs.plan import describe_loss

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


def explain_loss(archive: Path, packed: Collection[Path]) -> str:
    """Return what is lost if the files ``packed`` replace those in an archive; "" if nothing is."""
    if not archive.exists():
        return ""
    try:
        lost = find_lost(archive, packed)
    except (UserError, OSError, *DAMAGES) as error:
        return make_line(f"what cannot be read ({error})")
    files = f"{len(lost)} file{'s'[: len(lost) > 1]}"
    return f"{files} that are missing or of smaller runs here, such as {lost[0]}" if lost else ""


def keep_older(archive: Path) -> Path:
    """Rename an archive to a name that is free, and return that."""
    names = (Path(f"{archive}.previous{number or ''}") for number in count())
    return archive.rename(next(name for name in names if not name.exists()))


def find_lost(archive: Path, packed: Collection[Path]) -> list[Path]:
    """Return the files of runs in an archive that the files ``packed`` do not replace.

    They are those that no other file replaces, results of larger runs, and checkpoints further on.

    Raises:
        UserError, OSError or one of DAMAGES: a file cannot be read, or the archive has others.
    """
    check_regular(archive, sys.maxsize)
    with make_temporary_folder("unpack") as folder:
        extract(archive, folder)
        files = [path.relative_to(folder) for path in sorted(folder.glob("results/*/*"))]
        checkpoints = [path for path in files if ".checkpoint" in path.name]
        lost = []
        for path in sorted(set(files) - set(checkpoints)):
            if path not in packed:
                lost.append(path)
            elif path.match(paths.RESULT_GLOB):
                new = RunSpec.from_config(read_result(path).config)
                lost += [path] if describe_loss(str(folder / path), new) else []
        return lost + list(merge_checkpoints(folder, checkpoints).copies)
