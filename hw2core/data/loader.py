"""Feed batches of images that stay on the device and are augmented and normalised there."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hw2core.data.augment import NO_AUGMENTATION, Augmentation, Augmenter, Changes

GPU_IMAGES_AT_ONCE = 4096


class Loader:
    """Normalised batches of a whole uint8 data set that stays on the device.

    Iterating yields ``(x, y)``: x is float32 (B, 3, 32, 32), ``(image / 255 - mean) / std`` per
    channel, in channels_last memory format (contiguous on Apple's GPUs); y is int64 (B,).

    Without a seed, for evaluation, the images keep their order and the last batch may be short.
    With a seed, for training, each epoch has a new order and drops a short last batch, unless it is
    the only one. Order and augmentation depend only on the seed and the epoch, not on the device
    or the global generator: call ``set_epoch`` before each epoch, as with a ``DistributedSampler``.

    Args:
        images: uint8 (N, 32, 32, 3), N >= 1, or another height and width. They are copied, except
            on a CPU from a read-only array.
        labels: integers (N,).
        batch_size: images per batch, >= 1.
        mean, std: per channel, of images scaled to [0, 1]; std > 0.
        indices: integers (M,), M >= 1: only these images, in this order; None: all.
        seed: seed of the order and the augmentation; None: neither.
        augment: random changes of the images, which need a seed.
        device: where the images stay and the batches are made.
        images_at_once: images made in one step, which changes the speed only; None: a batch on a
            CPU, 4096 on a GPU.

    Raises:
        ValueError: an argument is out of range or of the wrong shape or type.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8] | Tensor,
        labels: npt.NDArray[np.integer] | Tensor,
        *,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        indices: npt.NDArray[np.integer] | None = None,
        seed: int | None = None,
        augment: Augmentation = NO_AUGMENTATION,
        device: torch.device | str = "cpu",
        images_at_once: int | None = None,
    ) -> None:
        pixels, classes = _hold(images), _hold(labels)
        chosen = torch.arange(len(pixels)) if indices is None else torch.from_numpy(indices)
        if (
            pixels.dtype != torch.uint8
            or pixels.ndim != 4
            or pixels.shape[3] != 3
            or not len(chosen)
        ):
            raise ValueError(
                f"images must be uint8 (N, 32, 32, 3) with N >= 1, "
                f"got {pixels.dtype} {(len(chosen), *pixels.shape[1:])}"
            )
        if classes.shape != pixels.shape[:1] or classes.is_floating_point():
            raise ValueError(
                f"labels must be integers ({len(pixels)},), "
                f"got {classes.dtype} {tuple(classes.shape)}"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean and std must be 3 numbers, std > 0, got {mean} and {std}")
        if seed is None and augment != NO_AUGMENTATION:
            raise ValueError(f"augmentation is random: seed must be an integer, got {augment}")

        self.batch_size = batch_size
        self._seed = seed
        self._epoch = 0
        height, width = pixels.shape[1:3]
        self._device = torch.device(device)
        on_cpu = self._device.type == "cpu"
        # A single batch fits into a CPU's cache. On a GPU, many images at a time make the time for
        # launching operations negligible.
        least = images_at_once or (1 if on_cpu else GPU_IMAGES_AT_ONCE)
        self._images_at_once = batch_size * max(1, least // batch_size)
        self._labels = classes[chosen].to(self._device, torch.int64)
        # On a CPU, the images stay in the memory-mapped file: copying them would take longer than
        # the first training steps.
        self._images = pixels if on_cpu else pixels[chosen].to(self._device)
        self._places = chosen if on_cpu else torch.arange(len(chosen), device=self._device)
        self._augmenter = Augmenter(
            augment,
            height=height,
            width=width,
            capacity=min(self._images_at_once, len(chosen)),
            device=self._device,
        )
        # x = image * scale + offset, each of the size of an image: long rows are vectorised.
        spread = torch.tensor(std, dtype=torch.float64)
        offset = -torch.tensor(mean, dtype=torch.float64) / spread
        ones = torch.ones(height, width, 3, device=self._device)
        self._scale = ones * (1 / (255 * spread)).to(ones)
        self._offset = ones * offset.to(ones)

    def __len__(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(len(self._labels), self.batch_size)
        return whole + bool(rest) if self._seed is None else max(1, whole)

    @property
    def num_images(self) -> int:
        """Images per epoch: all, except those of a dropped last batch."""
        return min(len(self._labels), len(self) * self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the iterations that follow."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of the epoch."""
        order, changes = self._draw_epoch()
        for start in range(0, self.num_images, self._images_at_once):
            part = slice(start, min(start + self._images_at_once, self.num_images))
            x, y = self._make_images(order[part], changes.select(part))
            yield from zip(*(torch.split(made, self.batch_size) for made in (x, y)), strict=True)

    def _draw_epoch(self) -> tuple[Tensor, Changes]:
        """Return the order (N,) of the images and their changes, in this order."""
        size = len(self._labels)
        if self._seed is None:
            return torch.arange(size, device=self._device), Changes()
        # Drawn on the CPU, where the stream is the same for every device.
        digest = hashlib.sha256(f"{self._seed},{self._epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        order = torch.randperm(size, generator=generator).to(self._device)
        return order, self._augmenter.draw(size, generator)

    def _make_images(self, order: Tensor, changes: Changes) -> tuple[Tensor, Tensor]:
        """Gather, augment and normalise some images, with their labels."""
        # Without a name for the gathered bytes (B, H, W, 3), their memory is free again at once.
        pixels = self._augmenter.move(self._images.index_select(0, self._places[order]), changes)
        x = pixels.to(torch.float32).mul_(self._scale).add_(self._offset)
        self._augmenter.blank(x, changes)
        labels = self._labels.index_select(0, order)
        x = x.permute(0, 3, 1, 2)  # (B, 3, H, W), in memory still NHWC
        return (x.contiguous() if self._device.type == "mps" else x), labels


def _hold(values: npt.NDArray[Any] | Tensor) -> Tensor:
    """Return ``values`` as a tensor that the caller cannot change: a copy where necessary."""
    if isinstance(values, Tensor):
        return values.clone()
    if values.flags.writeable:
        return torch.from_numpy(np.array(values))
    with warnings.catch_warnings():  # torch has no read-only tensors
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)
