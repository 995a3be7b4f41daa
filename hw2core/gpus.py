"""Finds the GPU that this process may use, without importing torch."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hw2core.errors import UserError, make_line

# Environment variables.
DEVICE = "HW2_DEVICE"  # the device of all jobs, such as cpu; by default the best of the machine
CUDA_GRAPH = "HW2_CUDA_GRAPH"  # a value that begins with 0 turns CUDA graphs off
VISIBLE = "CUDA_VISIBLE_DEVICES"
# Of the devices that torch names, those that train. Others hold no numbers (meta), or need packages
# that this project has not; cpu:7 is cpu.
TRAINS = re.compile(r"cpu|mps|(cuda|xpu)(:\d{1,3})?")
# What VISIBLE may begin with; anything else, such as -1 or Slurm's NoDevFiles, hides all GPUs.
NAMES_A_GPU = re.compile(r"\s*(\d+|GPU-[^,\s]*|MIG-[^,\s]*)\s*(,|$)")
UNKNOWN = 1  # bytes of a GPU of unknown memory, so that every run needs all of it
QUERY = ("nvidia-smi", "--query-gpu=uuid,memory.total,mig.mode.current")
SECONDS_TO_ANSWER = 5.0


class Gpu(NamedTuple):
    """A GPU of this machine; ``memory`` in bytes."""

    uuid: str
    memory: int


def check_device(name: object = None) -> None:
    """Check that a device can train: ``name``, or without one that of HW2_DEVICE, if there is one.

    Raises:
        UserError: it cannot on any machine; whether it can on this one is for torch to say.
    """
    asked = str(name or os.environ.get(DEVICE) or "cpu")
    if not TRAINS.fullmatch(asked):
        line = f"{'device' if name else DEVICE}={asked}: must be cpu, mps, cuda or xpu, or cuda:0"
        raise UserError(make_line(line))


def measure_gpu_memory() -> int:
    """Return the bytes of the GPU that torch can train on (CUDA, or Apple's); 0 for none.

    CUDA_VISIBLE_DEVICES selects the GPU; if several remain, the smallest memory counts. A GPU of
    unknown memory, or divided by MIG, counts as 1 byte, so that runs take turns. If nvidia-smi does
    not answer, a warning is printed on standard error.

    Raises:
        UserError: HW2_DEVICE names no device that can train.
    """
    check_device()
    if os.environ.get(DEVICE) == "cpu":
        return 0
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    visible = os.environ.get(VISIBLE)
    named = NAMES_A_GPU.match(visible or "")
    if visible is not None and not named:
        return 0
    try:
        gpus = list_gpus()
    except TimeoutError as error:
        print(f"{error}; runs are planned as if there were no GPU", file=sys.stderr)
        gpus = []
    if not named:
        return min((gpu.memory for gpu in gpus), default=0)
    return min((gpu.memory for gpu in select_gpus(gpus, named[1])), default=UNKNOWN)


def select_gpus(gpus: list[Gpu], name: str) -> list[Gpu]:
    """Return the GPUs that an entry of CUDA_VISIBLE_DEVICES may refer to."""
    if not name.isdecimal():
        return [gpu for gpu in gpus if gpu.uuid.startswith(name)]
    # By default, CUDA numbers GPUs from the fastest, and nvidia-smi by position on the bus.
    by_bus = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return gpus[int(name) : int(name) + 1] if by_bus else gpus


def find_sign_of_gpu() -> str | None:
    """Return the evidence for an NVIDIA GPU as a clause; None if there is no evidence."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return f"{VISIBLE} is {visible}" if NAMES_A_GPU.match(visible) else None
    try:
        gpus = list_gpus()
    except TimeoutError as error:
        return str(error)
    if gpus:
        return f"nvidia-smi lists {gpus[0].uuid}"
    # nvidia-smi also fails if the driver does not work.
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    return f"there is {devices[0]}" if devices else None


def list_gpus() -> list[Gpu]:
    """Ask nvidia-smi for the GPUs of this machine; return none if it is not installed.

    Raises:
        TimeoutError: it does not answer.
    """
    command = [*QUERY, "--format=csv,noheader,nounits"]
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
    except OSError:
        return []
    try:
        output, _ = process.communicate(timeout=SECONDS_TO_ANSWER)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # inside the driver it cannot be killed
            process.wait(1)
        raise TimeoutError(
            f"nvidia-smi does not answer within {SECONDS_TO_ANSWER:g} seconds"
        ) from None
    finally:
        if process.stdout:
            process.stdout.close()
    lines = (line.split(", ") for line in output.splitlines() if line.startswith("GPU-"))
    lines = (line for line in lines if len(line) == 3)
    return [
        Gpu(uuid, int(memory) << 20 if memory.isdecimal() and mig != "Enabled" else UNKNOWN)
        for uuid, memory, mig in lines
    ]
