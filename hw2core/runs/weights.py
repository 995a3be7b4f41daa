"""Writes and reads the weights of a run as safetensors, which hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hw2core.io import check_regular, hash_file, replace_atomically
from hw2core.runs.files import ResultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from hw2core.config.spec import RunSpec
    from hw2core.runs.schema import Result

LARGEST_FILE = 8 << 30  # bytes: two billion parameters


def write_weights(path: Path | str, weights: Mapping[str, Tensor]) -> str:
    """Write a model's tensors, whole or not at all; return the sha256 of the file."""
    with replace_atomically(path) as temporary:
        # Not save_file: its temporary file has a random name and would survive a kill.
        temporary.write_bytes(serialize_weights(weights))
    return hash_file(path)


def serialize_weights(weights: Mapping[str, Tensor]) -> bytes:
    """Return a model's tensors as the content of a safetensors file."""
    # Imported here, because planning checks weights by their hash and needs no torch.
    from safetensors.torch import save

    # Copies, because safetensors refuses weights that layers share.
    return save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    )


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a model's tensors.

    Raises:
        ResultError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        check_regular(path, LARGEST_FILE)
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ResultError(f"{path}: {error}; delete the result next to it and run again") from None


def check_fit(path: Path | str, weights: Mapping[str, Tensor], spec: RunSpec) -> None:
    """Check that weights, which may come from elsewhere, fit the network of a run.

    Raises:
        ResultError: a name, shape or type differs.
    """
    import torch

    from hw2core.engine.run import build_trainer

    own = build_trainer(spec, torch.device("cpu"), num_steps=1).get_weights()
    kinds, own_kinds = (
        {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
        for tensors in (weights, own)
    )
    if kinds != own_kinds:
        names = sorted(dict(kinds.items() ^ own_kinds.items()))
        raise ResultError(
            f"{path}: not the weights of a {spec.model} network like that of its result "
            f"({names[0]} differs); delete the result next to it and run again"
        )


def check_weights(path: Path | str, result: Result) -> None:
    """Compare the weights, where the file exists, with the hash in their result.

    Raises:
        ResultError: the file is damaged or belongs to another result.
    """
    expected = result.weights_sha256
    if not expected or not Path(path).exists():
        return
    try:
        check_regular(path, LARGEST_FILE)
        found = hash_file(path)
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}; delete it and run again") from None
    if found != expected:
        raise ResultError(f"{path}: not the weights of its result, or damaged; run again")
