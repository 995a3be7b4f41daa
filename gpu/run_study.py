"""Train what is stale on this machine's GPU within a time budget, and pack the results.

    python gpu/run_study.py --minutes 25 --archive study.tar.gz

The most informative runs come first. When the time is over, those under way write a checkpoint and
stop; the next call resumes them, here or, with the archive unpacked in another checkout, elsewhere.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hw2core.config.reading import read_config  # noqa: E402 (of this checkout)
from hw2core.config.study import Study, load_study  # noqa: E402
from hw2core.pipeline import list_results  # noqa: E402

NAMED = ("exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2")  # the exercise's own runs
FREE = "exp2"  # the experiment whose further seeds are the most informative: its network is free
PACKED = ("results", "logs")
SECONDS_TO_STOP = 60


def main() -> int:
    """Train stage by stage; 1 when runs failed, 0 also when the time was too short."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, required=True, help="time for training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--archive", type=Path, default=Path("study.tar.gz"))
    parser.add_argument("--configfile", type=Path, default=Path("config.yaml"))
    parser.add_argument("snakemake", nargs="*", help="further arguments of Snakemake, after --")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    seeds = f"seeds={args.seeds}".replace(" ", "")
    study = load_study({**read_config(args.configfile), "seeds": args.seeds}, str(args.configfile))
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "gpu")]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(args.configfile)]
    command += ["--config", seeds, *args.snakemake, "--"]
    codes = []
    for name, pairs in order_runs(study):
        print(f"{name}: {len(pairs)} runs", flush=True)
        if (code := run_until(end, [*command, *list_results(pairs)])) is None:
            print("the time is over; the next call resumes from here", flush=True)
            # Snakemake may have been killed before it removed its lock.
            subprocess.run([*command[:-1], "--unlock", "--quiet"], check=True)
            break
        codes.append(code)
    pack(args.archive)
    return int(any(codes))


def order_runs(study: Study) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield the stages with their (run, seed), the most informative first."""
    left = [
        (name, pair)
        for name, experiment in study.experiments.items()
        for pair in experiment.pairs()
    ]
    first = min((seed for name, (_, seed) in left if name in NAMED), default=0)
    stages = {
        "one seed of every named run": lambda name, seed: name in NAMED and seed == first,
        f"further seeds of {FREE}": lambda name, seed: name == FREE,
        "the rest": lambda name, seed: True,
    }
    for stage, belongs in stages.items():
        chosen = [pair for name, pair in left if belongs(name, pair[1])]
        left = [(name, pair) for name, pair in left if pair not in chosen]
        if chosen:
            yield stage, chosen


def run_until(end: float, command: list[str]) -> int | None:
    """Run a command until it is done or ``end`` (of ``time.monotonic``) has come; None: stopped.

    A stop reaches every process: Snakemake starts nothing more, runs write a checkpoint.
    """
    if end <= time.monotonic():
        return None
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(end - time.monotonic())
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None


def pack(archive: Path) -> None:
    """Write results, checkpoints and logs into one archive, to be unpacked in a checkout."""
    with tarfile.open(archive, "w:gz") as tar:
        for folder in filter(os.path.isdir, PACKED):
            tar.add(folder)
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB", flush=True)
    print("to publish: unpack it in a checkout and see 'On one GPU' in README.md", flush=True)


if __name__ == "__main__":
    sys.exit(main())
