"""How long does a run take on a cluster, beside its training: in a job of its own, or in a group?

Starts a real Slurm on this machine (as the tests do: root, Debian's packages slurmctld, slurmd,
slurm-client, munge), submits the six runs of exp1_4 to it in tiny sizes, once each way, and reads
from Slurm's own record how long the jobs took. Usage: python bench/slurm.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, describe_machine, print_table

sys.path[:0] = [str(ROOT / "tests/workflow"), str(ROOT / "tests/slurm")]

from checkout import Checkout, copy_sources  # noqa: E402 (found by the line above)
from cluster import Cluster, run_cluster  # noqa: E402
from cluster_study import ON_CLUSTER, configure  # noqa: E402

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
    head = ["submitted as", "jobs", "call s", "in jobs s", "training s", "beside it, s per run"]
    print_table(head, rows)


def measure(cluster: Cluster, folder: Path, options: list[str]) -> list[object]:
    """Return the columns of one way: jobs, and seconds of the call, in jobs, in training."""
    checkout = copy_sources(folder)
    checkout.configure(configure())
    checkout.snakemake("prepare_data")
    before = len(cluster.read_finished())
    start = time.perf_counter()
    checkout.snakemake("results/exp1_4", *ON_CLUSTER, *options)
    seconds = time.perf_counter() - start
    jobs = cluster.read_finished()[before:]
    in_jobs = sum((end - begin).total_seconds() for _, _, begin, end in jobs)
    training = sum_training(checkout)
    return [len(jobs), seconds, in_jobs, training, (in_jobs - training) / NUM_RUNS]


def sum_training(checkout: Checkout) -> float:
    """Return the seconds that the results report for training, together."""
    paths = list((checkout / "results").glob("exp1_4_*/seed0.json"))
    assert len(paths) == NUM_RUNS
    return sum(read_result(path).timing.seconds for path in paths)


if __name__ == "__main__":
    main()
