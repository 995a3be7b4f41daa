"""Marks results of older code as current if tiny runs show that nothing changed.

A refactoring makes results stale, though it changes no number. For results that are stale only
because of code, a tiny version of each run (:mod:`hw2core.runs.tiny`) is trained and evaluated with
the code that made them, from git, and with today's. If curves, weights and evaluation are bit for
bit equal, the results get today's hashes and a note of the comparison.

A tiny run has the network of its run, on few images. docs/reproducibility.md says which changes it
does not detect.
"""

from __future__ import annotations

import datetime
import io
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT
from hw2core.data.datasets import prepare
from hw2core.errors import UserError
from hw2core.runs import paths
from hw2core.runs.code_hash import NETWORKS, check_reader, combine_hashes, hash_run_code
from hw2core.runs.files import (
    ResultError,
    read_evaluation,
    read_result,
    write_evaluation,
    write_result,
)
from hw2core.runs.rebuild import ImageChecker, check_network
from hw2core.runs.schema import Result, Revalidation
from hw2core.runs.staleness import Identity
from hw2core.runs.tiny import EPOCHS, IMAGES, SEED, find_difference, run_tiny, shrink_spec
from hw2core.runs.weights import check_weights

# Outcomes. Kept: missing, current, or stale for other reasons than code.
REVALIDATED, REFUSED, KEPT = "revalidated", "refused", "kept"
SECONDS_FOR_GIT = 60
JOBS = 2  # tiny runs at a time
WAY_OUT = "name the commit that made it with --commit, or train again"


def revalidate(
    pairs: Iterable[tuple[RunSpec, int]], report: Callable[[str], None], commit: str | None = None
) -> Counter[str]:
    """Revalidate results in this folder; return how many had each outcome.

    Args:
        pairs: run and seed of each planned result.
        report: called with a line for each result that is revalidated or refused.
        commit: the commit whose code made the results; None: the commit that each of them names.
            A result that an earlier comparison has kept is compared with the commit of that.

    Raises:
        UserError: ``commit`` is not in the repository, or has no such code; or a class that the
            code of today names does not exist.
    """
    counts: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="hw2_revalidate_") as folder,
        ThreadPoolExecutor(JOBS) as pool,
    ):
        comparer = Comparer(Path(folder), pool, commit)
        for spec, seed in pairs:
            identity = Identity.of(spec, seed)
            result = _read_stale(identity)
            if result is None:
                counts[KEPT] += 1
                continue
            try:
                note = comparer.compare(result, identity)
                if _read_stale(identity) is None:  # another call was at work
                    counts[KEPT] += 1
                    continue
                _accept(result, identity, note)
                outcome, reason = REVALIDATED, note.compared
            except UserError as error:
                outcome, reason = REFUSED, str(error)
            counts[outcome] += 1
            report(f"{outcome}: {spec.name} seed {seed}: {reason}")
    return counts


