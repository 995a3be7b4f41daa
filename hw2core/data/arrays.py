"""Hold, measure and check a data set in memory: labelled 32x32 RGB images."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IMAGE_SHAPE = (32, 32, 3)
MAX_CLASSES = 256  # labels are bytes

Bytes = npt.NDArray[np.uint8]


class Arrays(NamedTuple):
    """S source images, from which train and validation are drawn, T test images, class names."""

    train_images: Bytes  # (S, 32, 32, 3), NHWC
    train_labels: Bytes  # (S,), places in classes
    test_images: Bytes  # (T, 32, 32, 3)
    test_labels: Bytes  # (T,)
    classes: tuple[str, ...]


def measure_channels(images: Bytes) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel of (N, 32, 32, 3) bytes, scaled to [0, 1].

    They are computed from a histogram with exact integer sums, without a float copy of the images
    and with the same digits on every machine.
    """
    mean, std = [], []
    for channel in range(3):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 1000):
            values = images[start : start + 1000, :, :, channel].ravel()
            counts += np.bincount(values, minlength=256)
        number = int(counts.sum())
        first = sum(value * int(count) for value, count in enumerate(counts))
        second = sum(value * value * int(count) for value, count in enumerate(counts))
        mean.append(first / (255 * number))
        std.append(math.sqrt((number * second - first * first) / number**2) / 255)
    return mean, std


def check_arrays(arrays: Arrays) -> None:
    """Raise ValueError unless these are labelled 32x32 RGB images, as bytes."""
    for part in ("train", "test"):
        images, labels = getattr(arrays, f"{part}_images"), getattr(arrays, f"{part}_labels")
        if images.dtype != np.uint8 or images.shape[1:] != IMAGE_SHAPE or not len(images):
            raise ValueError(
                f"{part}_images must be uint8 (N, 32, 32, 3) with N >= 1, "
                f"got {images.dtype} {images.shape}"
            )
        if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{part}_labels must be uint8 ({len(images)},), got {labels.dtype} {labels.shape}"
            )
        if labels.max() >= len(arrays.classes):
            last = len(arrays.classes) - 1
            raise ValueError(
                f"{part}_labels must be places in classes, 0..{last}, got {labels.max()}"
            )
