"""Describes the machine and the software of a run: threads, processor, versions, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from pathlib import Path

from hw2core.errors import UserError, make_line
from hw2core.runs.imports import CHECKOUT, PACKAGE
from hw2core.runs.paths import COPIED_COMMIT
from hw2core.runs.values import WORD_SIGNS

SECONDS_TO_ANSWER = 10
# Environment variables that hold libraries to other numbers of threads, or to another precision or
# instruction set than a run has; some containers set them. They are read when torch is imported.
OVERRIDES = (
    "OMP_THREAD_LIMIT",
    "OMP_DYNAMIC",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
)
# Torch's own settings of products in fp32. ``prepare_device`` sets those of cuDNN's operations.
_PARTS = ("", "cuda.matmul.", "cudnn.", *(f"mkldnn.{x}" for x in ("", "conv.", "matmul.", "rnn.")))
PRECISIONS = tuple(f"backends.{part}fp32_precision" for part in _PARTS)
LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # environment variable of torch


def describe_environment(device: str) -> dict[str, object]:
    """Return the versions of packages, and the processor of ``device``."""
    return {
        # Replaces what the result's type would refuse, rather than lose a trained run.
        "processor": re.sub(f"[^{WORD_SIGNS}]", "?", name_processor(device))[:300],
        "versions": {
            "python": platform.python_version(),
            **{package: _find_version(package) for package in ("torch", "numpy")},
        },
    }


def name_processor(device: str) -> str:
    """Return the model name of the GPU, or of the CPU for every other device."""
    if device.startswith("cuda"):
        import torch  # only here: planning a study, which imports this module, needs no torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def read_commit(checkout: Path = CHECKOUT) -> str | None:
    """Return the commit, with "-dirty" when tracked files differ from it.

    It is None outside of git, in a folder that belongs to another repository, and where git does
    not answer, as on a network disk that is gone.

    In a copy of the code it is the commit of the checkout at the time of the copy.
    """
    if (copied := checkout / COPIED_COMMIT).exists():
        return copied.read_text(encoding="utf-8") or None
    describe = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        commit, added = (
            subprocess.run(
                ["git", *arguments],
                cwd=checkout,
                capture_output=True,
                text=True,
                check=True,
                timeout=SECONDS_TO_ANSWER,
            ).stdout.strip()
            for arguments in (describe, ("ls-files", "--", PACKAGE))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit if added else None


def count_allotted_threads() -> int:
    """Return the CPU cores this process may use: Slurm's allotment, else its affinity.

    ``os.cpu_count()`` also counts the cores of other jobs; threads beyond the allotment make a run
    several times slower.

    Raises:
        UserError: ``SLURM_CPUS_PER_TASK`` is not a whole number of at least 1.
    """
    if slurm := os.environ.get("SLURM_CPUS_PER_TASK"):
        if not slurm.isdecimal() or int(slurm) < 1:
            raise UserError(f"SLURM_CPUS_PER_TASK={slurm!r}: must be a whole number, at least 1")
        return int(slurm)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_large_pages() -> None:
    """Make torch allocate large blocks in pages of 2 MB; to be called before the first tensor.

    The system clears every page of each new block of 32 MB or more. With pages of 4 kB, this takes
    a quarter of the training time with 128 channels on a CPU. It has an effect only on Linux.
    """
    os.environ.setdefault(LARGE_PAGES, "1")


def drop_overrides() -> None:
    """Start this program again if its environment has any of ``OVERRIDES``.

    With fewer threads than it asked for, torch would wait for the others forever.
    """
    if found := [name for name in OVERRIDES if os.environ.pop(name, "")]:
        print(f"starting again without {' and '.join(found)}", file=sys.stderr)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def refuse_overrides() -> None:
    """Check that nothing in this process changes what torch computes, such as ``OVERRIDES``.

    Raises:
        UserError: something does.
    """
    import torch

    refuse_defaults()
    found = [f"{name}={os.environ[name]}" for name in OVERRIDES if os.environ.get(name)]
    for setting in PRECISIONS:
        if (value := attrgetter(setting)(torch)) not in ("none", "ieee"):
            found.append(f"torch.{setting} = {value!r}")
    modes = {
        "torch.autocast": any(map(torch.is_autocast_enabled, ("cpu", "cuda", "mps"))),
        "torch.inference_mode": torch.is_inference_mode_enabled(),
        "torch.no_grad or torch.set_grad_enabled(False)": not torch.is_grad_enabled(),
    }
    _refuse([*found, *(name for name, is_on in modes.items() if is_on)])


def refuse_defaults() -> None:
    """Check that new tensors are of float32 and on the CPU, unless asked for otherwise.

    Raises:
        UserError: they are not.
    """
    import torch

    found = []
    if (kind := torch.get_default_dtype()) != torch.float32:
        found.append(f"torch.set_default_dtype({kind})")
    if (device := torch.get_default_device()).type != "cpu":
        found.append(f"torch.set_default_device('{device}')")
    _refuse(found)


def _refuse(found: list[str]) -> None:
    if found:
        rule = "torch would wait for ever, or compute something else; start Python without"
        raise UserError(make_line(f"{', '.join(found)}: {rule}"))


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # built from source: no reason to lose a trained run
        return "unknown"