class Comparer:
    """Compares the code that made results with today's; trains each tiny run once.

    Args:
        folder: a folder for images, code and tiny runs.
        pool: trains the tiny runs.
        commit: see ``revalidate``.
    """

    def __init__(self, folder: Path, pool: Executor, commit: str | None) -> None:
        self._folder = folder
        self._pool = pool
        check_reader(IMAGES.name)
        self._manifest = prepare(IMAGES, self._make_folder())
        self._images = ImageChecker(self._make_folder())
        self._unpack = cache(self._unpack_commit)
        self._start = cache(self._start_tiny)
        self._commit = commit
        self._commits: dict[str, str] = {}  # by code hash: one commit is enough for each
        if commit is not None:
            self._unpack(commit)

    def compare(self, result: Result, identity: Identity) -> Revalidation:
        """Compare the code of a stale result with today's; return a note if all is equal.

        Raises:
            UserError: something differs, or the code that made the result cannot be found or run.
        """
        commit, checkout, verified = self._find_code(result)
        tiny = shrink_spec(result)
        # The modules that read the run's images are not in a tiny run, whose images are generated.
        left_out = identity.code.keys() - hash_run_code(tiny).keys()
        self._images.check(result, identity)
        if tiny.data.num_classes != identity.spec.data.num_classes:
            left_out.add(NETWORKS)  # the tiny network has arguments of its own
            if result.code.get(NETWORKS) != identity.code[NETWORKS]:
                raise UserError("class or arguments of the network changed; train again")
        started = [self._start(folder, tiny.to_json()) for folder in (checkout, CHECKOUT)]
        try:
            old = started[0].result()
        except UserError as error:
            raise UserError(f"commit {commit}: {error}; {WAY_OUT}") from None
        new = started[1].result()
        # "<=", because tiny runs also depend on the modules that generate their images.
        made_by, today = (
            {name: value for name, value in code.items() if name not in left_out}
            for code in (result.code, identity.code)
        )
        if not (verified or made_by.items() <= old.code.items()):
            raise UserError(f"the code of {commit} did not make it; {WAY_OUT}")
        if not verified:  # else its code is that of a later commit
            self._commits.setdefault(result.code_hash, commit)
        if not today.items() <= new.code.items():
            raise UserError("the code was edited meanwhile; run again")
        if difference := find_difference(old, new):
            raise UserError(f"{difference}; train again, or find out what changed since {commit}")
        check_network(result, identity)
        compared = (
            f"{tiny.name} ({tiny.model}, {tiny.training.optimizer}, {tiny.training.precision}), "
            f"seed {SEED}, {EPOCHS} epochs on a CPU: "
            "curves, weights and evaluation are equal"
        )
        return Revalidation(
            commit=commit, date=datetime.date.today().isoformat(), compared=compared
        )

    def _find_code(self, result: Result) -> tuple[str, Path, bool]:
        """Return the commit that made a result, its code, and whether that is known to have."""
        named = result.environment.git_commit
        if result.revalidated:
            named = result.revalidated[-1].commit
            with suppress(UserError):  # such as a commit that a rebase has left behind
                return *self._unpack(named), True
        known = self._commits.get(result.code_hash) or named or "(none)"
        return *self._unpack(self._commit or known), False

    def _unpack_commit(self, name: str) -> tuple[str, Path]:
        """Return the whole hash of a commit and a folder with its code."""
        # The name may come from an untrusted result: git must never take it for an option.
        verify = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        commit = _call_git(name, *verify).decode().strip()
        code = _call_git(name, "archive", commit, "hw2core", "workflow_scripts")
        folder = self._make_folder()
        with tarfile.open(fileobj=io.BytesIO(code)) as archive:
            archive.extractall(folder, filter="data")
        return commit, folder

    def _start_tiny(self, checkout: Path, tiny: str) -> Future[Result]:
        spec = RunSpec.model_validate_json(tiny)
        folder = self._make_folder()
        return self._pool.submit(run_tiny, checkout, spec, self._manifest, folder)

    def _make_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))


def _call_git(name: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, timeout=SECONDS_FOR_GIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"commit {name}: {error}") from None
    if done.returncode != 0:
        problem = done.stderr.decode().strip() or "not a commit of this repository"
        raise UserError(f"commit {name}: {problem}; {WAY_OUT}")
    return done.stdout


def _read_stale(identity: Identity) -> Result | None:
    """Return the result of a run and seed if it is stale only because of code."""
    try:
        result = read_result(paths.result_path(identity.spec.name, identity.seed))
        check_weights(paths.weights_path(identity.spec.name, identity.seed), result)
    except ResultError:
        return None
    if identity.find_other_differences(result) or not identity.find_code_differences(result):
        return None
    return result


def _is_of(evaluation: Path, result: Result) -> bool:
    """Return whether a file is an evaluation of the weights of ``result``."""
    try:
        return read_evaluation(evaluation).is_of(result)
    except ResultError:
        return False


def _accept(result: Result, identity: Identity, note: Revalidation) -> None:
    """Rewrite a result in today's format and with today's hashes."""
    name, seed = identity.spec.name, identity.seed
    if read_result(paths.result_path(name, seed)) != result:
        raise UserError("it changed meanwhile")
    evaluation = Path(paths.evaluation_path(name, seed))
    if result.test is not None and not _is_of(evaluation, result):
        write_evaluation(evaluation, result.test)
    changed = {
        "config": RunSpec.from_config(result.config).describe(seed),
        "spec_hash": identity.spec.hash_identity(seed),
        "code": identity.code,
        "code_hash": combine_hashes(identity.code),
        "revalidated": [*result.revalidated, note],
    }
    write_result(paths.result_path(name, seed), result.model_copy(update=changed))
    with suppress(ResultError):  # not evaluated yet
        test = read_evaluation(evaluation)
        if test.run_code == result.code_hash:
            changed = {"run_code": combine_hashes(identity.code)}
            write_evaluation(evaluation, test.model_copy(update=changed))
