"""One training step of an MLP: the hand-written layers against autograd and torch.optim.

Question: does the hand-written half cost speed? One step is zero_grad, forward, loss, backward and
MomentumSGD with L2 regularisation on MLP 3072-512-512-10, batch 128, float32, on the CPU. The
contestants take turns within each round, in an order that rotates, so that a noisy neighbour slows
all of them; the figure is the median over the rounds. Usage: python bench/mlp.py [--rounds 60]
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hw2core.layers import MLP, CrossEntropyLoss
from hw2core.optimizers import MomentumSGD

FEATURES, HIDDEN, CLASSES, BATCH = 3072, [512, 512], 10, 128
LEARN_RATE, REG, MOMENTUM = 1e-3, 1e-4, 0.9
OURS = "hw2core, by hand"
TORCH_VARIANTS: dict[str, dict[str, bool]] = {
    "autograd + SGD (default)": {},
    "autograd + SGD (foreach)": {"foreach": True},
    "autograd + SGD (fused)": {"fused": True},
}


def make_our_step(x: torch.Tensor, y: torch.Tensor) -> Callable[[], float]:
    model, loss_fn = MLP(FEATURES, CLASSES, HIDDEN, wstd=0.02), CrossEntropyLoss()
    optimizer = MomentumSGD(model.params(), LEARN_RATE, REG, MOMENTUM)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        model.accumulate_gradients(loss_fn.backward())
        optimizer.step()
        return loss.item()

    return step


def make_torch_step(
    x: torch.Tensor, y: torch.Tensor, options: dict[str, bool]
) -> Callable[[], float]:
    widths = [FEATURES, *HIDDEN]
    hidden = [
        layer
        for n_in, n_out in itertools.pairwise(widths)
        for layer in (nn.Linear(n_in, n_out), nn.ReLU())
    ]
    model, loss_fn = nn.Sequential(*hidden, nn.Linear(widths[-1], CLASSES)), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(), LEARN_RATE, momentum=MOMENTUM, weight_decay=REG, **options
    )

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def time_interleaved(
    steps: dict[str, Callable[[], float]], rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Return, per contestant, the milliseconds of a step in each round (mean of ``repeats``)."""
    names = list(steps)
    times: dict[str, list[float]] = {name: [] for name in names}
    for i in range(-3, rounds):  # the first three rounds warm up and are not kept
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            for _ in range(repeats):
                steps[name]()
            if i >= 0:
                times[name].append((time.perf_counter() - start) / repeats * 1e3)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="Time one training step of an MLP.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5, help="steps per contestant and round")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()

    torch.manual_seed(0)
    x, y = torch.randn(BATCH, FEATURES), torch.randint(CLASSES, (BATCH,))
    steps = {OURS: make_our_step(x, y)}
    steps |= {name: make_torch_step(x, y, options) for name, options in TORCH_VARIANTS.items()}

    print(
        f"MLP {'-'.join(map(str, [FEATURES, *HIDDEN, CLASSES]))}, batch {BATCH}, float32: "
        f"{args.rounds} interleaved rounds of {args.repeats} steps.\n"
        f"{describe_machine()}\n\n"
        "| threads | step | median ms | quartiles ms | time / ours |\n|---|---|---|---|---|"
    )
    summaries = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        times = time_interleaved(steps, args.rounds, args.repeats)
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, values in times.items():
            low, _, high = statistics.quantiles(values, n=4)
            ratio = medians[name] / medians[OURS]
            print(
                f"| {threads} | {name} | {medians[name]:.2f} | {low:.2f}-{high:.2f} | {ratio:.2f} |"
            )
        fastest = min(TORCH_VARIANTS, key=medians.__getitem__)
        ratio = medians[fastest] / medians[OURS]
        summaries.append(f"{threads} thread(s): {ratio:.2f}x the speed of {fastest}")
    print("\n" + "\n".join(summaries))


def describe_machine() -> str:
    """Name the processor and the versions that the figures belong to."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        cpu = platform.processor() or "unknown processor"
    return (
        f"{cpu}, {torch.backends.cpu.get_cpu_capability()}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
