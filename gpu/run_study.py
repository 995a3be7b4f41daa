"""Train stale runs on this machine's GPU within a time budget, and pack the results.

    python gpu/run_study.py --minutes 25 --archive study.tar.gz

The most informative runs come first. When the time is over, unfinished runs write a checkpoint and
stop; the next call resumes them, here or in another checkout where the archive was unpacked.
Ctrl-C, a signal or a lost connection ends the time early.
"""

from __future__ import annotations

import argparse
import math
import os
import select
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

import use_checkout  # noqa: E402, F401

from hw2core.code_copy import CodeCopy  # noqa: E402 (of this checkout)
from hw2core.config.reading import DEFAULT, list_configs, read_configs  # noqa: E402
from hw2core.config.spec import RunSpec  # noqa: E402
from hw2core.config.study import STUDY_FILE, Study, load_study  # noqa: E402
from hw2core.errors import UserError  # noqa: E402
from hw2core.io import prepare_writing, replace_atomically  # noqa: E402
from hw2core.pipeline import list_results  # noqa: E402
from hw2core.runs import paths  # noqa: E402
from hw2core.runs.archive import add_file, explain_loss, keep_older, list_files  # noqa: E402

NAMED = ("exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2")  # the exercise's own runs
FREE = "exp2"  # the exercise leaves its network open, so its further seeds come next
# Options of Snakemake that would train another study, or elsewhere.
NOT_AFTER = {"-d", "-C", "--directory", "--config", "--configfile", "--configfiles"}
NOT_AFTER |= {"--profile", "--workflow-profile"}
SECONDS_TO_STOP = 60
SECONDS_BETWEEN_LOOKS = 0.2


def main() -> int:
    """Train and pack; return 0 even if the time ran out, 1 if runs failed or no result exists."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=read_minutes, required=True, help="time for training")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of those of the study")
    parser.add_argument("--archive", type=Path, default=Path("study.tar.gz"))
    parser.add_argument(
        "--configfile", nargs="+", default=[], help=f"merged into {DEFAULT}, as Snakemake does"
    )
    parser.add_argument("snakemake", nargs="*", help="further arguments of Snakemake, after --")
    args = parser.parse_args()
    for given in args.snakemake:
        name = given.split("=")[0]  # perhaps shortened, as in --dir, or with its value, as in -dx
        if given[:2] in NOT_AFTER or any(len(name) > 2 and x.startswith(name) for x in NOT_AFTER):
            parser.error(f"{name}: not after --; call it in the folder, with its --configfile")
    budget = Budget(args.minutes)
    try:
        prepare_writing(args.archive)
        files = list_configs(args.configfile, default=STUDY_FILE)
        config = read_configs(files) | ({"seeds": args.seeds} if args.seeds else {})
        study = load_study(config, " + ".join(files))
        if lost := explain_loss(args.archive, list_files(args.archive)[0], study.runs):
            command = f"python {os.path.relpath(ROOT / 'workflow_scripts/unpack.py')}"
            say(f"{args.archive} holds {lost}")
            say(f"to resume from it, stop and call: {command} {args.archive}")
        failed = train(study, config, args.snakemake, budget)
        failed |= pack(args.archive, study.runs) == 0
    except UserError as error:
        print(f"run_study: {error}", file=sys.stderr)
        return 1
    return budget.status or int(failed)


def read_minutes(text: str) -> float:
    """Return a number of minutes that is finite and not negative."""
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: must be a number of minutes, at least 0")


class Budget:
    """The time for training; a signal or a closed output ends it early."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes
        self.status = 0  # exit status if a signal ended it early
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._end_early)

    def is_over(self) -> bool:
        """Return whether to stop."""
        poller = select.poll()
        poller.register(1, 0)
        if any(events & (select.POLLERR | select.POLLHUP) for _, events in poller.poll(0)):
            silence()  # the terminal or the reader of the pipe is gone
            self._end_early(signal.SIGHUP)
        return bool(self.status) or time.monotonic() >= self.end

    def _end_early(self, number: int, _: object = None) -> None:
        self.status = self.status or 128 + number


def say(text: str) -> None:
    """Print to a terminal or pipe that may be gone."""
    try:
        print(text, flush=True)
    except OSError:
        silence()


