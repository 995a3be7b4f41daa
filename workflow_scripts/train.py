"""Rule train: train one run with one seed and write its result and weights."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import use_checkout  # noqa: F401
from json_options import parse_json

from hw2core.config.spec import RunSpec
from hw2core.data.prepared import PreparedData, load_prepared
from hw2core.errors import UserError
from hw2core.gpu_locks import take_gpu
from hw2core.gpus import CUDA_GRAPH, VISIBLE
from hw2core.pipeline import RESTARTS, is_forced, was_stale_before
from hw2core.run_locks import hold_run
from hw2core.runs import paths
from hw2core.runs.environment import name_processor, use_large_pages
from hw2core.runs.log import NO_EPOCH, format_epoch, run_job
from hw2core.runs.staleness import Identity, compare_result

if TYPE_CHECKING:
    from hw2core.engine.recorder import Recorder

STARTED = time.monotonic()
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Train; return 1 if the prepared images are damaged or a file cannot be written."""
    args = parse_arguments()
    try:
        args.waited = hold_run(args.result)  # before the log of the other process is overwritten
    except KeyboardInterrupt:
        return 130
    # Imports create hundreds of thousands of permanent objects. Collecting garbage among them takes
    # a third of the time of importing torch.
    gc.disable()
    use_large_pages()
    with ThreadPoolExecutor(max_workers=1) as aside:
        # Reads and checks the images while torch is imported, which takes longer.
        loading = aside.submit(load_prepared, args.data)
        label = f"{args.result.parent.name} {args.result.stem}"
        return run_job(lambda log: train(args, loading, log), label, args.log, shows_end=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line that the rule writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=partial(parse_json, RunSpec), required=True, help="as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="manifest of the prepared images")
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=0, help="time limit; 0 for none")
    parser.add_argument("--checkpoint-seconds", type=float, help="minimum time between writes")
    parser.add_argument("--gpu-percent", type=int, default=0, help="to hold; 0: no GPU is chosen")
    parser.add_argument("--attempt", type=int, default=1, help="of this job, with its evaluation")
    parser.add_argument("--log", type=Path)
    return parser.parse_args()


def train(args: argparse.Namespace, loading: Future[PreparedData], log: logging.Logger) -> str:
    """Train when the images are loaded; return the last line of the log."""
    if note := note_current(args):
        return f"{note} -> {args.result}"
    take_gpu(args.gpu_percent, log)
    import torch

    from hw2core.engine.cuda_graph import GraphError
    from hw2core.engine.recorder import Recorder
    from hw2core.runs.checkpoint import SECONDS_BETWEEN_WRITES, Checkpoint
    from hw2core.runs.files import write_result
    from hw2core.runs.make import make_result
    from hw2core.runs.outcome import judge_status
    from hw2core.runs.plan import check_replacing
    from hw2core.runs.weights import write_weights

    torch.set_num_threads(args.threads)
    spec: RunSpec = args.spec

    def stop(number: int, _: object) -> None:
        ignore_signals()  # Slurm sends several, and the checkpoint must still be written
        sys.exit(128 + number)

    for number in STOPPING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, stop)
    data = loading.result()
    identity = Identity.of(spec, args.seed).describe() | {"data_sha256": data.sha256}
    pause = SECONDS_BETWEEN_WRITES if args.checkpoint_seconds is None else args.checkpoint_seconds
    checkpoint = Checkpoint(
        paths.checkpoint_path(args.result), identity, log, seconds_between_writes=pause
    )
    gc.freeze()  # existing objects are left out of later collections
    gc.enable()
    finished = 0

    def end_epoch(epochs: Recorder) -> None:
        nonlocal finished
        finished += 1
        log.info(format_epoch(epochs))

    recorder = Recorder(
        on_start=lambda epochs: log.info(format_setting(epochs)),
        on_epoch=end_epoch,
        store=checkpoint,
    )
    try:
        result, trained = make_result(spec, args.seed, data, recorder)
        check_replacing(args.result, spec)
        sha256 = write_weights(args.weights, trained.weights)
        # Equal weights may give another accuracy with edited code, so that it would seem to be new.
        Path(paths.evaluation_path(spec.name, args.seed)).unlink(missing_ok=True)
        write_result(args.result, result.model_copy(update={"weights_sha256": sha256}))
        ignore_signals()  # everything is written, so the run is complete
    except SystemExit:
        checkpoint.flush()
        seconds = time.monotonic() - STARTED
        if not finished and is_time_limit(seconds, 60 * args.minutes):
            log.error(f"{NO_EPOCH} {seconds:.0f} s; raise runtime")
        else:
            log.warning("stopped by a signal; the next call resumes after the last whole epoch")
        raise
    except GraphError as error:
        log.warning(f"{error}; starting again with it")
        # The new process overwrites the log; the variable's value keeps the reason in it.
        os.environ[CUDA_GRAPH] = f"0 ({str(error).partition(';')[0]})"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except UserError:  # out of memory, or a file cannot be written
        checkpoint.flush()
        raise
    checkpoint.remove()
    return (
        f"{judge_status(result).replace('_', ' ')}: "
        f"validation accuracy {result.validation_accuracy:.2f} % in epoch {result.best_epoch}, "
        f"{result.timing.seconds:.0f} s -> {args.result}"
    )


def note_current(args: argparse.Namespace) -> str:
    """Return why the run has a current result by now; "" if it has none."""
    files = [args.result, args.weights]
    if not all(path.exists() for path in [*files, args.data]) or is_forced(str(args.result)):
        return ""
    # Only preparing images shows whether they are those of the result.
    compared = was_stale_before(str(args.result), args.data)
    # Stopped or failed while it evaluated: a training that is not done has a checkpoint.
    again = args.attempt > 1 or os.environ.get(RESTARTS)
    done = again and not paths.checkpoint_path(args.result).exists()
    # The spec does not say where the original images are, and they have been prepared.
    if not (args.waited or compared or done) or compare_result(args.spec, args.seed):
        return ""
    if compared:
        for path in files:
            path.touch()  # so that a later call can force it
        return "its images are the same as before"
    return f"trained by {'another process meanwhile' if args.waited else 'an earlier attempt'}"


def format_setting(recorder: Recorder) -> str:
    """Return one line with the device, precision, threads, torch's version and variables."""
    device, setting = str(recorder.device), recorder.setting
    line = (
        f"{device} ({name_processor(device)}), {setting['precision']}, "
        f"threads {setting['threads']}, torch {setting['torch']}"
    )
    for variable in (VISIBLE, CUDA_GRAPH):
        if value := os.environ.get(variable):
            line += f", {variable}={value}"
    return line


def is_time_limit(seconds: float, limit: float) -> bool:
    """Return whether a stop after ``seconds`` is due to the time limit: Slurm warns early."""
    return limit > 0 and seconds >= max(limit - 150, limit / 4)


def ignore_signals() -> None:
    """Ignore all further signals that would stop this process."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
