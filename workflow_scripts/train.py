"""Rule train: train one run with one seed and write its result and weights."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from hw2core import artifacts, result_files
from hw2core.atomic import WriteError
from hw2core.data.prepared import DataError, PreparedData, load_prepared
from hw2core.machine import use_large_pages
from hw2core.progress import format_epoch, open_log

STOPPING = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Train; 1 when the prepared data are damaged or the outcome cannot be written."""
    args = parse_arguments()
    # Importing makes hundreds of thousands of objects that stay: to look for garbage among them,
    # again and again and once more at the end, takes as long as a third of the import of torch.
    gc.disable()
    use_large_pages()
    with ThreadPoolExecutor(max_workers=1) as aside:
        # The images are read and checked while torch is imported, which takes longer.
        return train(args, aside.submit(load_prepared, args.data))


def parse_arguments() -> argparse.Namespace:
    """Read the command line, as the rule writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="RunSpec as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="manifest of the prepared data")
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--checkpoint-seconds", type=float, help="least time between writes")
    parser.add_argument("--log", type=Path)
    return parser.parse_args()


def train(args: argparse.Namespace, loading: Future[PreparedData]) -> int:
    """Train with the images that are being read; see ``main``."""
    import torch

    from hw2core.checkpoint import SECONDS_BETWEEN_WRITES, Checkpoint
    from hw2core.experiments import identify, run, summarize
    from hw2core.spec import RunSpec

    torch.set_num_threads(args.threads)
    spec = RunSpec.model_validate_json(args.spec)
    log = open_log(f"{spec.name} seed {args.seed}", args.log)

    def stop(number: int, _: object) -> None:
        ignore_signals()  # Slurm sends more than one, and the checkpoint is to be written
        sys.exit(128 + number)

    for number in STOPPING:
        signal.signal(number, stop)
    try:
        data = loading.result()
    except DataError as error:
        log.error(str(error))
        return 1
    path = artifacts.checkpoint_path(args.result)
    identity = identify(spec, args.seed, data)
    pause = SECONDS_BETWEEN_WRITES if args.checkpoint_seconds is None else args.checkpoint_seconds
    checkpoint = Checkpoint(path, identity, log, seconds_between_writes=pause)
    gc.freeze()  # what there is by now is not looked at again
    gc.enable()
    try:
        document, trained = run(
            spec,
            args.seed,
            data,
            checkpoint=checkpoint,
            on_epoch=lambda report: log.info(format_epoch(report)),
        )
        result_files.write_training(args.result, args.weights, document, trained.weights)
        ignore_signals()  # all is written: a training that is done cannot be stopped any more
    except WriteError as error:
        log.error(str(error))
        return 1
    except SystemExit:
        checkpoint.flush()
        log.warning("stopped by a signal; the next call goes on after the last whole epoch")
        raise
    checkpoint.remove()
    log.info(summarize(document, str(args.result)))
    return 0


def ignore_signals() -> None:
    """Let the rest of this process run to its end, whatever it is told."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
