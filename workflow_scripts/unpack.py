"""Unpack the results and logs in an archive, such as study.tar.gz, after checking them."""

from __future__ import annotations

import argparse
import contextlib
import lzma
import shutil
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.errors import UserError, make_line
from hw2core.io import WriteError, check_writable, hash_file, replace_atomically
from hw2core.runs.files import ResultError, read_evaluation, read_result
from hw2core.runs.paths import EVALUATION_GLOB, RESULT_GLOB
from hw2core.runs.weights import check_weights

UNPACKED = (("results",), ("logs",))
DAMAGES = (zlib.error, lzma.LZMAError, ValueError)


def main() -> int:
    """Unpack into this folder; return 1 if the archive is refused or a disk is full."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--replace", action="store_true", help="replace results that differ")
    args = parser.parse_args()
    try:
        print(f"{args.archive}: {unpack(args.archive, replace=args.replace)} results")
    except (UserError, OSError, tarfile.TarError, EOFError, *DAMAGES) as error:
        done = "unpacked in part" if isinstance(error, WriteError) else "nothing is unpacked"
        print(make_line(f"{args.archive}: {done}: {error}"), file=sys.stderr)
        return 1
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
    with tempfile.TemporaryDirectory(dir=".", prefix=".unpack-") as name:
        folder = Path(name)
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = Path(member.name).parts
                plain = member.isfile() or member.isdir()
                if not plain or parts[:1] not in UNPACKED or ".." in parts:
                    raise UserError(f"{member.name}: not a file or folder in results/ or logs/")
                if (content := tar.extractfile(member)) is not None:
                    target = folder / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file)
            # tarfile does not read the checksum at the end of a compressed archive.
            while tar.fileobj is not None and tar.fileobj.read(1 << 20):
                pass
        with contextlib.chdir(folder):
            results = {p: read_result(p) for p in Path().glob(f"results/*/{RESULT_GLOB}")}
            for path, result in results.items():
                check_weights(path.with_suffix(".safetensors"), result)
            for path in Path().glob(f"results/*/{EVALUATION_GLOB}"):
                read_evaluation(path)
        if not results:
            raise UserError("it contains no result")
        others = [p for p in results if p.exists() and hash_file(p) != hash_file(folder / p)]
        if others and not replace:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise UserError(
                f"{min(others)}{more} would be replaced by another result; move what is there, or "
                "replace it with --replace"
            )
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
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


if __name__ == "__main__":
    sys.exit(main())
