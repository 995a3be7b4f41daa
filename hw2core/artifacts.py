"""The only room that knows file names and formats: where things lie, how they are read and written.

Paths are relative to the folder that Snakemake works in. The functions that make them also make
Snakemake's patterns: ``result_path("{run}", "{seed}")``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2core.atomic import replace_atomically, write_text_atomically
from hw2core.fit_results import FitResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from hw2core.outline import Outline

FORMAT = 1
SUMMARY_TABLE = "results/summary.csv"
EPOCHS_TABLE = "results/epochs.csv"
REPORT = "report/report.html"
REPORT_TEMPLATE = "report/report.md.j2"
FIGURE_STYLE = "hw2core/analysis/style.mplstyle"
FIGURE_KINDS = ("curves", "accuracy")
FIGURE_FORMATS = ("svg", "png")


class ArtifactError(RuntimeError):
    """A file of the study that cannot be used: says which, why and the way out."""


def result_path(run: str, seed: int | str) -> str:
    """Result of one training."""
    return f"results/{run}/seed{seed}.json"


def weights_path(run: str, seed: int | str) -> str:
    """Weights of the epoch that validation chose."""
    return f"results/{run}/seed{seed}.safetensors"


def checkpoint_path(result: Path) -> Path:
    """Checkpoint of a training that is not done, beside the result it will have."""
    return result.with_suffix(".checkpoint")


def flat_result_path(out_dir: str, run: str) -> str:
    """Result of the course's ``run_experiment``: one file, no folder."""
    return f"{out_dir}/{run}.json"


def log_path(rule: str, *parts: int | str) -> str:
    """Log of one job."""
    return "/".join(["logs", rule, *map(str, parts)]) + ".log"


def figure_path(experiment: str, kind: str, suffix: str) -> str:
    """One figure of an experiment; ``kind`` in FIGURE_KINDS, ``suffix`` in FIGURE_FORMATS."""
    return f"figures/{experiment}_{kind}.{suffix}"


def figure_paths(experiment: str) -> list[str]:
    """All figures of an experiment in all formats."""
    return [figure_path(experiment, k, s) for k in FIGURE_KINDS for s in FIGURE_FORMATS]


def manifest_path(data_folder: str) -> str:
    """Manifest of a prepared data set, written last: where it is, the arrays are."""
    return array_path(data_folder, "manifest.json")


def array_path(data_folder: str, file: str) -> str:
    """One file of a prepared data set."""
    return f"data/{data_folder}/{file}"


def write_result(path: Path | str, document: Mapping[str, Any]) -> None:
    """Write a result (``config``, ``results``, ``metadata``), whole or not at all."""
    plain = _replace_not_finite({**document, "results": _as_dict(document["results"])})
    write_text_atomically(path, json.dumps(plain, indent=1, allow_nan=False) + "\n")


def read_result(path: Path | str) -> dict[str, Any]:
    """Read a result.

    Raises:
        ArtifactError: it is missing, damaged or of another format.
    """
    way_out = "delete it and run again"
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        version = document["metadata"]["format"]
        complete = set(FitResult._fields) <= document["results"].keys() and document["config"]
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such result") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"not a result, or a damaged one ({error!r})"
        raise ArtifactError(f"{path}: {problem}; {way_out}") from None
    if version != FORMAT or not complete:
        raise ArtifactError(f"{path}: format {version!r}, not {FORMAT}; {way_out}")
    return dict(document)


def read_results(outlines: Iterable[Outline]) -> list[dict[str, Any]]:
    """Read the result of every training of some experiments.

    Raises:
        ArtifactError: one of them cannot be read.
    """
    documents = []
    for outline in outlines:
        for run, seed in outline.list_trainings():
            document = read_result(result_path(run, seed))
            # A result may have been made under another name: here it counts as this run's.
            document["config"] |= {"name": run, "experiment": outline.name}
            documents.append(document)
    return documents


def write_weights(path: Path | str, weights: Mapping[str, Tensor]) -> None:
    """Write a model's tensors as safetensors, whole or not at all."""
    # Here and not above: reading results, which Snakemake does first of all, needs no torch.
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with replace_atomically(path) as temporary:
        save_file(plain, temporary)


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
        raise ArtifactError(f"{path}: {error}; delete it and run again") from None


def _as_dict(results: FitResult | Mapping[str, Any]) -> dict[str, Any]:
    return results._asdict() if isinstance(results, FitResult) else dict(results)


def _replace_not_finite(value: Any) -> Any:
    """Return ``value`` with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _replace_not_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_not_finite(item) for item in value]
    return value
