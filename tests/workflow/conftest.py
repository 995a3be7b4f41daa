"""The tiny study, trained once, and copies of it to change."""

from __future__ import annotations

import fcntl
import os
import shutil

import pytest
from checkout import TINY, Checkout, copy_sources


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Checkout:
    """The tiny study, run once from nothing to the report. Not to be changed: copy it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all processes of this session
    checkout = Checkout(shared / "trained")
    with (shared / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "trained.done").exists():
            shutil.rmtree(checkout.folder, ignore_errors=True)  # of a process that failed
            copy_sources(checkout.folder).configure(TINY)
            checkout.snakemake()
            (shared / "trained.done").touch()
    return checkout


@pytest.fixture
def study(trained, tmp_path) -> Checkout:
    """A copy of the trained study, with Snakemake's records, to change at will."""
    shutil.copytree(trained.folder, tmp_path / "copy", copy_function=shutil.copy2)
    return Checkout(tmp_path / "copy")


@pytest.fixture
def clone(trained, tmp_path) -> Checkout:
    """A fresh clone with the study's results copied in, and nothing that Snakemake remembers."""
    checkout = copy_sources(tmp_path / "clone")
    checkout.configure(TINY)
    shutil.copytree(trained / "results", checkout / "results")
    return checkout
