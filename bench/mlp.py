"""Compare the speed of hand-written layers with autograd and torch.optim on one MLP training step.

One step is zero_grad, forward, loss, backward and MomentumSGD with L2 regularisation on the MLP
3072-512-512-10, batch size 128, float32, on the CPU. Contestants take turns within each round, in
an order that rotates, so that other load on the machine slows all of them; the table shows medians
over the rounds. Usage: python bench/mlp.py [--rounds 60]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable

import torch
from measure import describe_machine, summarize, time_interleaved
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
        return float(loss)

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
        return float(loss)

    return step


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
        times = time_interleaved(steps, args.rounds, repeats=args.repeats, warmup=3)
        millis = {name: summarize([1e3 * t for t in values]) for name, values in times.items()}
        medians = {name: spread.median for name, spread in millis.items()}
        for name, (median, low, high) in millis.items():
            ratio = median / medians[OURS]
            print(f"| {threads} | {name} | {median:.2f} | {low:.2f}-{high:.2f} | {ratio:.2f} |")
        fastest = min(TORCH_VARIANTS, key=medians.__getitem__)
        ratio = medians[fastest] / medians[OURS]
        summaries.append(f"{threads} thread(s): {ratio:.2f}x the speed of {fastest}")
    print("\n" + "\n".join(summaries))


if __name__ == "__main__":
    main()
