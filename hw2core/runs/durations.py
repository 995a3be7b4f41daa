"""Estimates how long runs take, from their arithmetic and the times of finished runs."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hw2core.config.arithmetic import count_work
from hw2core.config.errors import ConfigError
from hw2core.config.spec import RunSpec
from hw2core.config.study import Study
from hw2core.gpu_share import estimate_gpu_percent
from hw2core.gpus import DEVICE
from hw2core.runs.environment import describe_environment
from hw2core.runs.files import ResultError, forget_others, read_run
from hw2core.runs.schema import Result

# It is unknown how many jobs a cluster runs at once.
ONE_BY_ONE = "one run after the other"
SECONDS_PER_JOB = 5  # to start the processes that train and evaluate a run, on an AMD EPYC
SECONDS_BEFORE = 2  # for the first batches of a run, which are slow
FORWARD_AND_BACKWARD = 3  # times the forward pass
LARGE = 1 << 40  # bytes of a GPU whose memory limits no share


class Rates(NamedTuple):
    """The speed of a device, or of one thread of a CPU."""

    source: str
    flops: float  # floating-point operations per second
    outputs: float  # outputs of layers per second, limited by memory bandwidth
    step: float  # minimum seconds of a training step
    norm: float = 1.75  # times the outputs of a convolution, with the normalisation that follows


# The rates of CPUs are fitted, by least relative error, to finished runs with one thread: 145 runs
# on an AMD EPYC, and 35 runs of 20 epochs on a shared Intel Xeon.
# In fp32 a run takes 2.5 times as long (bench/README.md, bench/train.py). Those of an H200 are
# fitted to four networks that had it for themselves (the same table), within 20 %. Those of an M3
# are not measured: a third of its published FLOP/s, and 40 bytes of memory bandwidth per output.
RATES = {
    "amx_bf16": Rates("rates measured on an Intel Xeon with AMX", 2.5e12, 0.53e9, 1e-3),
    "avx512_bf16": Rates("rates measured on an AMD EPYC with AVX512", 207e9, 0.85e9, 1e-3),
    "fp32": Rates("rates measured on an AMD EPYC in fp32", 83e9, 0.34e9, 5e-4),
    "cuda": Rates("rates measured on an NVIDIA H200", 8e14, 186e9, 3.4e-4, 6.0),
    "mps": Rates("the published rates of an Apple M3, not measured", 1e12, 2.5e9, 2e-3),
}


class Device(NamedTuple):
    """A device: its kind as in torch, the processor if it is a CPU, its fastest arithmetic."""

    kind: str
    processor: str
    arithmetic: str  # of RATES

    def made(self, result: Result) -> bool:
        """Return whether ``result`` was trained on this kind of device."""
        kind = result.environment.device.partition(":")[0]
        return kind == self.kind and (
            kind != "cpu" or result.environment.processor == self.processor
        )

    def __str__(self) -> str:
        return {"cpu": "this CPU", "mps": "this GPU"}.get(self.kind, "a GPU")


def find_device(*, has_gpu: bool) -> Device:
    """Return the device that will train, on this machine or on a cluster node with a GPU."""
    if has_gpu and os.environ.get(DEVICE) != "cpu":
        kind = "mps" if platform.system() == "Darwin" else "cuda"
        return Device(kind, "", kind)
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    fast = (name for name in ("amx_bf16", "avx512_bf16") if name in flags)
    return Device("cpu", str(describe_environment("cpu")["processor"]), next(fast, "fp32"))


def read_finished(study: Study) -> dict[tuple[str, int], Result]:
    """Return the results of a study that exist and can be read, by run and seed."""
    results = {}
    for experiment in study.experiments.values():
        for pair in experiment.pairs():
            with suppress(ResultError):
                results[pair] = read_run(*pair)
    return dict(zip(results, forget_others(results.values()), strict=True))


class Estimator:
    """Estimates seconds of runs on ``device`` with ``threads``, corrected by finished runs.

    The correction is the median of measured / estimated over the finished runs of the same model,
    or of all models if there is none.

    ``shares_gpu``: as many runs as fit train on a GPU at once, and each takes longer in proportion
    to its share. Of 49 runs on an H200, each took 0.15 to 0.76 times as long as expected so, and
    all together 6 minutes instead of 8.
    """

    def __init__(
        self, finished: Iterable[Result], device: Device, threads: int, *, shares_gpu: bool = False
    ) -> None:
        self._device = device
        self._threads = threads
        self._shares_gpu = shares_gpu
        measured = defaultdict(list)
        for result in finished:
            try:
                spec = RunSpec.from_config(result.config)
            except ConfigError:  # of an older version
                continue
            if device.made(result) and not result.same_as:
                expected = self._count_seconds(spec, result.environment.threads)
                measured[spec.model].append(result.timing.seconds / expected)
        self._num_finished = sum(map(len, measured.values()))
        self._corrections = {model: statistics.median(found) for model, found in measured.items()}
        everything = [ratio for found in measured.values() for ratio in found]
        self._correction = statistics.median(everything) if everything else 1.0

    def estimate(self, spec: RunSpec) -> float:
        """Return the seconds that training and evaluating a run take."""
        correction = self._corrections.get(spec.model, self._correction)
        return SECONDS_PER_JOB + correction * self._count_seconds(spec, self._threads)

    def describe(self, seconds: Iterable[tuple[float, float]], where: str = "") -> str:
        """Return in words how long jobs take together, and the source of the estimate.

        Args:
            seconds: for each job, its seconds and the share of the machine that it needs.
            where: where the jobs run, in words, if not on one device of this machine.
        """
        source = f"{self._num_finished} finished run{'s'[: self._num_finished > 1]}"
        if not self._num_finished:
            source = RATES[self._device.arithmetic].source
        pairs = list(seconds)
        if self._shares_gpu:  # too few runs to fill it are faster
            filled = min(1.0, sum(share for _, share in pairs))
            pairs = [(alone * filled, share / filled) for alone, share in pairs]
        total = format_seconds(add_up(pairs))
        return f"about {total} on {where or self._device} (from {source})"

    def _count_seconds(self, spec: RunSpec, threads: int) -> float:
        """Return the seconds of training according to the device's rates."""
        slow = spec.model == "mlp" or spec.training.precision == "fp32"
        cpu = self._device.kind == "cpu"
        rates = RATES["fp32" if cpu and slow else self._device.arithmetic]
        work = count_work(spec.architecture, spec.data.num_classes)
        norm = rates.norm if getattr(spec.architecture, "batchnorm", False) else 1
        forward = 2 * work.multiply_adds / rates.flops + norm * work.outputs / rates.outputs
        steps = math.ceil(spec.data.train / spec.training.batch_size)
        steps = min(steps, spec.training.batches or steps)
        trained = min(spec.data.train, steps * spec.training.batch_size)
        images = FORWARD_AND_BACKWARD * trained + spec.data.validation
        per_epoch = images * forward / (threads if cpu else 1) + steps * rates.step
        share = estimate_gpu_percent(spec, LARGE) / 100 if self._shares_gpu else 1
        return SECONDS_BEFORE + spec.training.epochs * per_epoch / share


def add_up(seconds: Iterable[tuple[float, float]]) -> float:
    """Return how long jobs take together, from pairs (seconds, share of the machine).

    Jobs run at once while their shares add up to at most 1; the total is at least the longest.
    """
    pairs = list(seconds)
    longest = max((alone for alone, _ in pairs), default=0.0)
    return max(longest, sum(alone * share for alone, share in pairs))


def format_seconds(seconds: float) -> str:
    """Return a time with at most two digits, such as 40 s, 12 min, 5 h, 2.5 days."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < limit * size:
            value = seconds / size
            return f"{value:.1f} {unit}" if unit == "h" and value < 3 else f"{value:.0f} {unit}"
    return f"{seconds / 86_400:.1f} days"
