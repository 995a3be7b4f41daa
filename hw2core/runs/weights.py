"""Writes and reads the weights of a run as safetensors, which hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.io import hash_file, replace_atomically
from hw2core.runs.files import ResultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from hw2core.runs.schema import Result


def write_weights(path: Path | str, weights: Mapping[str, Tensor]) -> str:
    """Write a model's tensors, whole or not at all; return the sha256 of the file."""
    # Imported late: planning, which checks weights by their hash, needs no torch.
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with replace_atomically(path) as temporary:
        # Not save_file: its own temporary file, of a random name, would survive a kill.
        temporary.write_bytes(save(plain))
    return hash_file(path)


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a model's tensors.

    Raises:
        ResultError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ResultError(f"{path}: {error}; delete the result next to it and run again") from None


def check_weights(path: Path | str, result: Result) -> None:
    """Compare the weights, where the file exists, with the hash in their result.

    Raises:
        ResultError: their bytes are not those that were written.
    """
    expected = result.weights_sha256
    if expected and Path(path).exists() and hash_file(path) != expected:
        raise ResultError(f"{path}: not the weights of its result, or damaged; run again")
