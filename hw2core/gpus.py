"""Finds the GPUs that jobs may use, without importing torch."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from hw2core.errors import UserError, make_line

# Environment variables.
DEVICE = "HW2_DEVICE"  # the device of all jobs, such as cpu; by default the best of the machine
CUDA_GRAPH = "HW2_CUDA_GRAPH"  # 0 turns CUDA graphs off; a job appends the reason if it does so
VISIBLE = "CUDA_VISIBLE_DEVICES"
# Of the devices that torch names, those that train. Others hold no numbers (meta), or need packages
# that this project has not; cpu:7 is cpu.
TRAINS = re.compile(r"cpu|mps|(cuda|xpu)(:\d{1,3})?")
GRAPHS = re.compile(r"[01]?|0 \(.*\)")
# What VISIBLE may begin with; anything else, such as -1 or Slurm's NoDevFiles, hides all GPUs.
NAMES_A_GPU = re.compile(r"\s*(\d+|GPU-[^,\s]*|MIG-[^,\s]*)\s*(,|$)")
UNKNOWN = 1  # bytes of a GPU of unknown memory, so that every run needs all of it
QUERY = ("--query-gpu=uuid,memory.total,mig.mode.current", "--format=csv,noheader,nounits")
SECONDS_TO_ANSWER = 5.0


class Gpu(NamedTuple):
    """A GPU that a job can be given, or an instance of one that MIG divides.

    ``name`` is what CUDA_VISIBLE_DEVICES calls it: its UUID, or the number given there where CUDA
    and nvidia-smi may count in different orders. It is "" where a job cannot be given another.
    ``memory`` is in bytes.
    """

    name: str
    memory: int


def check_device(name: object = None) -> None:
    """Check that a device can train: ``name``, or without one that of HW2_DEVICE, if there is one.

    Raises:
        UserError: it cannot on any machine; whether it can on this one is for torch to say. Or
            HW2_CUDA_GRAPH is neither 0 nor 1.
    """
    asked = str(name or os.environ.get(DEVICE) or "cpu")
    if not TRAINS.fullmatch(asked):
        line = f"{'device' if name else DEVICE}={asked}: must be cpu, mps, cuda or xpu, or cuda:0"
        raise UserError(make_line(line))
    if not GRAPHS.fullmatch(graph := os.environ.get(CUDA_GRAPH, "")):
        raise UserError(make_line(f"{CUDA_GRAPH}={graph}: must be 0 (no CUDA graphs) or 1"))


def find_gpus() -> list[Gpu]:
    """Return the GPUs that jobs may train on; CUDA_VISIBLE_DEVICES limits them.

    If nvidia-smi does not answer, a warning is printed on standard error.

    Raises:
        UserError: HW2_DEVICE names no device that can train, or HW2_CUDA_GRAPH is wrong.
    """
    check_device()
    device = os.environ.get(DEVICE) or "cuda"
    if device == "cpu":
        return []
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return [Gpu("", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    visible = os.environ.get(VISIBLE)
    names = [name.strip() for name in (visible or "").split(",")]
    names = list(takewhile(NAMES_A_GPU.match, names))  # as CUDA reads it
    if visible is not None and not names:
        return []
    try:
        gpus = list_gpus()
    except TimeoutError as error:
        print(f"{error}; runs are planned as if there were no GPU", file=sys.stderr)
        gpus = []
    gpus = [select_gpu(gpus, name) for name in _keep_present(names, gpus)] or gpus
    if device != "cuda":  # such as cuda:1
        return [Gpu("", min(gpu.memory for gpu in gpus))] if gpus else []
    return gpus


def _keep_present(names: list[str], gpus: list[Gpu]) -> list[str]:
    """Return the names before the first number that no GPU has, as CUDA does; at least one name.

    Alone, such a name makes jobs fail, since torch then finds no GPU.
    """
    if not gpus or any(gpu.name.startswith("MIG-") for gpu in gpus):
        return names
    present = takewhile(lambda name: not name.isdecimal() or int(name) < len(gpus), names)
    return list(present) or names[:1]


def measure_gpu_memory(gpus: list[Gpu]) -> int:
    """Return the smallest memory of ``gpus`` in bytes; 0 for none.

    A GPU of unknown memory, or an instance of one that MIG divides, counts as 1 byte, so that runs
    take turns.
    """
    return min((gpu.memory for gpu in gpus), default=0)


def select_gpu(gpus: list[Gpu], name: str) -> Gpu:
    """Return the GPU that an entry of CUDA_VISIBLE_DEVICES refers to."""
    found = [gpu for gpu in gpus if gpu.name.startswith(name)]
    if name.isdecimal():
        # By default, CUDA numbers GPUs from the fastest, and nvidia-smi by position on the bus.
        # Instances have no numbers of their own.
        by_bus = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        divided = any(gpu.name.startswith("MIG-") for gpu in gpus)
        numbered = gpus[int(name) : int(name) + 1]
        found = numbered if by_bus and not divided else numbered and gpus
    if len(found) == 1:
        return found[0]
    return Gpu(name, min((gpu.memory for gpu in found), default=UNKNOWN))


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
        return f"nvidia-smi lists {gpus[0].name}"
    # nvidia-smi also fails if the driver does not work.
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    return f"there is {devices[0]}" if devices else None


def list_gpus() -> list[Gpu]:
    """Ask nvidia-smi for the GPUs of this machine; return none if it is not installed.

    Raises:
        TimeoutError: it does not answer.
    """
    gpus = []
    for line in ask_driver(*QUERY).splitlines():
        uuid, memory, mig = [*line.split(", "), "", ""][:3]
        if not uuid.startswith("GPU-"):
            continue
        if mig == "Enabled":
            instances = find_instances(uuid)
            gpus += [Gpu(name, UNKNOWN) for name in instances or [uuid]]
        else:
            megabytes = int(memory) if memory.isdecimal() else 0
            gpus.append(Gpu(uuid, megabytes << 20 or UNKNOWN))
    return gpus


def find_instances(uuid: str) -> list[str]:
    """Return the UUIDs of the instances that MIG divides a GPU into."""
    _, _, after = ask_driver("-L").partition(f"(UUID: {uuid})")
    return re.findall(r"\(UUID: (MIG-[^)]+)\)", after.partition("\nGPU ")[0])


def ask_driver(*arguments: str) -> str:
    """Return what nvidia-smi prints; nothing where there is no such program.

    Raises:
        TimeoutError: it does not answer.
    """
    try:
        process = subprocess.Popen(
            ["nvidia-smi", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return ""
    assert process.stdout
    with process.stdout as output:
        try:
            process.wait(SECONDS_TO_ANSWER)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # inside the driver it cannot be killed
                process.wait(1)
            raise TimeoutError(
                f"nvidia-smi does not answer within {SECONDS_TO_ANSWER:g} seconds"
            ) from None
        # Not up to the end of the pipe: a program that it started may keep that open.
        os.set_blocking(output.fileno(), False)
        return (output.read() or b"").decode(errors="replace")
