"""Compare the accuracy of fast and plain training.

Fast: as in the study, in the device's fastest precision (bf16 where it is fast), channels last, and
on a GPU with one CUDA graph per step. Plain: fp32, the network's own memory layout, eager. Both use
the same seeds, so they have the same initial weights and the same images in the same order. The
validation accuracy after the last epoch is compared, because the best of all epochs would favour
noise. The confidence interval is Student's t interval of the paired differences between seeds.
Usage: python bench/precision.py [--runs NAME ...] [--seeds 0 1 2] [--images 20000] [--epochs 20]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Sequence
from unittest import mock

import torch
from measure import (
    add_data_option,
    choose_device,
    describe_machine,
    load_images,
    prepare_process,
    print_table,
)
from plain import build_network

from hw2core.analysis.statistics import compare_pairs
from hw2core.config.reading import read_config
from hw2core.config.spec import RunSpec
from hw2core.config.study import STUDY_FILE, load_study
from hw2core.engine.run import train_run
from hw2core.engine.torch_trainer import DeviceTrainer

RUNS = ("exp1_1_L4_K32", "exp1_4_L8_K32", "exp2_L3_K32-64-128")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare accuracies of two ways to train.")
    parser.add_argument("--runs", nargs="+", default=RUNS, help="runs of config.yaml except part 2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=20_000, help="training images")
    parser.add_argument("--validation", type=int, default=6_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--device", help="default: the best available")
    parser.add_argument("--quick", action="store_true", help="smoke test: few images, one round")
    add_data_option(parser)
    args = parser.parse_args()
    if len(args.seeds) < 2:
        parser.error("argument --seeds: a spread needs two seeds or more")
    if args.quick:
        args.runs, args.seeds, args.data = RUNS[:1], [0, 1], None
        args.images, args.validation, args.epochs = 300, 100, 1
    device = choose_device(args.device)
    prepare_process()
    data = load_images(args.data, args.images + args.validation)
    study = load_study(read_config(STUDY_FILE))
    accuracies: dict[tuple[str, str], list[float]] = {}
    sizes = {"train": args.images, "validation": args.validation}
    for run, seed in itertools.product(args.runs, args.seeds):
        spec = study.runs[run]
        training = spec.training.model_copy(update={"epochs": args.epochs})
        images = spec.data.model_copy(update=sizes)
        spec = spec.model_copy(update={"training": training, "data": images})
        for way, build in (("fast", DeviceTrainer.of), ("plain", build_plain_trainer)):
            with mock.patch.object(DeviceTrainer, "of", build):
                history = train_run(spec, seed, data, device=str(device)).history
            accuracies.setdefault((run, way), []).append(history.test_acc[-1])
    print(
        f"{args.images} {data.name}, {args.epochs} epochs, seeds {args.seeds}; validation accuracy "
        f"on {args.validation} after the last.\n{describe_machine(device)}\n"
    )
    print_comparison(args.runs, accuracies)


def build_plain_trainer(spec: RunSpec, device: torch.device, num_steps: int) -> DeviceTrainer:
    """Return a trainer of the same recipe in fp32, eager, in the network's own memory layout."""
    training = spec.training.model_copy(update={"precision": "fp32"})
    return DeviceTrainer(build_network(spec).to(device), training, num_steps, device)


def print_comparison(runs: Sequence[str], accuracies: dict[tuple[str, str], list[float]]) -> None:
    """Print both accuracies with their spread over the seeds, and the paired difference."""
    rows = []
    for run in runs:
        fast, plain = accuracies[run, "fast"], accuracies[run, "plain"]
        difference = compare_pairs([a - b for a, b in zip(fast, plain, strict=True)])
        means = [
            f"{statistics.fmean(way):.2f} ± {statistics.stdev(way):.2f}" for way in (fast, plain)
        ]
        rows.append(
            [
                run,
                *means,
                f"{difference.value:+.2f}",
                f"{difference.low:+.2f} to {difference.high:+.2f}",
                "NO" if difference.low > 0 or difference.high < 0 else "yes",
            ]
        )
    head = ["run", "fast, % ± sd", "plain, % ± sd", "fast - plain", "95 % interval", "contains 0"]
    print_table(head, rows)


if __name__ == "__main__":
    main()
