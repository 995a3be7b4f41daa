"""Tests of what is prepared for Snakemake's Slurm plugin."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from hw2core.errors import UserError
from hw2core.slurm import prepare_slurm, show_waiting


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Slurm's own sbatch, behind that of the checkout."""
    for folder in ("slurm/bin", "usr/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/slurm/bin{os.pathsep}{tmp_path}/usr/bin")
    return tmp_path / "usr/bin/sbatch"


def test_a_machine_without_slurm_is_told_from_one_with_it(sbatch, tmp_path):
    prepare_slurm(str(tmp_path), [])
    sbatch.unlink()
    with pytest.raises(UserError, match="sbatch: not found"):
        prepare_slurm(str(tmp_path), [])


@pytest.mark.usefixtures("sbatch")
@pytest.mark.parametrize("sign", ["$", "%", "`"])
def test_a_folder_that_the_plugin_cannot_work_in_is_refused(tmp_path, sign):
    prepare_slurm(str(tmp_path), ["/home/é 'a' {b}#c"])
    with pytest.raises(UserError, match=r"/a.b: .* with . in its path; rename the folder") as error:
        prepare_slurm(str(tmp_path), ["/a", f"/a{sign}b"])
    assert f"with {sign} in" in str(error.value)


@pytest.mark.usefixtures("sbatch")
def test_variables_that_change_the_answers_of_slurm_are_removed(tmp_path, monkeypatch):
    removed = ["SQUEUE_PARTITION", "SQUEUE_USERS", "SINFO_PARTITION", "SACCT_FEDERATION"]
    removed += ["SCONTROL_ALL", "SCANCEL_INTERACTIVE", "SLURM_CLUSTERS", "SBATCH_WAIT"]
    kept = ["SLURM_CONF", "SBATCH_PARTITION", "SBATCH_ACCOUNT", "SBATCH_WAIT_ALL_NODES"]
    for name in (*removed, *kept):
        monkeypatch.setenv(name, "x")
    prepare_slurm(str(tmp_path), [])
    assert not set(removed) & set(os.environ)
    assert set(kept) <= set(os.environ)


class Executor:
    run_uuid = "call-1"

    async def check_active_jobs(self, jobs):
        for job in jobs:
            yield job


def test_each_reason_to_wait_is_shown_once(in_folder):
    file = Path(".snakemake/slurm/call-1/waiting")
    file.parent.mkdir(parents=True)
    executor, shown = Executor(), []
    show_waiting(executor, shown.append)

    async def list_active():
        return [job async for job in executor.check_active_jobs(["7"])]

    assert asyncio.run(list_active()) == ["7"]
    for lines in ("", "a", "a", "a b"):
        file.write_text("".join(f"{line}\n" for line in lines.split()))
        assert asyncio.run(list_active()) == ["7"]
    assert shown == ["a", "b"]
    show_waiting(object(), shown.append)  # an executor of another kind
