"""Reads and writes archives of results, checkpoints and logs, such as study.tar.gz."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NoReturn, Self

from hw2core.config.spec import RunSpec
from hw2core.errors import UserError, make_line
from hw2core.io import check_regular, make_temporary_folder
from hw2core.runs import paths
from hw2core.runs.checkpoint_head import LARGEST
from hw2core.runs.checkpoint_merge import merge_checkpoints
from hw2core.runs.files import LARGEST_FILE, ResultError, read_evaluation, read_result
from hw2core.runs.log import LARGEST_LOG
from hw2core.runs.plan import describe_loss
from hw2core.runs.schema import Result
from hw2core.runs.selection import split_name
from hw2core.runs.staleness import Identity
from hw2core.runs.weights import check_weights

UNPACKED = (("results",), ("logs",))
PACKED = ("results/*/*", "logs/*", "logs/*/*", "logs/*/*/*")  # links are followed
# What reading a damaged archive raises.
TOO_LARGE = "sparse, or larger than any that a run writes"
LARGEST_HEADER = 64 << 10  # bytes: tarfile reads long names and the like whole
MOST_FILES = 100_000  # tarfile keeps the headers of all
DAMAGES = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, RecursionError)


def extract(archive: Path, folder: Path) -> None:
    """Extract the logs and the files of runs; others in results/, such as tables, are left out.

    Raises:
        UserError: the archive is damaged, or contains what run_study.py would not pack.
    """
    with _open(archive) as tar:
        for number, member in enumerate(tar):
            if number >= MOST_FILES:
                raise UserError(f"more than {MOST_FILES} files")
            parts = Path(member.name).parts
            plain = member.isfile() or member.isdir()
            if not plain or parts[:1] not in UNPACKED or ".." in parts:
                raise UserError(f"{member.name}: not a file or folder in results/ or logs/")
            content = tar.extractfile(member)
            if member.issparse() or member.size > _find_limit(member.name):
                raise UserError(f"{member.name}: {TOO_LARGE}")
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


class _Header(tarfile.TarInfo):
    """A header that is refused before tarfile reads what it announces: it may fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        sparse = header.type == tarfile.GNUTYPE_SPARSE
        if sparse or (header.size > LARGEST_HEADER and not header.isreg()):
            raise UserError(f"{header.name}: {TOO_LARGE}")
        return header

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *_: object) -> NoReturn:
        raise UserError(f"{member.name}: {TOO_LARGE}")


def _open(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, tarinfo=_Header)
    except tarfile.ReadError:  # its text lists the errors of all kinds of compression
        raise UserError("not a tar archive, or damaged") from None


def check_whole(path: Path) -> None:
    """Check that a file can be read and, where it belongs to a result, that both are whole.

    Raises:
        ResultError: it names what is wrong, and what to do.
    """
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ResultError(f"{path}: not a file, a link to nothing, or not readable")
    if path.parts[0] == "results" and path.suffix in (".json", ".safetensors"):
        result = read_result(_locate_result(path))
        if path.suffix == ".safetensors":
            check_weights(path, result)
        elif path.name.endswith(".test.json") and not read_evaluation(path).is_of(result):
            raise ResultError(f"{path}: not of the weights of its result; evaluate it again")


def _locate_result(path: Path) -> Path:
    """Return the path of the result that weights or an evaluation belong to."""
    return path.with_name(f"{path.name.partition('.')[0]}.json")


def _find_limit(name: str) -> int:
    """Return the most bytes of a file in an archive; a small archive could fill the disk."""
    if name.startswith("logs/"):
        return LARGEST_LOG
    return LARGEST_FILE if name.endswith(".json") else LARGEST


def list_files(archive: Path) -> tuple[list[Path], list[str]]:
    """Return the files to pack, and a line for each that is damaged.

    Symbolic links, such as results/ on a large disk, are followed.
    """
    packed, problems = [], set()
    for path in sorted(path for pattern in PACKED for path in Path().glob(pattern)):
        # A name with a dot is a temporary file's.
        if path.is_dir() or path.name.startswith(".") or path.resolve() == archive.resolve():
            continue
        if path.parts[0] == "results" and not paths.is_of_run(path.as_posix()):
            continue
        try:
            check_whole(path)
            packed.append(path)
        except ResultError as error:
            problems.add(f"not packed: {error}")
    return packed, sorted(problems)


def add_file(tar: tarfile.TarFile, path: Path) -> bool:
    """Add a file as it is at one moment; return False if it is gone, as when another run ends."""
    try:
        content, member = path.read_bytes(), tar.gettarinfo(path)
    except FileNotFoundError:
        return False
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
    return True


def explain_loss(archive: Path, packed: Collection[Path], runs: Mapping[str, RunSpec]) -> str:
    """Return what is lost if the files ``packed`` replace those in an archive; "" if nothing is.

    Args:
        runs: those that are configured, by name.
    """
    if not archive.exists():
        return ""
    try:
        lost = find_lost(archive, packed, runs)
    except (UserError, OSError, *DAMAGES) as error:
        return make_line(f"what cannot be read ({error})")
    files = f"{len(lost)} file{'s'[: len(lost) > 1]}"
    return f"{files} missing or of smaller or stale runs here, such as {lost[0]}" if lost else ""


def keep_older(archive: Path) -> Path:
    """Rename an archive to a name that is free, and return that."""
    names = (Path(f"{archive}.previous{number or ''}") for number in count())
    return archive.rename(next(name for name in names if not name.exists()))


def find_lost(archive: Path, packed: Collection[Path], runs: Mapping[str, RunSpec]) -> list[Path]:
    """Return the files of runs in an archive that the files ``packed`` do not replace.

    They are those that no other file replaces, results of larger runs, results of which a stale one
    with other settings, code or images is here, and checkpoints further on.

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
                lost += [] if _is_outdated(folder / path, path, packed) else [path]
            elif path.match(paths.RESULT_GLOB):
                ours = read_result(path)
                smaller = describe_loss(str(folder / path), RunSpec.from_config(ours.config))
                stale = _is_stale(ours, runs.get(split_name(str(path))[0]))
                lost += [path] if smaller or (stale and _differs(ours, folder / path)) else []
        return lost + list(merge_checkpoints(folder, checkpoints).copies)


def _is_outdated(evaluation: Path, path: Path, packed: Collection[Path]) -> bool:
    """Return whether ``path`` of an archive is an evaluation of weights that others replace."""
    result = _locate_result(path)
    if not path.name.endswith(".test.json") or result not in packed:
        return False
    return not read_evaluation(evaluation).is_of(read_result(result))


def _is_stale(result: Result, spec: RunSpec | None) -> bool:
    return spec is None or bool(Identity.of(spec, result.seed).find_differences(result))


def _differs(ours: Result, path: Path) -> bool:
    """Return whether the result at ``path``, unless it is damaged, is of another identity."""
    with suppress(ResultError):
        theirs = read_result(path)
        keys = ("spec_hash", "code_hash", "data_sha256")
        return any(getattr(ours, key) != getattr(theirs, key) for key in keys)
    return False
