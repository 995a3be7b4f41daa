"""Measure the overhead of a run on a cluster, in a job of its own and in a group.

Starts a real Slurm on this machine (like the tests; needs root and the Debian packages slurmctld,
slurmd, slurm-client and munge), submits the six runs of exp1_4 in tiny sizes, once each way, and
reads the duration of the jobs from Slurm's records. Usage: python bench/slurm.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, describe_machine, print_table

sys.path[:0] = [str(ROOT / "tests/workflow"), str(ROOT / "tests/slurm")]

from checkout import Checkout, copy_sources  # noqa: E402 (needs the path set above)
from cluster import Cluster, run_cluster  # noqa: E402
from cluster_study import IMAGES, ON_CLUSTER, configure  # noqa: E402

from hw2core.runs.files import read_result  # noqa: E402

WAYS = {
    "a job each": [],
    "one group": ["--group-components", "run=6", "--cores", "2"],
}
NUM_RUNS = 6


def main() -> None:
    with run_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        rows = [
            [way, *measure(cluster, Path(folder) / str(i), options)]
            for i, (way, options) in enumerate(WAYS.items())
        ]
    print(f"{describe_machine()}\n")
    head = ["submitted as", "jobs", "call s", "in jobs s", "training s", "overhead, s per run"]
    print_table(head, rows)


def measure(cluster: Cluster, folder: Path, options: list[str]) -> list[object]:
    """Return a row: jobs, seconds of the call, in jobs and in training, and overhead per run."""
    checkout = copy_sources(folder)
    checkout.configure(configure())
    checkout.snakemake(IMAGES)
    before = len(cluster.read_finished())
    start = time.perf_counter()
    checkout.snakemake("results/exp1_4", *ON_CLUSTER, *options)
    seconds = time.perf_counter() - start
    jobs = cluster.read_finished()[before:]
    in_jobs = sum((end - begin).total_seconds() for _, _, begin, end in jobs)
    training = sum_training(checkout)
    return [len(jobs), seconds, in_jobs, training, (in_jobs - training) / NUM_RUNS]


def sum_training(checkout: Checkout) -> float:
    """Return the total training time in the results, in seconds."""
    paths = list((checkout / "results").glob("exp1_4_*/seed0.json"))
    assert len(paths) == NUM_RUNS
    return sum(read_result(path).timing.seconds for path in paths)


if __name__ == "__main__":
    main()
