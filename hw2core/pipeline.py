"""Decides for Snakemake which files are stale, and sets file times."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Container, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2core.data.prepared import PREPARED_FILES
from hw2core.errors import UserError
from hw2core.io import hash_file, write_text_atomically
from hw2core.runs import paths
from hw2core.runs.files import read_result
from hw2core.runs.images import explain_images
from hw2core.runs.recordable import check_recordable
from hw2core.runs.staleness import explain_evaluation, explain_result

if TYPE_CHECKING:
    from hw2core.config.images import DataSpec
    from hw2core.config.study import Study

NOTICES = ".snakemake/stale"
RESTARTS = "HW2_RESTARTS"  # environment variable: how often Slurm has restarted a job, if it has


def use_checkout(folder: str, *, in_job: bool = False) -> None:
    """Make jobs run this Python and the code of this checkout, whatever is installed.

    Snakemake's Slurm plugin then finds the commands in slurm/bin before those of Slurm.

    Args:
        folder: the checkout.
        in_job: whether this process is a job on a cluster. The call itself may run in a job that
            Slurm has restarted, which says nothing about those that it submits.
    """
    programs = [f"{folder}/slurm/bin", str(Path(sys.executable).parent)]
    for variable, first in (("PATH", programs), ("PYTHONPATH", [folder])):
        known = os.environ.get(variable, "").split(os.pathsep)
        os.environ[variable] = os.pathsep.join(
            [*first, *(p for p in known if p and p not in first)]
        )
    restarts = os.environ.pop("SLURM_RESTART_COUNT", None)  # which the plugin removes later
    if not in_job:
        os.environ.pop(RESTARTS, None)
    elif restarts:
        os.environ[RESTARTS] = restarts
    os.environ.pop("PYTHONSAFEPATH", None)  # the scripts import from their own folder


def list_results(pairs: Iterable[tuple[str, int]]) -> list[str]:
    """Return the result and evaluation files of (run, seed) pairs."""
    return [file(*pair) for pair in pairs for file in (paths.result_path, paths.evaluation_path)]


def list_prepared(folder: str) -> list[str]:
    """Return the files of a prepared data set, the manifest first."""
    arrays = [paths.array_path(folder, file) for file in PREPARED_FILES]
    return [paths.manifest_path(folder), *arrays]


class Planner:
    """Decides which files of a run and seed have to be made, from their content alone.

    Current files get no inputs, so neither modification times nor missing images make them stale.
    Each file is read once per Snakemake call.

    Raises:
        UserError: a module that a run depends on is not valid Python, a class that its entry
            names does not exist, or no result could hold the settings of a run.
    """

    def __init__(self, study: Study) -> None:
        for spec in study.runs.values():
            check_recordable(spec)
        self._runs = study.runs
        self._explain_result = cache(lambda run, seed: explain_result(study.runs[run], seed))
        self._explain_evaluation = cache(
            lambda run, seed: explain_evaluation(study.runs[run], seed)
        )

    def trains(self, run: str, seed: int) -> bool:
        """Return whether the run has to be trained."""
        return bool(self._explain_result(run, seed))

    def evaluates(self, run: str, seed: int) -> bool:
        """Return whether the run has to be evaluated, perhaps after training."""
        return self.trains(run, seed) or bool(self._explain_evaluation(run, seed))

    def needs_test_images(self, run: str, seed: int) -> bool:
        """Return whether there are, or will be, weights to evaluate.

        Without weights, the evaluation is taken from a result of format 2.
        """
        weights = Path(paths.weights_path(run, seed))
        return self.evaluates(run, seed) and (self.trains(run, seed) or weights.exists())

    def list_notices(self, run: str, seed: int) -> list[str]:
        """Return the notice of a stale result, as an input of the rule that trains it."""
        return write_notice(paths.result_path(run, seed), self._explain_result(run, seed))

    def list_evaluation_notices(self, run: str, seed: int) -> list[str]:
        """Return the notice of a stale evaluation, as an input of the rule that evaluates."""
        return write_notice(paths.evaluation_path(run, seed), self._explain_evaluation(run, seed))

    def check_jobs(self, jobs: Iterable[Any]) -> None:
        """Refuse jobs for which something is missing, before Snakemake deletes what they made.

        Raises:
            UserError: images or weights are missing, and none of ``jobs`` makes them.
        """
        planned = list(jobs)
        made = {str(path) for job in planned for path in job.output}
        missing = [line for job in planned if (line := self._find_missing(job, made))]
        if missing:
            more = f" ({len(missing) - 1} more like it)" if len(missing) > 1 else ""
            raise UserError(f"{missing[0]}{more}")

    def _find_missing(self, job: Any, made: Container[str]) -> str:
        """Return a line about what a job lacks that replaces a training or evaluates; "" if none.

        Without images, a new training waits for them; a result of format 2 holds its evaluation.
        """
        rule, output = job.rule.name, next(iter(job.output), "")  # none of a target like "figures"
        result = ""
        if rule == "train" and Path(output).exists():
            source = paths.manifest_path(self._runs[job.wildcards.run].data.folder)
        elif rule == "evaluate":
            result = paths.result_path(job.wildcards.run, job.wildcards.seed)
            source = paths.weights_path(job.wildcards.run, job.wildcards.seed)
        else:
            return ""
        if source in made or Path(source).exists() or (result and read_result(result).test):
            return ""
        if Path(output).exists():  # as with -F and -R
            return f"{source}: missing, so {output} cannot be made again; nothing is deleted"
        return (
            f"{source}: missing, so {output} cannot be made; copy one of them here, or delete "
            f"{result} to train the run again"
        )


def list_image_notices(data: DataSpec) -> list[str]:
    """Return the notice of stale images, as an input of the rule that prepares them."""
    return write_notice(paths.manifest_path(data.folder), explain_images(data))


def write_notice(path: str, reasons: list[str]) -> list[str]:
    """Write a notice why an existing file is stale; return its path, or nothing without reasons.

    Snakemake remakes a file that is older than one of its inputs, but has no record of a result
    that was copied, so the notice becomes an input. Its name is new for each stale file, even one
    restored from a backup, because Snakemake treats a small input as unchanged if it has seen the
    same content. It is in Snakemake's own folder; planning changes nothing else on disk.
    """
    file = Path(path)
    if not reasons or not file.exists():
        return []
    # Of a link, as of git-annex or DVC, Snakemake compares both times.
    notice, changed = _notice_path(path), max(file.stat().st_mtime, file.lstat().st_mtime)
    if not notice.exists() or notice.stat().st_mtime <= changed:
        write_text_atomically(notice, f"{path} is stale:\n  " + "\n  ".join(reasons) + "\n")
        after = max(time.time(), changed + 1)  # whatever the clock says
        os.utime(notice, (after, after))
    return [str(notice)]


def was_stale_before(path: str, other: Path) -> bool:
    """Return whether a call found a file stale, as it still is, before ``other`` was made."""
    notice = _notice_path(path)
    return notice.exists() and notice.stat().st_mtime < other.stat().st_mtime


def _notice_path(path: str) -> Path:
    key = f"{hash_files([path])}{Path(path).stat().st_ctime_ns}{Path(path).lstat().st_ctime_ns}"
    return Path(
        NOTICES, f"{path.replace('/', '_')}.{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    )


def mark_forced(path: str, *, forced: bool) -> None:
    """Record whether a call makes a file again that may be current: no attempt must keep it."""
    mark = _forced_path(path)
    if forced and Path(path).exists():
        write_text_atomically(mark, hash_files([path]))
    else:
        mark.unlink(missing_ok=True)


def is_forced(path: str) -> bool:
    """Return whether the last call that planned to make a file forces it, and it is still there."""
    mark = _forced_path(path)
    return mark.exists() and mark.read_text() == hash_files([path])


def _forced_path(path: str) -> Path:
    return Path(NOTICES, f"{path.replace('/', '_')}.forced")


def keep_older(path: Path) -> bool:
    """Return whether a job that failed leaves a file, which is the older one.

    Its status changes, or Snakemake, which records the inputs of a failed job too, would count its
    notice as seen.
    """
    with suppress(OSError):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return path.exists()


def hash_files(files: Iterable[str]) -> str:
    """Return one hash over the content of files; a missing file counts as empty.

    As a param of a rule, it makes Snakemake detect inputs copied with an old modification time.
    """
    digest = hashlib.sha256()
    for path in files:
        with suppress(OSError):
            digest.update(hash_file(path).encode())
        digest.update(path.encode())
    return digest.hexdigest()


def settle_times(files: Iterable[str]) -> None:
    """Set modification times that are in the future, left by a wrong clock, to now.

    A job that reads such a file would fail after its work.
    """
    now = time.time()
    for path in set(files):
        with suppress(OSError):  # missing, or not writable
            if Path(path).stat().st_mtime > now:
                os.utime(path, (now, now))
