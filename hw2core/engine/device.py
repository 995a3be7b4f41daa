"""Where a training runs, and how precisely."""

from __future__ import annotations

import os

import torch


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or the best there is: cuda, then mps, then cpu.

    Raises:
        ValueError: the name is not one that torch knows, or the machine has no such device.
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
    """Return "bf16" or "fp32": what ``wanted`` says, or for "auto" what the device is fast at.

    bfloat16 pays where the hardware multiplies it. That is asked of the hardware and not timed: a
    timing on a busy machine would make the numbers of a run depend on the machine's other work.
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
    """Say what a GPU may do for speed; a CPU always repeats exactly, in full single precision."""
    if device.type != "cuda":
        return
    # cuBLAS repeats its sums only with a workspace of fixed size; read when it is first used.
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False  # "fp32" means it; what is fast is "bf16"
    # Warnings only: pools that overlap would not repeat exactly, and those here do not overlap.
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
