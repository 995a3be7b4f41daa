"""The tiny study, trained once, and copies of it to change."""

from __future__ import annotations

import shutil

import pytest
from checkout import TINY, Checkout, copy_sources


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Checkout:
    """The tiny study, run once from nothing to the report. Not to be changed: copy it."""
    checkout = copy_sources(tmp_path_factory.mktemp("study") / "trained")
    checkout.configure(TINY)
    checkout.snakemake()
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
