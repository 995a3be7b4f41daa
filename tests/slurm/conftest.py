"""A cluster, a tiny study on it, and the results of its runs when nothing disturbs them.

There is one cluster per file of tests, as two clusters on a machine would wait for each other.
"""

from __future__ import annotations

import os

import pytest
from cluster import Unavailable, run_cluster
from cluster_study import ClusterStudy, call_for


@pytest.fixture(scope="module")
def cluster():
    try:
        with run_cluster() as running, pytest.MonkeyPatch.context() as patch:
            patch.setenv("HW2_DEVICE", "cpu")  # the GPU that jobs get from Slurm is a plain file
            yield running
    except Unavailable as error:
        # Where Slurm is to be tested, its absence must not pass for success.
        (pytest.fail if os.environ.get("HW2_REQUIRE_SLURM") else pytest.skip)(str(error))


@pytest.fixture(scope="module")
def study(cluster, tmp_path_factory) -> ClusterStudy:
    return ClusterStudy(tmp_path_factory.mktemp("cluster") / "study", cluster)


@pytest.fixture(scope="module")
def undisturbed(study):
    """Curves and weights of a training on this machine, without a cluster."""
    study.checkout.snakemake(*call_for("undisturbed"))
    return study.read_outcome("undisturbed")


@pytest.fixture(autouse=True)
def empty_queue(cluster):
    """Leave no job to the next test, whatever became of this one."""
    yield
    cluster.cancel_all()
