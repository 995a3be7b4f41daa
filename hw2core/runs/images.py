"""Prepares the images of a data set, and finds why prepared ones have to be made again.

The manifest records the code that made them and, where no published checksums fix the original
files, what these were.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.data.datasets import ROOT_VARIABLE, find_root, prepare
from hw2core.data.prepared import DataError, read_manifest
from hw2core.io import check_regular, hash_file
from hw2core.runs import paths
from hw2core.runs.code_hash import hash_image_code
from hw2core.runs.files import ResultError
from hw2core.runs.opened import list_data, watch_files

if TYPE_CHECKING:
    from hw2core.config.images import DataSpec
    from hw2core.runs.schema import Result

# Entries of a manifest's source.
CODE = "code"
CONTENT = "files"  # by pattern, names and bytes of the original files
TIMES = "file_times"  # what is asked of these, so that most calls need not read them
LARGEST_FILE = 1 << 40  # bytes
Originals = dict[str, list[tuple[str, Path]]]  # pattern -> name in the folder and path of each


def prepare_images(spec: DataSpec, directory: Path) -> Path:
    """Prepare the images of ``spec`` in ``directory`` and return the manifest.

    Warns if the reader opens files that its entry does not list.

    Raises:
        DataError: the original files are missing or damaged, or cannot be downloaded; what
            ``directory`` holds is unchanged.
    """
    origin = {CODE: hash_image_code(spec.name)}
    if not spec.entry.files:
        return prepare(spec, directory, origin)
    try:  # before they are read: an edit meanwhile is found by the next call
        found = {pattern: _list_files(spec, directory, pattern) for pattern in spec.entry.files}
        for key, describe in ((TIMES, _hash_times), (CONTENT, _hash_content)):
            origin[key] = json.dumps({x: describe(files) for x, files in found.items()})
    except OSError as error:
        raise DataError(
            f"{error.filename}: {error.strerror}; give the folder of {spec.entry.title} as "
            "data.root or HW2_DATA"
        ) from None
    with watch_files() as opened:
        manifest = prepare(spec, directory, origin)
    listed = (path for files in found.values() for _, path in files)
    unlisted = list_data(opened, find_root(spec, directory), listed)
    if unlisted:
        more = f" and {len(unlisted) - 1} more" if len(unlisted) > 1 else ""
        warnings.warn(
            f"{spec.entry.title}: its reader reads {unlisted[0]}{more}, which `files` in "
            "hw2core/data/registry.py does not list: edits would not be noticed",
            stacklevel=2,
        )
    return manifest


def explain_images(spec: DataSpec) -> list[str]:
    """Return why the prepared images are not current; nothing if they are.

    Where checksums fix the images, they are also current while the original files are not here.
    """
    if spec.entry.checksummed:
        return explain_unprepared(spec)
    return _compare_images(spec, _find_originals(spec))


def explain_unprepared(spec: DataSpec) -> list[str]:
    """Return why images have to be prepared before results on them are current.

    The results are current after all if the same images are prepared. Original files that cannot
    be read, such as those of a disk that is not mounted, count as unchanged.
    """
    entry, found = spec.entry, _find_originals(spec)
    here = bool(found) if entry.files else entry.sizes is None or _is_here(spec)
    return _compare_images(spec, found) if here else []


def _is_here(spec: DataSpec) -> bool:
    """Return whether the original files are here that a reader compares with checksums itself."""
    root = find_root(spec, Path(paths.manifest_path(spec.folder)).parent)
    # Path.exists raises where a folder cannot be entered.
    return os.path.exists(root / spec.entry.place)  # noqa: PTH110


def _compare_images(spec: DataSpec, found: Originals) -> list[str]:
    """Return how the prepared images may differ from those of today's code and files.

    Patterns of which nothing can be found now are left out, unless they are new.
    """
    source = _read_source(spec)
    made_by = source.get(CODE)
    # Published checksums fix images that an older version prepared.
    fixed = not source or (made_by is None and spec.entry.checksummed)
    changed = not fixed and made_by != hash_image_code(spec.name)
    reasons = ["the code that prepares the images changed"] if changed else []
    directory = Path(paths.manifest_path(spec.folder)).parent
    times, contents = _read_record(source, TIMES), _read_record(source, CONTENT)
    if found and not contents:
        reasons.append(f"{directory}: its images are not prepared yet from the original files")
    elif found:
        with suppress(OSError):
            if set(spec.entry.files or ()) - contents.keys() or any(
                times.get(pattern) != _hash_times(files)
                and contents[pattern] != _hash_content(files)
                for pattern, files in found.items()
            ):
                reasons.append(f"{find_root(spec, directory)}: the original images changed")
    return reasons


def _read_record(source: dict[str, str], key: str) -> dict[str, object]:
    """Return values by pattern; nothing where an older version wrote one for all."""
    with suppress(ValueError, RecursionError):
        record = json.loads(str(source.get(key)))
        return record if isinstance(record, dict) else {}
    return {}


def fix_root(start: Path | str) -> None:
    """Make a relative HW2_DATA absolute: it is meant from ``start``, where the call was typed."""
    if root := os.environ.get(ROOT_VARIABLE):
        os.environ[ROOT_VARIABLE] = str(Path(start, os.path.expanduser(root)))  # noqa: PTH111


def check_same_images(result: Result, path: Path | str, sha256: str | None) -> None:
    """Check that the images that are prepared now, if any, are those of a result.

    Raises:
        ResultError: they are others.
    """
    if sha256 and result.data_sha256 != sha256:
        raise ResultError(f"{path}: the prepared images are not those of this result; run again")


def _read_source(spec: DataSpec) -> dict[str, str]:
    """Return what the manifest says of the source; nothing if it is missing or damaged."""
    try:
        return read_manifest(paths.manifest_path(spec.folder)).source
    except DataError:  # the job that reads the images reports it
        return {}


def _find_originals(spec: DataSpec) -> Originals:
    """Return the original files of each pattern, but of those that cannot be found or read."""
    directory, found = Path(paths.manifest_path(spec.folder)).parent, {}
    for pattern in spec.entry.files or ():
        with suppress(OSError):
            found[pattern] = _list_files(spec, directory, pattern)
    return found


def _list_files(spec: DataSpec, directory: Path, pattern: str) -> list[tuple[str, Path]]:
    """Return the original files of a pattern with their names in the folder of the data set.

    Raises:
        OSError: one is missing, or is no file.
    """
    root, found = find_root(spec, directory), []
    # Without folders that a pattern matches, such as one of an editor.
    matches = sorted(path for path in _match(root, pattern) if not path.is_dir())
    for path in matches or [root / pattern]:
        check_regular(path, LARGEST_FILE)
        found.append((path.relative_to(root).as_posix(), path))
    return found


def _match(root: Path, pattern: str) -> set[Path]:
    """Return what matches a pattern, also in linked folders, which ``Path.glob`` may skip for **.

    A folder that links lead to again is read once.
    """
    before, deep, after = pattern.partition("**/")
    if not deep:
        return set(root.glob(pattern))
    seen: set[tuple[int, int]] = set()
    found: set[Path] = set()
    for top in sorted(root.glob(before)) if before else [root]:
        for folder, names, _ in os.walk(top, followlinks=True):
            names.sort()
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                names.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            found |= _match(Path(folder), after)
    return found


def _hash_times(found: Iterable[tuple[str, Path]]) -> str:
    return _hash_lines(f"{path.resolve()} {_describe_state(path)}" for _, path in found)


def _hash_content(found: Iterable[tuple[str, Path]]) -> str:
    return _hash_lines(f"{name} {_hash_once(path, _describe_state(path))}" for name, path in found)


def _describe_state(path: Path) -> str:
    """Return what differs after a file was written, also by a program that sets its time.

    Archives set the time of modification, and so does ``cp -p``; nothing sets that of the status.
    """
    status = path.stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    return " ".join(map(str, (status.st_ino, status.st_size, *times)))


@cache
def _hash_once(path: Path, _state: str) -> str:
    return hash_file(path)


def _hash_lines(lines: Iterable[str]) -> str:
    # Names in another encoding, such as those of old archives, are not UTF-8.
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()
