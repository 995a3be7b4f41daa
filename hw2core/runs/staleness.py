"""Decides whether a result is current, by the spec, the code hashes and the data hash in it.

Snakemake records how a file was made only in the folder where it made it, not for a result that was
copied from a cluster or came with a clone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw2core.config.errors import ConfigError
from hw2core.config.spec import Experiment, RunSpec
from hw2core.data.prepared import DataError, read_manifest
from hw2core.errors import UserError
from hw2core.runs import paths
from hw2core.runs.code_hash import combine_hashes, hash_evaluation_code, hash_run_code
from hw2core.runs.files import ResultError, read_evaluation, read_result
from hw2core.runs.images import explain_unprepared
from hw2core.runs.schema import Result
from hw2core.runs.weights import check_weights

NAMES = ("name", "experiment")


@dataclass(frozen=True)
class Identity:
    """The spec, seed, code and data that identify a training run."""

    spec: RunSpec
    seed: int
    code: dict[str, str]
    data_sha256: str | None  # None: no images are prepared, or their manifest is damaged

    @classmethod
    def of(cls, spec: RunSpec, seed: int) -> Identity:
        """Return the identity that a result would have if it were made now, in this folder."""
        try:
            sha256 = read_manifest(paths.manifest_path(spec.data.folder)).sha256
        except DataError:  # the next training job reports it; results stay current
            sha256 = None
        return cls(spec, seed, hash_run_code(spec), sha256)

    def hash_parts(self) -> dict[str, str]:
        """Return one hash for each of spec, code and data, under the keys of a result."""
        return {
            "spec_hash": self.spec.hash_identity(self.seed),
            "code_hash": combine_hashes(self.code),
            "data_sha256": self.data_sha256 or "",
        }

    def describe(self) -> dict[str, str]:
        """Return what a checkpoint must be of to be resumed, as far as it is known.

        The whole configuration is part of it: the hash of the spec leaves out defaults, which an
        edit of the code may change.
        """
        config = json.dumps(self.spec.describe(self.seed))
        return {key: value for key, value in self.hash_parts().items() if value} | {
            "config": config
        }

    def find_differences(self, result: Result) -> list[str]:
        """Return the reasons why ``result`` is not current; none if it is."""
        return [*self.find_other_differences(result), *self.find_code_differences(result)]

    def find_code_differences(self, result: Result) -> list[str]:
        """Return the modules whose code changed, as one reason if there are any."""
        modules = sorted(result.code.keys() | self.code.keys())
        changed = [name for name in modules if result.code.get(name) != self.code.get(name)]
        if len(changed) > 3:
            return [f"code of {', '.join(changed[:2])} and {len(changed) - 2} more modules changed"]
        return [f"code of {', '.join(changed)} changed"] if changed else []

    def find_other_differences(self, result: Result) -> list[str]:
        """Return what changed besides code: keys of the configuration, or the images."""
        try:
            # As today's spec, so that added and retired keys at their default make no difference.
            old = RunSpec.from_config(result.config).describe(result.seed)
        except ConfigError as error:
            return [f"its configuration is no longer valid ({error})"]
        was, now = dict(_flatten(old)), dict(_flatten(self.spec.describe(self.seed)))
        reasons = [
            f"{key}: was {was.get(key, 'absent')}, is {now.get(key, 'absent')}"
            for key in sorted(was.keys() | now.keys())
            if was.get(key) != now.get(key) and key not in NAMES
        ]
        if self.data_sha256 and result.data_sha256 != self.data_sha256:
            reasons.append("the prepared data changed")
        return reasons


def explain_result(spec: RunSpec, seed: int) -> list[str]:
    """Return the reasons why a result is missing, damaged or stale; none if it is current."""
    return [*compare_result(spec, seed), *explain_unprepared(spec.data)]


def compare_result(spec: RunSpec, seed: int) -> list[str]:
    """Return the reasons of ``explain_result`` besides images that have to be prepared again."""
    path = paths.result_path(spec.name, seed)
    if not Path(path).exists():
        return ["not trained yet"]
    try:
        result = read_result(path)
        check_weights(paths.weights_path(spec.name, seed), result)
    except ResultError as error:
        return [str(error)]
    return Identity.of(spec, seed).find_differences(result)


def find_stale(experiments: Iterable[Experiment]) -> dict[tuple[str, int], str]:
    """Return the first reason why an existing result or its evaluation is stale, by run and seed.

    Experiments from JSON, as Snakemake passes them, have no specs, and their results are current.
    """
    return {
        (run, seed): reasons[0]
        for each in experiments
        for run, seed in each.pairs()
        if run in each.specs and Path(paths.result_path(run, seed)).exists()
        if (reasons := _explain(each.specs[run], seed))
    }


def warn_of_stale(experiments: Iterable[Experiment], log: logging.Logger) -> None:
    """Log how many of these results are stale, and where the reasons are."""
    if stale := len(find_stale(experiments)):
        results = "1 result is" if stale == 1 else f"{stale} results are"
        log.warning(f"{results} stale but shown; workflow_scripts/status.py gives the reasons")


def refuse_mixed_images(results: Iterable[Result]) -> None:
    """Check that results to be compared on one data set were trained on the same images.

    Each is current as long as no images are prepared here, and they may come from several places.

    Raises:
        UserError: two of them were not.
    """
    seen: dict[str, Result] = {}
    for result in results:
        folder = RunSpec.from_config(result.config).data.folder
        first = seen.setdefault(folder, result)
        if first.data_sha256 != result.data_sha256:
            files = (paths.result_path(each.name, each.seed) for each in (first, result))
            raise UserError(
                f"{' and '.join(files)}: trained on different images of {folder}; prepare the "
                f"images ({paths.manifest_path(folder)}) and run again, which trains what is "
                "stale, or delete one of the results"
            )


def _explain(spec: RunSpec, seed: int) -> list[str]:
    evaluated = Path(paths.evaluation_path(spec.name, seed)).exists()
    return explain_result(spec, seed) or (explain_evaluation(spec, seed) if evaluated else [])


def explain_evaluation(spec: RunSpec, seed: int) -> list[str]:
    """Return the reasons why the evaluation of a current result is not current; none if it is.

    An evaluation whose weights are missing cannot be repeated, and counts as current.
    """
    path = paths.evaluation_path(spec.name, seed)
    if not Path(path).exists():
        return ["not evaluated yet"]
    try:
        # Not read_run: an older result holds an evaluation of its own.
        result, test = read_result(paths.result_path(spec.name, seed)), read_evaluation(path)
    except ResultError as error:
        return [str(error)]
    has_weights = result.weights_sha256 and Path(paths.weights_path(spec.name, seed)).exists()
    if result.test and not has_weights:  # a result of format 2
        return [] if test == result.test else ["not the evaluation in the result"]
    if not test.is_of(result):
        return ["its weights are not those of the result"]
    if not has_weights:
        return []
    reasons = []
    if test.num_images != spec.data.test:
        reasons.append(f"data.test: was {test.num_images}, is {spec.data.test}")
    if test.code != hash_evaluation_code():
        reasons.append("the code of the evaluation changed")
    if test.run_code not in (None, result.code_hash):  # by an edit that left the weights
        reasons.append("the code of the run changed")
    if test.data_sha256 != result.data_sha256:
        reasons.append("the prepared data changed")
    return reasons


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
