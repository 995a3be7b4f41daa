"""Rule share_result: copy a run's result from its twin, which differs in name only."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from functools import partial
from pathlib import Path

import use_checkout  # noqa: F401
from json_options import parse_json

from hw2core.config.spec import RunSpec
from hw2core.io import replace_atomically
from hw2core.runs import paths
from hw2core.runs.files import ResultError, read_run, share_result, write_evaluation, write_result
from hw2core.runs.images import check_same_images
from hw2core.runs.log import run_job
from hw2core.runs.plan import check_replacing
from hw2core.runs.staleness import Identity
from hw2core.runs.weights import check_weights


def main() -> int:
    """Copy the result; return 1 if it is damaged or cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--spec", type=partial(parse_json, RunSpec), required=True, help="without a result, as JSON"
    )
    parser.add_argument("--original", required=True, help="name of the trained run")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    return run_job(lambda log: share(args, log), f"{args.spec.name} seed{args.seed}", args.log)


def share(args: argparse.Namespace, log: logging.Logger) -> str:
    """Copy weights, evaluation and result of the trained run."""
    spec: RunSpec = args.spec
    path = paths.result_path(args.original, args.seed)
    original = read_run(args.original, args.seed)
    identity = Identity.of(spec, args.seed)
    check_same_images(original, path, identity.data_sha256)
    if reasons := identity.find_differences(original):
        raise ResultError(f"{path}: replaced by another while waiting ({reasons[0]}); run again")
    check_replacing(paths.result_path(spec.name, args.seed), spec)
    result, evaluation = share_result(original, spec)
    weights = Path(paths.weights_path(args.original, args.seed))
    check_weights(weights, original)
    target = paths.weights_path(spec.name, args.seed)
    if weights.exists():
        with replace_atomically(target) as temporary:
            shutil.copyfile(weights, temporary)
    else:
        Path(target).unlink(missing_ok=True)  # of an earlier result
    write_evaluation(paths.evaluation_path(spec.name, args.seed), evaluation)
    write_result(paths.result_path(spec.name, args.seed), result)
    return f"same as {args.original} -> {paths.result_path(spec.name, args.seed)}"


if __name__ == "__main__":
    sys.exit(main())
