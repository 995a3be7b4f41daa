"""The only room that knows the formats of results and weights: how they are written and read."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2core.artifacts import result_path
from hw2core.atomic import replace_atomically, write_text_atomically
from hw2core.fit_results import FitResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from hw2core.outline import Outline

FORMAT = 2
WAY_OUT = "delete it and run again"


class ArtifactError(RuntimeError):
    """A file of the study that cannot be used: says which, why and the way out."""


def write_result(path: Path | str, document: Mapping[str, Any]) -> None:
    """Write a result (``config``, ``results``, ``metadata``), whole or not at all.

    Its metadata get a digest of all else that it says, so that a damaged number is noticed.
    """
    plain = _replace_not_finite({**document, "results": _as_dict(document["results"])})
    plain["metadata"]["digest"] = _digest(plain)
    write_text_atomically(path, json.dumps(plain, indent=1, allow_nan=False) + "\n")


def read_result(path: Path | str) -> dict[str, Any]:
    """Read a result.

    Raises:
        ArtifactError: it is missing, damaged or of another format.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        version = document["metadata"]["format"]
        intact = document["metadata"].get("digest") == _digest(document)
        complete = set(FitResult._fields) <= document["results"].keys() and document["config"]
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such result") from None
    # A file of nothing but brackets is too deep for the parser.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # Not its repr: that of a wrong byte holds the whole file.
        problem = f"not a result, or a damaged one ({type(error).__name__}: {error})"
        raise ArtifactError(f"{path}: {problem}; {WAY_OUT}") from None
    if version != FORMAT:
        raise ArtifactError(f"{path}: format {version!r}, not {FORMAT}; {WAY_OUT}")
    if not intact or not complete:
        raise ArtifactError(f"{path}: damaged, its content is not what was written; {WAY_OUT}")
    return dict(document)


def read_results(outlines: Iterable[Outline]) -> list[dict[str, Any]]:
    """Read the result of every training of some experiments.

    Raises:
        ArtifactError: one of them cannot be read.
    """
    return [
        _read_as(outline.name, run, seed)
        for outline in outlines
        for run, seed in outline.list_trainings()
    ]


def find_results(
    outlines: Iterable[Outline],
) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Read the results that are there, and name by experiment the runs that have none.

    Raises:
        ArtifactError: one that is there cannot be read.
    """
    documents: list[dict[str, Any]] = []
    missing: dict[str, list[str]] = {}
    for outline in outlines:
        there = [x for x in outline.list_trainings() if Path(result_path(*x)).exists()]
        documents += [_read_as(outline.name, *training) for training in there]
        found = {run for run, _ in there}
        missing[outline.name] = [run for run in outline.runs if run not in found]
    return documents, missing


def write_training(
    result: Path | str,
    weights: Path | str,
    document: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> None:
    """Write the weights of a training, then its result, which vouches for them by their hash."""
    write_weights(weights, tensors)
    metadata = {**document["metadata"], "weights_sha256": hash_file(weights)}
    write_result(result, {**document, "metadata": metadata})


def check_weights(path: Path | str, document: Mapping[str, Any]) -> None:
    """Compare the weights, where they are there, with the result that vouches for them.

    Raises:
        ArtifactError: their bytes are not those that were written.
    """
    expected = document["metadata"].get("weights_sha256")
    if expected and Path(path).exists() and hash_file(path) != expected:
        raise ArtifactError(f"{path}: not the weights of its result, or damaged; run again")


def hash_file(path: Path | str) -> str:
    """Return the sha256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_weights(path: Path | str, weights: Mapping[str, Tensor]) -> None:
    """Write a model's tensors as safetensors, whole or not at all."""
    # Here and not above: reading results, which Snakemake does first of all, needs no torch.
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with replace_atomically(path) as temporary:
        # Not save_file: a temporary file of its own, of a random name, would outlive a kill.
        temporary.write_bytes(save(plain))


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a model's tensors; safetensors holds no code that could be executed.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: {error}; delete the result beside it and run again") from None


def _read_as(experiment: str, run: str, seed: int) -> dict[str, Any]:
    """Read a result; one that was made under another name counts as this run's."""
    document = read_result(result_path(run, seed))
    document["config"] |= {"name": run, "experiment": experiment}
    return document


def _digest(document: Mapping[str, Any]) -> str:
    """Hash all that a result says, but for the digest itself."""
    metadata = {k: v for k, v in document["metadata"].items() if k != "digest"}
    text = json.dumps({**document, "metadata": metadata}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _as_dict(results: FitResult | Mapping[str, Any]) -> dict[str, Any]:
    return results._asdict() if isinstance(results, FitResult) else dict(results)


def _replace_not_finite(value: Any) -> Any:
    """Return ``value`` with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        # JSON knows text as keys only: said here, so that what is read has the same digest.
        return {str(key): _replace_not_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_not_finite(item) for item in value]
    return value
