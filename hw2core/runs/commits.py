"""Finds commits of this checkout's repository, and unpacks their code."""

from __future__ import annotations

import io
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from hw2core.config.study import CHECKOUT
from hw2core.errors import UserError

CODE = ("hw2core", "workflow_scripts")


@cache
def find_commit(name: str) -> str | None:
    """Return the whole hash of a commit; None if git, where it is installed, has no such one."""
    try:
        done = _run_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except OSError:
        return None
    return done.stdout.decode().strip() if done.returncode == 0 else None


def explain_commit(name: str | None) -> str:
    """Return why there is no code of the commit that a result names."""
    if name is None:
        return "made outside of git"
    if name.endswith("-dirty"):
        return f"made by code that differs from its commit ({name})"
    return f"{name} is not in the repository"


def unpack_commit(commit: str, folder: Path) -> Path:
    """Write the code of a commit into ``folder`` and return it; the repository stays as it is.

    Raises:
        UserError: the commit has no such code.
    """
    done = _run_git("archive", commit, *CODE)
    if done.returncode != 0:
        raise UserError(f"git archive {commit}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _run_git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True)
