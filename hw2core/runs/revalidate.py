"""Lets results of older code count as current where tiny runs show that nothing changed.

A refactoring makes results stale, though it changes no number. For results that are stale by code
alone, a tiny version of each run (:mod:`hw2core.runs.tiny`) is trained and evaluated with the code
that made them, from git, and with today's. If curves, weights and evaluation are bit for bit
equal, the results get today's hashes and a note of the comparison.

Beyond its reach, because no tiny run comes there: what acts only after the second epoch, only on a
GPU, or only in wider or deeper networks.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT
from hw2core.data.datasets import prepare
from hw2core.errors import UserError
from hw2core.runs import paths
from hw2core.runs.code_hash import GENERATOR, combine_hashes
from hw2core.runs.commits import explain_commit, find_commit, unpack_commit
from hw2core.runs.files import ResultError, read_result, write_evaluation, write_result
from hw2core.runs.schema import Result, Revalidation
from hw2core.runs.staleness import Identity
from hw2core.runs.tiny import (
    IMAGES,
    TinyRun,
    TinyRunError,
    describe_spec,
    find_difference,
    run_tiny,
    shrink_spec,
)
from hw2core.runs.weights import check_weights

# Outcomes.
MISSING, CURRENT, STALE = "not trained yet", "current", "stale for other reasons"
REVALIDATED, REFUSED, DIFFERENT = "revalidated", "refused", "different"
JOBS = 2  # tiny runs at a time
WAY_OUT = "name the commit that made them with --commit, or train again"


@dataclass(frozen=True)
class StaleResult:
    """A result that is stale by code alone, with what a current one would carry."""

    result: Result
    identity: Identity

    @property
    def commit(self) -> str | None:
        """The commit whose code trained it, as the result names it."""
        notes = self.result.revalidated
        return notes[0].commit if notes else self.result.environment.git_commit


Groups = Mapping[tuple[str, str], list[StaleResult]]
Report = Callable[[str], None]


def revalidate(
    pairs: Iterable[tuple[RunSpec, int]], report: Report, commit: str | None = None
) -> Counter[str]:
    """Revalidate results in this folder; return how many had each outcome.

    Args:
        pairs: run and seed of each planned result.
        report: is given a line for each group of results with the same outcome.
        commit: the commit whose code made the results; None: the one that each of them names.

    Raises:
        UserError: ``commit`` is not in the repository, or a file cannot be written.
    """
    if commit is not None and find_commit(commit) is None:
        raise UserError(f"--commit {commit}: not in the repository of {CHECKOUT}")
    counts: Counter[str] = Counter()

    def close(members: list[StaleResult], outcome: str, reason: str) -> None:
        counts[outcome] += len(members)
        report(f"{outcome}: {_list_labels(members)}: {reason}")

    groups: dict[tuple[str, str], list[StaleResult]] = defaultdict(list)
    refused: dict[str | None, list[StaleResult]] = defaultdict(list)
    first: dict[str, str] = {}
    for stale in _find_stale(pairs, counts):
        name = commit or stale.commit
        found = find_commit(name) if name else None
        if found is None:
            refused[name].append(stale)
            continue
        if not stale.result.revalidated:  # one commit is enough for results of the same code
            found = first.setdefault(stale.result.code_hash, found)
        groups[found, shrink_spec(stale.result).to_json()].append(stale)
    for name, members in refused.items():
        close(members, REFUSED, f"{explain_commit(name)}; {WAY_OUT}")
    for found, tiny, members, runs in _train_groups(groups):
        outcomes: dict[tuple[str, str], list[StaleResult]] = defaultdict(list)
        for stale in members:
            outcomes[_judge(stale, found, tiny, runs)].append(stale)
        for (outcome, reason), alike in outcomes.items():
            if outcome == REVALIDATED:
                today = datetime.date.today().isoformat()
                for stale in alike:
                    _accept(stale, Revalidation(commit=found, date=today, compared=reason))
            close(alike, outcome, reason)
    return counts


def _find_stale(
    pairs: Iterable[tuple[RunSpec, int]], counts: Counter[str]
) -> Iterator[StaleResult]:
    """Yield the results that are stale by code alone; count the others."""
    for spec, seed in pairs:
        path = paths.result_path(spec.name, seed)
        if not Path(path).exists():
            counts[MISSING] += 1
            continue
        identity = Identity.of(spec, seed)
        try:
            result = read_result(path)
            check_weights(paths.weights_path(spec.name, seed), result)
        except ResultError:
            counts[STALE] += 1
            continue
        if identity.find_other_differences(result):
            counts[STALE] += 1
        elif not identity.find_code_differences(result):
            counts[CURRENT] += 1
        else:
            yield StaleResult(result, identity)


def _train_groups(
    groups: Groups,
) -> Iterator[tuple[str, RunSpec, list[StaleResult], tuple[TinyRun, TinyRun] | TinyRunError]]:
    """Yield each group with its tiny spec and its runs: by the commit's code and by today's.

    Code that cannot train it gives an error in the place of the runs.
    """
    with tempfile.TemporaryDirectory(prefix="hw2_revalidate_") as temporary:
        folder = Path(temporary)
        pool = ThreadPoolExecutor(JOBS)
        manifest = prepare(IMAGES, folder / "images")
        trees = {
            found: unpack_commit(found, folder / found) for found in {key[0] for key in groups}
        }
        futures: dict[tuple[Path, str], Future[TinyRun]] = {}
        for found, tiny in groups:
            for tree in (trees[found], CHECKOUT):
                if (tree, tiny) not in futures:
                    spec, place = RunSpec.model_validate_json(tiny), folder / str(len(futures))
                    futures[tree, tiny] = pool.submit(run_tiny, tree, spec, manifest, place)
        try:
            for (found, tiny), members in groups.items():
                runs: tuple[TinyRun, TinyRun] | TinyRunError
                try:
                    runs = futures[trees[found], tiny].result(), futures[CHECKOUT, tiny].result()
                except TinyRunError as error:
                    runs = error
                yield found, RunSpec.model_validate_json(tiny), members, runs
        finally:
            pool.shutdown(cancel_futures=True)


def _judge(
    stale: StaleResult, commit: str, tiny: RunSpec, runs: tuple[TinyRun, TinyRun] | TinyRunError
) -> tuple[str, str]:
    """Return the outcome of a result, and the reason."""
    if isinstance(runs, TinyRunError):
        return REFUSED, str(runs)
    old, new = runs
    result, identity = stale.result, stale.identity
    known = any(note.commit == commit for note in result.revalidated)  # it was checked then
    # "<=": the tiny runs, on generated images, have the modules that generate them as well.
    if not known and not result.code.items() <= old.result.code.items():
        return REFUSED, f"the code of {commit} is not what made them; {WAY_OUT}"
    if not identity.code.items() <= new.result.code.items():
        return REFUSED, "today's code was edited meanwhile; run again"
    if result.code.get(GENERATOR) != identity.code.get(GENERATOR):
        return REFUSED, "the code that generates their images changed; train again"
    if difference := find_difference(old, new):
        return DIFFERENT, f"{difference}; train again, or find out what changed since {commit}"
    return REVALIDATED, f"{describe_spec(tiny)}: curves, weights and evaluation are equal"


def _accept(stale: StaleResult, note: Revalidation) -> None:
    """Write a result anew, in today's format and with today's hashes.

    The times of its files stay: what was made from it is not older than before.
    """
    result, identity = stale.result, stale.identity
    path = Path(paths.result_path(identity.spec.name, identity.seed))
    evaluation = Path(paths.evaluation_path(identity.spec.name, identity.seed))
    status = path.stat()
    times = status.st_atime_ns, status.st_mtime_ns
    if result.test is not None and not evaluation.exists():
        write_evaluation(evaluation, result.test)
        os.utime(evaluation, ns=times)
    changed = {
        "config": RunSpec.from_config(result.config).describe(result.seed),
        "spec_hash": identity.spec.hash_identity(identity.seed),
        "code": identity.code,
        "code_hash": combine_hashes(identity.code),
        "revalidated": [*result.revalidated, note],
    }
    write_result(path, result.model_copy(update=changed))
    os.utime(path, ns=times)


def _list_labels(members: list[StaleResult]) -> str:
    seeds: dict[str, list[str]] = defaultdict(list)
    for stale in members:
        seeds[stale.identity.spec.name].append(str(stale.identity.seed))
    return ", ".join(f"{run} seed {' '.join(numbers)}" for run, numbers in seeds.items())
