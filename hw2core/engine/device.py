"""Chooses and prepares the device and the precision of a run."""

from __future__ import annotations

import os
import re
import warnings

import torch

from hw2core import gpus
from hw2core.errors import UserError

NO_MEMORY = re.compile("out of memory|can't allocate memory|ALLOC_FAILED")


class DeviceError(UserError):
    """A device cannot be used: what was asked for or found, why not, and what to do."""


def pick_device(name: str | None = None) -> torch.device:
    """Return a device by name; by default that of HW2_DEVICE, else the best of this machine.

    The best is the first available of cuda, mps and cpu, in this order. A GPU that torch cannot use
    is an error, because training on the CPU would take days instead of an hour.

    Raises:
        DeviceError: torch does not know the name, or cannot use the device.
    """
    if name is not None:
        problem = f"device={str(name)!r}: not available here"
        return open_device(name, problem, "device='cpu' trains on the CPU")
    if asked := os.environ.get(gpus.DEVICE):
        return open_device(asked, f"{gpus.DEVICE}={asked}: not available here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a driver that is too old: the error says the same
        if torch.cuda.is_available():
            return open_device("cuda", "the GPU cannot be used")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    if sign := gpus.find_sign_of_gpu():
        return open_device("cuda", f"{sign}, but torch cannot use a GPU")
    return torch.device("cpu")


def open_device(
    name: str, problem: str, way_out: str = f"{gpus.DEVICE}=cpu trains on the CPU"
) -> torch.device:
    """Return a device that torch can use; ``problem`` begins the error, ``way_out`` ends it."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        sentence, *_ = shorten(error).split(". ")
        raise DeviceError(f"{problem} ({sentence}); {way_out}") from None
    return device


def shorten(error: BaseException) -> str:
    """Return the first line of an error of torch; the other lines are for its developers."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, means that a device ran out of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
            return True
        error = error.__context__
    return False


def describe_setting(device: torch.device, precision: str) -> dict[str, str | int]:
    """Return what the numbers of a run depend on besides its spec, seed, code and images."""
    return {
        "device": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        # Empty for a GPU: by default, no GPU repeats its numbers exactly.
        "instructions": torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else "",
    }


def pick_precision(wanted: str, device: torch.device) -> str:
    """Return ``wanted``; for "auto", "bf16" where the hardware multiplies bfloat16, else "fp32".

    Nothing is timed, because a run's numbers must not depend on the load of the machine.
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
    """Turn TF32 off, and set whether a GPU must be deterministic, as a CPU always is."""
    if device.type != "cuda":
        return
    # cuBLAS is deterministic only with a workspace of fixed size; it reads this on first use.
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # This call imports ``torch._dynamo``, in seconds.
    if deterministic or torch.are_deterministic_algorithms_enabled():
        # Only warn: torch reports the backward of pools, which is exact here, as no pools overlap.
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
