"""Records from what files are made of results, so that other ones are made again.

Snakemake's own records are of names and params, and can be deleted or renewed without a job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hw2core.data.prepared import DataError, read_manifest
from hw2core.io import write_text_atomically
from hw2core.pipeline import hash_files, list_prepared, write_notice
from hw2core.runs import paths

RECORDS = ".snakemake/made"


def record_made(files: Iterable[str], images: Iterable[str], params: Iterable[str]) -> None:
    """Record what files contain that a job has just made, and from what.

    Args:
        files: the outputs of the job.
        images: lines of ``describe_images``, for those that the job has read.
        params: the params of the job.
    """
    files = list(files)
    lines = [hash_files(files), _describe_params(params), *images]
    write_text_atomically(_record_path(files), "\n".join(lines))


def describe_images(folders: Iterable[str]) -> set[str]:
    """Return a line with the hash of each prepared data set that is there, by its folder's name."""
    lines = set()
    for folder in folders:
        if all(Path(path).exists() for path in list_prepared(folder)):
            with suppress(DataError):
                lines.add(f"{folder} {read_manifest(paths.manifest_path(folder)).sha256}")
    return lines


def was_made_with(files: Iterable[str], params: Iterable[str]) -> bool:
    """Return whether a job here made files with these params, whatever records Snakemake has.

    It has none after ``--cleanup-metadata``, and new ones after ``--touch``.
    """
    return _describe_params(params) in _read_record(files)


def list_changes(files: Iterable[str], images: Iterable[str] = ()) -> list[str]:
    """Return a notice if files exist, but not as a job here would make them.

    They came from elsewhere, such as a backup, and may show other results. Snakemake would compare
    only its records of their names with the results. Or they show images, and those of a data set
    in ``images`` (names of its folder) were prepared later. They stay when images are deleted.
    """
    files = list(files)
    recorded = _read_record(files)
    reasons = ["not as it was made here"] if recorded[:1] != [hash_files(files)] else []
    if describe_images(images) - set(recorded[1:]):
        reasons.append("the prepared images changed")
    existing = [path for path in files if Path(path).exists()]
    return write_notice(existing[0], reasons) if existing else []


def _read_record(files: Iterable[str]) -> list[str]:
    try:
        return _record_path(files).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _describe_params(params: Iterable[str]) -> str:
    return f"params {hashlib.sha256(repr(sorted(params)).encode()).hexdigest()}"


def _record_path(files: Iterable[str]) -> Path:
    return Path(RECORDS, hashlib.sha256("\n".join(files).encode()).hexdigest()[:16])
