"""Tests of sites that limit the jobs of a user: further jobs wait, and none fails."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checkout import ROOT
from cluster import Unavailable, call, run_cluster, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

NUM_JOBS, ALLOWED = 12, 4


@pytest.fixture(scope="module")
def cluster():
    try:
        with run_cluster(accounting=True) as running:
            yield running
    except Unavailable as error:
        pytest.skip(str(error))


def test_what_the_site_does_not_allow_waits(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "PATH", f"{ROOT}/slurm/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    call("sacctmgr", "--immediate", "modify", "user", "root", "set", f"MaxSubmitJobs={ALLOWED}")
    command = ["sbatch", "--parsable", "--job-name", "call", "--output", "/dev/null"]
    command += ["--comment", "rule_train", "--wrap=sleep 1"]

    def submit(_: int) -> tuple[str, int]:
        job = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        return job, len(cluster.list_jobs())

    with ThreadPoolExecutor(max_workers=2) as pool:  # as the plugin does
        jobs, queued = zip(*pool.map(submit, range(NUM_JOBS)), strict=True)
    assert len(set(jobs)) == NUM_JOBS
    assert max(queued) == ALLOWED
    wait_until(lambda: not cluster.list_jobs(), "the jobs", seconds=60)
    query = ("squeue", "--format=%i|%T", "--states=all", "--noheader", "--name", "call")
    assert sorted(call(*query).split()) == sorted(f"{job}|COMPLETED" for job in jobs)
    (line,) = (tmp_path / ".snakemake/slurm/call/waiting").read_text().splitlines()
    assert line.startswith("submissions wait: AssocMaxSubmitJobLimit: ")
    call("scancel", "--name", "call")  # no error if there is nothing to cancel
