"""Is a result current? Decided by what stands in the result itself, wherever it was made.

Snakemake remembers what made a file only in the folder where it did. A result that was copied
from a cluster, or came with a clone, is judged here: by the spec, the code hash and the data hash
that it carries.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hw2core import artifacts, result_files
from hw2core.atomic import write_text_atomically
from hw2core.data.prepared import DataError, read_manifest
from hw2core.fingerprint import combine_hashes, hash_modules
from hw2core.spec import RunSpec

RUNNER = "hw2core.runner"
GENERATOR = "hw2core.data.generated"
SECONDS_OF_A_WRITE = 2.0  # between the last byte of a file and its final name


@cache
def _hash_run_modules(implementation: str, trainer: str, data_name: str) -> dict[str, str]:
    entries = [RUNNER, implementation.split(":")[0], trainer.split(":")[0]]
    # CIFAR-10 is what its published checksums say; generated images are what their code makes.
    return hash_modules([*entries, GENERATOR] if data_name == "generated" else entries)


def hash_run_code(spec: RunSpec) -> dict[str, str]:
    """Return the hash of every module that training ``spec`` imports."""
    return dict(_hash_run_modules(spec.implementation, spec.trainer, spec.data.name))


def code_hash(spec: RunSpec) -> str:
    """Return the code hash of a run: one hash over ``hash_run_code``."""
    return combine_hashes(hash_run_code(spec))


@dataclass(frozen=True)
class Provenance:
    """What a result must carry to be current: its config, code and data."""

    config: dict[str, Any]
    code: dict[str, str]
    data_sha256: str | None  # None: no data are prepared, or damaged: nothing to compare with

    @classmethod
    def of(cls, spec: RunSpec, seed: int) -> Provenance:
        """Return what a result of ``spec`` and ``seed`` would carry today, in this folder."""
        try:
            sha256 = read_manifest(artifacts.manifest_path(spec.data.folder)).sha256
        except DataError:  # the next training says so; results are not to be thrown away for it
            sha256 = None
        return cls(spec.describe(seed), hash_run_code(spec), sha256)


def explain(document: Mapping[str, Any], wanted: Provenance) -> list[str]:
    """Return why a result is not current, one short reason each; nothing when it is."""
    names = ("name", "experiment")
    old = dict(_flatten({k: v for k, v in document["config"].items() if k not in names}))
    new = dict(_flatten({k: v for k, v in wanted.config.items() if k not in names}))
    reasons = [
        f"{key}: was {old.get(key, 'absent')}, is {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    was: dict[str, str] = document["metadata"].get("code", {})
    reasons += [
        f"code of {module} changed"
        for module in sorted(was.keys() | wanted.code.keys())
        if was.get(module) != wanted.code.get(module)
    ]
    if wanted.data_sha256 and document["metadata"].get("data_sha256") != wanted.data_sha256:
        reasons.append("the prepared data changed")
    return reasons


def explain_file(spec: RunSpec, seed: int) -> list[str]:
    """Return why the result file of a run and seed is not current; nothing when it is.

    A missing file is not current either; a damaged one says so.
    """
    path = artifacts.result_path(spec.name, seed)
    if not Path(path).exists():
        return ["not trained yet"]
    try:
        document = result_files.read_result(path)
        result_files.check_weights(artifacts.weights_path(spec.name, seed), document)
        return explain(document, Provenance.of(spec, seed))
    except result_files.ArtifactError as error:
        return [str(error)]


def write_notice(spec: RunSpec, seed: int) -> str | None:
    """Write down why an existing result is stale and return the file; None when it is current.

    Snakemake re-trains a run whose result is older than one of its inputs. It cannot know that a
    result without its records is stale, so the notice becomes an input: its name holds the digest
    of the stale file, and its time lies after that file's, whatever the clock says.
    """
    result = Path(artifacts.result_path(spec.name, seed))
    if not result.exists() or not (reasons := explain_file(spec, seed)):
        return None
    digest = hashlib.sha256(result.read_bytes()).hexdigest()[:8]
    notice = Path(artifacts.log_path("stale", spec.name, f"seed{seed}_{digest}"))
    if not notice.exists() or notice.stat().st_mtime <= result.stat().st_mtime:
        write_text_atomically(notice, f"{result} is stale:\n  " + "\n  ".join(reasons) + "\n")
        after = max(time.time(), result.stat().st_mtime + 1)
        os.utime(notice, (after, after))
    return str(notice)


def settle_times(results: Iterable[str], others: Iterable[Path | str]) -> None:
    """Give files times that Snakemake can compare, before it compares them.

    It judges by times alone what is to be drawn again. A result that was copied here with its old
    time would not be drawn, so it gets the time when it came. And a job that reads a file of the
    future, made before a clock was set right, would fail after its work: such files become of now.
    """
    now, copied = time.time(), set(results)
    for path in [*copied, *others]:
        with suppress(OSError):  # it is not there, or not ours to change
            status = Path(path).stat()
            # The time of the last change to the file's entry: no copy sets it to another one.
            came = status.st_ctime if path in copied else status.st_mtime
            if status.st_mtime > now or came > status.st_mtime + SECONDS_OF_A_WRITE:
                settled = min(max(came, status.st_mtime), now)
                os.utime(path, (settled, settled))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
