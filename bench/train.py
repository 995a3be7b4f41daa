"""Compare the study's training speed with a plain loop and with the hardware's limit.

For each run, times an epoch as the study trains it (images stay on the device, the device's fastest
precision, on a GPU one CUDA graph per step) and an epoch of the plain loop in plain.py (torchvision
data set and transforms, DataLoader, fp32, eager, ``.item()`` after each step) with the same
network, optimizer and augmentation, in a separate process. They take turns. roofline.py defines the
limit (the roof).
Usage: python bench/train.py [--runs NAME ...] [--images N] [--rounds 5] [--profile] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from measure import (
    add_data_option,
    choose_device,
    describe_machine,
    load_images,
    prepare_process,
    print_table,
    summarize,
    time_interleaved,
)
from plain import PlainJob, build_network, start_plain_process
from roofline import Rates, find_roof, measure_rates

from hw2core.config.architectures import IN_SIZE
from hw2core.config.reading import read_config
from hw2core.config.spec import RunSpec
from hw2core.config.study import STUDY_FILE, load_study
from hw2core.data.augment import Augmentation
from hw2core.data.loader import Loader
from hw2core.data.prepared import PreparedData
from hw2core.engine.device import prepare_device
from hw2core.engine.torch_trainer import DeviceTrainer

RUNS = (
    "exp1_1_L2_K32",
    "exp1_1_L16_K64",
    "exp1_2_L8_K256",
    "exp1_3_L2_K64-128-256",
    "exp2_L12_K32-64-128",
)
OURS, PLAIN = "hw2core", "plain"
PROFILED_KERNELS = 15


def main() -> None:
    args = parse_arguments()
    device = choose_device(args.device)
    prepare_device(device, deterministic=False)
    prepare_process()
    num_images = args.images or (20_000 if device.type == "cuda" else 1_024)
    data = load_images(args.data, num_images)
    runs = load_study(read_config(STUDY_FILE)).runs
    specs = [prepare_spec(runs[name], args.no_augment) for name in args.runs]

    print(
        f"{num_images} {data.name} per epoch, {args.rounds} interleaved rounds, augmentation "
        f"{'off' if args.no_augment else 'on'} on both sides, {args.workers} workers.\n"
        f"{describe_machine(device)}\n"
    )
    if args.profile:
        for spec in specs:
            print_profile(spec, data, num_images, device)
        return
    rates: dict[str, Rates] = {}
    speeds, roofs = [], []
    for spec in specs:
        trainer, ours = make_ours(spec, data, num_images, device)
        job = PlainJob(spec, args.data, num_images, args.workers, str(device))
        with start_plain_process(job) as train_plainly:
            contestants: dict[str, Callable[[], object]] = {
                OURS: partial(trainer.train_epoch, ours),
                PLAIN: train_plainly,
            }
            times = time_interleaved(contestants, args.rounds, device=device)
        seen = ours.num_images
        medians = {name: summarize(values).median / seen for name, values in times.items()}
        for name, values in times.items():
            speed = summarize([seen / value for value in values])
            epoch = medians[name] * spec.data.train
            speeds.append([spec.name, name, speed, epoch, medians[name] / medians[OURS]])
        precision = trainer.precision
        if precision not in rates:
            rates[precision] = measure_rates(device, precision, quick=args.quick)
        batch_size = spec.training.batch_size
        roof = find_roof(build_network(spec), IN_SIZE, batch_size, rates[precision], precision)
        micros = [1e6 * t for t in (medians[OURS], roof.arithmetic, roof.traffic, roof.by_layer)]
        times_roof = [medians[OURS] / roof.seconds, medians[OURS] / roof.by_layer]
        roofs.append([spec.name, precision, *micros, *times_roof])

    epoch_images = specs[0].data.train
    print_table(
        ["run", "way", "images/s (quartiles)", f"s per epoch of {epoch_images:,}", "time / ours"],
        speeds,
    )
    for precision, rate in rates.items():
        print(f"{precision}: {rate.flops / 1e12:.3g} TFLOP/s, {rate.bytes / 1e9:.3g} GB/s measured")
    print("\nMicroseconds per image:\n")
    head = ["run", "precision", "measured", "arithmetic", "traffic", "by layer"]
    print_table([*head, "measured / roof", "measured / by layer"], roofs)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time training epochs of the study's runs.")
    parser.add_argument("--runs", nargs="+", default=RUNS, help="runs of config.yaml except part 2")
    parser.add_argument("--images", type=int, help="per epoch; default 20,000 on a GPU, else 1,024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", help="default: the best available")
    parser.add_argument("--workers", type=int, default=0, help="of the plain loop's DataLoader")
    parser.add_argument("--no-augment", action="store_true", help="no augmentation on either side")
    parser.add_argument("--profile", action="store_true", help="show where an epoch spends time")
    parser.add_argument("--quick", action="store_true", help="smoke test: one small run")
    add_data_option(parser)
    args = parser.parse_args()
    if args.quick:
        args.runs, args.images, args.rounds = ["exp1_1_L2_K32"], 256, 1
    return args


def prepare_spec(spec: RunSpec, no_augment: bool) -> RunSpec:
    """Return the run, without its augmentation if ``no_augment``."""
    if not no_augment:
        return spec
    training = spec.training.model_copy(update={"flip": False, "translate": 0, "cutout": 0})
    return spec.model_copy(update={"training": training})


def make_ours(
    spec: RunSpec, data: PreparedData, num_images: int, device: torch.device
) -> tuple[DeviceTrainer, Loader]:
    """Return the study's trainer for a run, and batches of the first ``num_images`` images."""
    training = spec.training
    batches = Loader(
        data.train_images[:num_images],
        data.train_labels[:num_images],
        batch_size=training.batch_size,
        mean=data.mean,
        std=data.std,
        seed=0,
        augment=Augmentation(training.flip, training.translate, training.cutout),
        device=device,
    )
    # With a long schedule the learning rate stays small; it does not affect speed.
    return DeviceTrainer.of(spec, device, num_steps=10_000), batches


def print_profile(spec: RunSpec, data: PreparedData, num_images: int, device: torch.device) -> None:
    """Print where an epoch spends its time, after one warm-up epoch."""
    from torch.profiler import ProfilerActivity, profile

    trainer, batches = make_ours(spec, data, num_images, device)
    trainer.train_epoch(batches)
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        trainer.train_epoch(batches)
    print(f"{spec.name}: {trainer.images_per_second:,.0f} images/s under the profiler")
    order = f"self_{device.type}_time_total"
    print(profiler.key_averages().table(sort_by=order, row_limit=PROFILED_KERNELS))


if __name__ == "__main__":
    main()
