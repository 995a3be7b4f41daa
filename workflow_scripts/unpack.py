"""Unpack the results and logs in an archive, such as study.tar.gz, after checking them."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

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
from hw2core.runs.archive import DAMAGES, extract
from hw2core.runs.checkpoint_merge import merge_checkpoints
from hw2core.runs.files import ResultError, read_evaluation, read_result
from hw2core.runs.paths import RESULT_GLOB
from hw2core.runs.schema import Result
from hw2core.runs.weights import check_weights


class Unpacked(NamedTuple):
    """How many results and checkpoints an archive has, and how many of these are left out."""

    results: int
    checkpoints: int
    left_out: dict[str, int]  # by the reason


def main() -> int:
    """Unpack into this folder; return 1 if the archive is refused or a disk is full."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--replace", action="store_true", help="replace results that differ")
    args = parser.parse_args()
    try:
        unpacked = unpack(args.archive, replace=args.replace)
    except (UserError, OSError, *DAMAGES) as error:
        done = "unpacked in part" if isinstance(error, WriteError) else "nothing is unpacked"
        print(make_line(f"{args.archive}: {done}: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{args.archive}: perhaps unpacked in part; unpack it again", file=sys.stderr)
        return 130
    left_out = [f"{number} {reason}" for reason, number in unpacked.left_out.items()]
    print(
        f"{args.archive}: {unpacked.results} results, {unpacked.checkpoints} checkpoints"
        + f"; checkpoints left out: {', '.join(left_out)}" * bool(left_out)
    )
    return 0


def unpack(archive: Path, *, replace: bool) -> Unpacked:
    """Unpack into the current folder, replacing files.

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
        checkpoints = [path for path in files if ".checkpoint" in path.name]
        others = [path for path in files if path not in checkpoints]
        differing = [p for p in others if p.exists() and hash_file(p) != hash_file(folder / p)]
        refused = [path for path in differing if path.suffix in (".json", ".safetensors")]
        if refused and not replace:
            more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
            raise UserError(
                f"{min(refused)}{more} would be replaced by another; move what is there, or "
                "replace it with --replace"
            )
        merge = merge_checkpoints(folder, checkpoints)
        # A log that is here may be of a later job, unless its run is further on in the archive.
        logs = [paths.log_path("train", path.parent.name, path.stem) for path in merge.copies]
        kept = [path for path in differing if path not in refused and path.as_posix() not in logs]
        copies = {path: folder / path for path in others if path not in kept} | merge.copies
        try:
            check_writable(copies)
        except WriteError as error:
            raise UserError(str(error)) from None
        for problem in merge.problems:
            print(problem, file=sys.stderr)
        for path, aside in merge.aside.items():
            path.replace(aside)
        for path, source in copies.items():
            # Copied, not renamed: results/ may be a link to another disk.
            with replace_atomically(path) as temporary:
                shutil.copyfile(source, temporary)
        for path, result in results.items():
            weights = path.with_suffix(".safetensors")
            try:
                check_weights(weights, result)
            except ResultError:  # those of a result that was here before
                weights.unlink()
    return Unpacked(len(results), len(merge.copies), merge.left_out)


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


if __name__ == "__main__":
    sys.exit(main())
