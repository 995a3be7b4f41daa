"""Rule train: train one run with one seed and write its result and weights."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import torch

from hw2core import artifacts
from hw2core.checkpoint import SECONDS_BETWEEN_WRITES, Checkpoint
from hw2core.data.prepared import DataError, load_prepared
from hw2core.experiments import identify, run, summarize
from hw2core.progress import format_epoch, open_log
from hw2core.spec import RunSpec


def main() -> int:
    """Train; 1 when the prepared data are damaged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="RunSpec as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="manifest of the prepared data")
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--checkpoint-seconds", type=float, default=SECONDS_BETWEEN_WRITES)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    spec = RunSpec.model_validate_json(args.spec)
    log = open_log(f"{spec.name} seed {args.seed}", args.log)

    def stop(*_: object) -> None:
        log.warning("stopped by a signal; the next call goes on from the last checkpoint")
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    try:
        data = load_prepared(args.data)
    except DataError as error:
        log.error(str(error))
        return 1
    path = artifacts.checkpoint_path(args.result)
    identity = identify(spec, args.seed, data)
    checkpoint = Checkpoint(path, identity, log, seconds_between_writes=args.checkpoint_seconds)
    document, trained = run(
        spec,
        args.seed,
        data,
        checkpoint=checkpoint,
        on_epoch=lambda report: log.info(format_epoch(report)),
    )
    artifacts.write_weights(args.weights, trained.weights)
    artifacts.write_result(args.result, document)
    checkpoint.remove()
    log.info(summarize(document, str(args.result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
