"""Times contestants, prints tables, describes the machine and loads images for all benchmarks."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from hw2core.data.arrays import measure_channels
from hw2core.data.generated import generate_images
from hw2core.data.prepared import MANIFEST_FILE, PreparedData, load_prepared
from hw2core.engine.device import pick_device
from hw2core.runs.environment import (
    count_allotted_threads,
    describe_environment,
    use_large_pages,
)

ROOT = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "HW2_DATA"


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def summarize(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of one or more values."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def time_interleaved(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    repeats: int = 1,
    warmup: int = 1,
    device: torch.device | str = "cpu",
) -> dict[str, list[float]]:
    """Return the seconds per call of each contestant in each round.

    Contestants take turns within a round, in an order that rotates, so that other load on the
    machine slows all of them.

    Args:
        contestants: functions to time, by name.
        rounds: number of timed rounds.
        repeats: calls per contestant and round, of which the mean is taken.
        warmup: number of rounds before the timed ones.
        device: device to synchronize before the clock is read.
    """
    names = list(contestants)
    times: dict[str, list[float]] = {name: [] for name in names}
    for i in range(-warmup, rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            for _ in range(repeats):
                contestants[name]()
            wait_for(device)
            if i >= 0:
                times[name].append((time.perf_counter() - start) / repeats)
    return times


def wait_for(device: torch.device | str) -> None:
    """Wait until the device has finished all queued work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def add_data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(DATA_VARIABLE),
        help="folder of CIFAR-10, or of images that Snakemake has prepared (data/cifar10); "
        f"default: {DATA_VARIABLE} or, if unset, generated images",
    )


def load_images(root: Path | None, num_train: int, num_test: int = 1) -> PreparedData:
    """Return the images in ``root``, or generated images in these numbers without ``root``."""
    if root is not None and (manifest := root / MANIFEST_FILE).exists():
        return load_prepared(manifest)
    if root is None:
        arrays, name = generate_images(num_train, num_test), "generated images"
    else:
        from hw2core.data.cifar import read_cifar10  # imported here as it needs torchvision

        arrays, name = read_cifar10(root=root, download_dir=root), "CIFAR-10"
    mean, std = measure_channels(arrays.train_images)
    return PreparedData(
        *arrays[:4],
        name=name,
        sha256="",
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        classes=arrays.classes,
        source={},
        arrays={},
    )


def choose_device(name: str | None) -> torch.device:
    """Return a device by name or the best; a GPU becomes the one on which torch captures graphs."""
    device = pick_device(name)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def prepare_process() -> int:
    """Configure this process like that of a run, and return its number of threads."""
    use_large_pages()
    torch.set_num_threads(count_allotted_threads())
    return torch.get_num_threads()


def describe_machine(device: torch.device | str = "cpu") -> str:
    """Return the processor and the versions that the figures depend on."""
    facts = describe_environment(str(device))
    where = f"torch {torch.__version__}, Python {platform.python_version()}"
    if torch.device(device).type == "cuda":
        return f"{facts['processor']} ({count_allotted_threads()} CPU cores), {where}"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{facts['processor']} ({torch.get_num_threads()} threads, {capability}), {where}"


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table, with floats to three significant digits."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(show, row)) + " |")
    print(flush=True)


def show(value: object) -> str:
    """Return a value formatted for a table cell."""
    if isinstance(value, Spread):
        return f"{show(value.median)} ({show(value.low)}-{show(value.high)})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