def silence() -> None:
    """Discard all further output, because writing it would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def train(study: Study, config: dict[str, Any], arguments: list[str], budget: Budget) -> bool:
    """Train stage by stage, all from one copy of the code; return whether runs failed."""
    copy = CodeCopy(str(ROOT), config)  # held until this process ends
    copy.write()
    # Relative: Snakemake takes a profile's path for a pattern, and a folder may have [] in it.
    command = [sys.executable, "-m", "snakemake", "--profile", f"{copy.folder}/gpu"]
    # Named, because Snakemake looks for it in the working folder first.
    command += ["--workflow-profile", f"{copy.folder}/profiles/default"]
    command += ["--snakefile", str(copy.folder / "Snakefile"), *arguments, "--"]
    failed = False
    for name, pairs in order_runs(study):
        say(f"{name}: {len(pairs)} run{'s'[: len(pairs) != 1]}")
        status = run_within(budget, [*command, *list_results(pairs)])
        if status is None:
            why = "stopped" if budget.status else "the time is over"
            say(f"{why}; the next call resumes from here")
            break
        failed |= status != 0
    return failed


def order_runs(study: Study) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield the stages with their (run, seed) pairs, the most informative first."""
    left = [
        (name, pair)
        for name, experiment in study.experiments.items()
        for pair in experiment.pairs()
    ]
    first = min((seed for name, (_, seed) in left if name in NAMED), default=0)
    stages: dict[str, Callable[[str, int], bool]] = {
        "one seed of every named run": lambda name, seed: name in NAMED and seed == first,
        f"further seeds of {FREE}": lambda name, seed: name == FREE,
        "the rest": lambda name, seed: True,
    }
    for stage, belongs in stages.items():
        chosen = [pair for name, pair in left if belongs(name, pair[1])]
        left = [(name, pair) for name, pair in left if pair not in chosen]
        if chosen:
            yield stage, chosen


def run_within(budget: Budget, command: list[str]) -> int | None:
    """Run a command; return its exit status, or None if the budget ended first.

    A stop signals every process: Snakemake starts no more jobs, and runs write a checkpoint.
    """
    if budget.is_over():
        return None
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None:
        if budget.is_over():
            stop(process)
            return None
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return process.returncode


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process with all that it started, and wait until they have ended."""
    end = time.monotonic() + SECONDS_TO_STOP
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < end:
            process.poll()  # an ended process counts as alive until polled
            time.sleep(SECONDS_BETWEEN_LOOKS)
            os.killpg(process.pid, 0)  # raises when all have ended
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        say("killed after a minute: check that no Snakemake runs, then call it with --unlock")


def pack(archive: Path, runs: Mapping[str, RunSpec]) -> int:
    """Pack results, checkpoints and logs into one archive; return the number of results.

    Damaged files are named and left out. An older archive is kept if there are no results or
    checkpoints, and under another name if it holds some that are not here, or are stale here by the
    configured ``runs``.
    """
    packed, problems = list_files(archive)
    for problem in problems:
        say(problem)
    if count(packed) == (0, 0):
        raise UserError(f"there is no result and no checkpoint: {archive} is not written")
    lost = explain_loss(archive, packed, runs)
    with replace_atomically(archive) as temporary:
        with tarfile.open(temporary, "w:gz", dereference=True) as tar:
            packed = [path for path in packed if add_file(tar, path)]
        older = keep_older(archive) if lost else None
    if older:
        say(f"{older}: the older {archive.name}, which holds {lost}")
    results, checkpoints = count(packed)
    size = archive.stat().st_size / 1e6
    say(f"{archive}: {results} results, {checkpoints} checkpoints, {size:.1f} MB")
    if results:
        say("to publish: unpack it in a checkout; see 'Publishing the reference', CONTRIBUTING.md")
    return results


def count(files: list[Path]) -> tuple[int, int]:
    """Return the numbers of results and checkpoints."""
    patterns = (f"results/*/{paths.RESULT_GLOB}", "results/*/*.checkpoint")
    results, checkpoints = (sum(path.match(pattern) for path in files) for pattern in patterns)
    return results, checkpoints


if __name__ == "__main__":
    sys.exit(main())
