"""Compare the speed of the study's loader with torchvision's data set and a DataLoader.

Each times an epoch of shuffled, normalised batches of 128 on the CPU, without and with augmentation
(flips and shifts by up to 4 pixels; in torchvision RandomHorizontalFlip and RandomCrop with padding
4), in interleaved rounds. Usage: python bench/loader.py [--images 20000] [--rounds 5] [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial

from measure import (
    add_data_option,
    describe_machine,
    load_images,
    prepare_process,
    print_table,
    summarize,
    time_interleaved,
)
from plain import make_plain_loader

from hw2core.data.augment import NO_AUGMENTATION, Augmentation
from hw2core.data.loader import Loader

BATCH_SIZE = 128
OURS = "hw2core, resident"
AUGMENTATIONS = {
    "none": NO_AUGMENTATION,
    "flip, translate 4": Augmentation(flip=True, translate=4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time an epoch of batches without training.")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--quick", action="store_true", help="smoke test: few images, one round")
    add_data_option(parser)
    args = parser.parse_args()
    if args.quick:
        args.images, args.rounds = 512, 1
    prepare_process()
    data = load_images(args.data, args.images)
    images, labels = data.train_images[: args.images], data.train_labels[: args.images]

    print(
        f"{len(labels)} {data.name}, batches of {BATCH_SIZE}, {args.rounds} interleaved rounds.\n"
        f"{describe_machine()}\n"
    )
    rows: list[list[object]] = []
    for title, augment in AUGMENTATIONS.items():
        ours = Loader(
            images,
            labels,
            batch_size=BATCH_SIZE,
            mean=data.mean,
            std=data.std,
            seed=0,
            augment=augment,
        )
        epochs: dict[str, Callable[[], object]] = {OURS: partial(exhaust, ours)}
        for workers in args.workers:
            loader = make_plain_loader(
                data, len(labels), batch_size=BATCH_SIZE, workers=workers, augment=augment
            )
            name = f"torchvision, {workers} workers"
            epochs[name] = partial(exhaust, loader)
        times = time_interleaved(epochs, args.rounds)
        seconds = {name: summarize(values) for name, values in times.items()}
        for name, spread in seconds.items():
            speed = summarize([ours.num_images / value for value in times[name]])
            rows.append([title, name, speed, spread.median / seconds[OURS].median])
    print_table(["augmentation", "batches", "images/s (quartiles)", "time / ours"], rows)


def exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


if __name__ == "__main__":
    main()
