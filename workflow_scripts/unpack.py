"""Unpack the results and logs in an archive, such as study.tar.gz, after checking them."""

from __future__ import annotations

import argparse
import contextlib
import lzma
import shutil
import sys
import tarfile
import zlib
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.errors import UserError, make_line
from hw2core.io import (
    WriteError,
    check_writable,
    hash_file,
    make_temporary_folder,
    replace_atomically,
)
from hw2core.runs import paths
from hw2core.runs.files import ResultError, read_evaluation, read_result
from hw2core.runs.paths import RESULT_GLOB
from hw2core.runs.schema import Result
from hw2core.runs.weights import check_weights

UNPACKED = (("results",), ("logs",))
DAMAGES = (zlib.error, lzma.LZMAError, ValueError, RecursionError)


def main() -> int:
    """Unpack into this folder; return 1 if the archive is refused or a disk is full."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--replace", action="store_true", help="replace results that differ")
    args = parser.parse_args()
    try:
        number = unpack(args.archive, replace=args.replace)
    except (UserError, OSError, tarfile.TarError, EOFError, *DAMAGES) as error:
        done = "unpacked in part" if isinstance(error, WriteError) else "nothing is unpacked"
        print(make_line(f"{args.archive}: {done}: {error}"), file=sys.stderr)
        return 1
    print(f"{args.archive}: {number} results")
    return 0


def unpack(archive: Path, *, replace: bool) -> int:
    """Unpack into the current folder, replacing files; return the number of results.

    Args:
        replace: whether a result may replace one that is not the same.

    Raises:
        UserError: the archive contains something else, a damaged result, or one that may not
            replace what is there; nothing has changed.
        WriteError: a file cannot be written; others are.
    """
    with make_temporary_folder("unpack") as folder:
        extract(archive, folder)
        with contextlib.chdir(folder):
            results = read_results()
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        if not any(path.parts[0] == "results" for path in files):
            raise UserError("it contains no result and no checkpoint")
        differing = [p for p in files if p.exists() and hash_file(p) != hash_file(folder / p)]
        others = [path for path in differing if path.suffix in (".json", ".safetensors")]
        if others and not replace:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise UserError(
                f"{min(others)}{more} would be replaced by another; move what is there, or replace "
                "it with --replace"
            )
        # A log that is here may be of a later job, a checkpoint further on, or its run done.
        files = [
            path
            for path in files
            if path not in differing or path in others
            if ".checkpoint" not in path.name or is_new(path)
        ]
        try:
            check_writable(files)
        except WriteError as error:
            raise UserError(str(error)) from None
        for path in files:
            # Copied, not renamed: results/ may be a link to another disk.
            with replace_atomically(path) as temporary:
                shutil.copyfile(folder / path, temporary)
        for path, result in results.items():
            weights = path.with_suffix(".safetensors")
            try:
                check_weights(weights, result)
            except ResultError:  # those of a result that was here before
                weights.unlink()
    return len(results)


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


def read_results() -> dict[Path, Result]:
    """Read the results of the working folder, after checking them, their evaluations and weights.

    Raises:
        UserError: one is damaged, of another seed, or not with its result.
    """
    results = {path: read_result(path) for path in Path().glob(f"results/*/{RESULT_GLOB}")}
    for path, result in results.items():
        if path.name != Path(paths.result_path(result.name, result.seed)).name:
            raise UserError(f"{path}: of seed {result.seed}")
        check_weights(path.with_suffix(".safetensors"), result)
    for path in [*Path().glob("results/*/*.json"), *Path().glob("results/*/*.safetensors")]:
        result_path = path.with_name(f"{path.name.partition('.')[0]}.json")
        if result_path not in results:
            raise UserError(f"{path}: without its result, {result_path}")
        if path.name.endswith(".test.json") and not read_evaluation(path).is_of(
            results[result_path]
        ):
            raise UserError(f"{path}: not of the weights of its result")
    return results


def is_new(checkpoint: Path) -> bool:
    """Return whether neither a checkpoint nor the result of its run is here."""
    name = checkpoint.name.partition(".")[0]
    ours = (f"{name}.{ending}" for ending in ("json", "checkpoint", "checkpoint.previous"))
    return not any(checkpoint.with_name(path).exists() for path in ours)


if __name__ == "__main__":
    sys.exit(main())
