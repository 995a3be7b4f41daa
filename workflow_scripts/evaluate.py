"""Rule evaluate: evaluate a run's weights on the test images."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.config.spec import RunSpec
from hw2core.data.prepared import load_prepared
from hw2core.gpu_locks import take_gpu
from hw2core.runs.environment import use_large_pages
from hw2core.runs.files import ResultError, read_result, write_evaluation
from hw2core.runs.images import check_same_images
from hw2core.runs.log import run_job


def main() -> int:
    """Evaluate; return 1 if a file is missing or damaged, or cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--num-images", type=int, required=True, help="test images")
    parser.add_argument("--data", type=Path, required=True, help="manifest of the prepared images")
    parser.add_argument("--evaluation", type=Path, required=True, help="file to write")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--gpu-percent", type=int, default=0, help="to hold; 0: no GPU is chosen")
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    use_large_pages()
    label = f"{args.result.parent.name} {args.result.stem}"
    return run_job(lambda log: evaluate(args, log), label, args.log)


def evaluate(args: argparse.Namespace, log: logging.Logger) -> str:
    """Evaluate, or keep the evaluation of a result that came without weights."""
    result = read_result(args.result)
    spec = RunSpec.from_config(result.config, str(args.result))
    # Without a hash in the result, the weights next to it could belong to any run.
    if not args.weights.exists() or result.weights_sha256 is None:
        if result.test is None:
            raise ResultError(
                f"{args.weights}: no weights to evaluate; delete {args.result} and run again"
            )
        write_evaluation(args.evaluation, result.test)
        return f"no weights: kept the evaluation that came with the result -> {args.evaluation}"

    take_gpu(args.gpu_percent, log)
    import torch

    from hw2core.runs.make import make_evaluation
    from hw2core.runs.validation_check import check_validation
    from hw2core.runs.weights import check_fit, check_weights, read_weights

    torch.set_num_threads(args.threads)
    check_weights(args.weights, result)
    weights = read_weights(args.weights)
    data = load_prepared(args.data)
    check_same_images(result, args.result, data.sha256)
    try:
        check_validation(result, weights, data)
        evaluation = make_evaluation(result, weights, data, num_images=args.num_images)
    except (KeyError, ValueError, RuntimeError):
        check_fit(args.weights, weights, spec)  # the hash may be forged as well
        raise
    if read_result(args.result).weights_sha256 != result.weights_sha256:
        raise ResultError(f"{args.result}: another arrived during its evaluation; run again")
    write_evaluation(args.evaluation, evaluation)
    return (
        f"test accuracy {evaluation.accuracy:.2f} % with the weights of epoch "
        f"{result.best_epoch} -> {args.evaluation}"
    )


if __name__ == "__main__":
    sys.exit(main())
