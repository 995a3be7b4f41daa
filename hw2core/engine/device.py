"""Chooses and prepares the device and the precision of a run."""

from __future__ import annotations

import os

import torch


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, by default the first available of cuda, mps and cpu.

    Raises:
        ValueError: torch does not know the name, or the machine has no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={name!r}: not available here ({reason})") from None
    return device


def pick_precision(wanted: str, device: torch.device) -> str:
    """Return ``wanted``; for "auto", "bf16" where the hardware multiplies bfloat16, else "fp32".

    Nothing is timed: a run's numbers must not depend on other work on the machine.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        fast = torch.cpu.get_capabilities()
        return "bf16" if fast.get("avx512_bf16") or fast.get("amx_bf16") else "fp32"
    return "fp32"


def prepare_device(device: torch.device, *, deterministic: bool) -> None:
    """Set whether a GPU must repeat its results exactly, as a CPU always does; turn TF32 off."""
    if device.type != "cuda":
        return
    # cuBLAS is deterministic only with a workspace of fixed size; it reads this on first use.
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    # Only warn: the backward of pools is reported, but is exact here, where no pools overlap.
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
