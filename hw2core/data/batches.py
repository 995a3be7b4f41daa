"""Batches of images that lie on the device, augmented there by batched tensor operations."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GPU_IMAGES_AT_ONCE = 4096


class _EpochPlan(NamedTuple):
    """What is drawn for an epoch, in the order in which its images are seen; None: not drawn."""

    order: Tensor  # (N,) indices
    flip: Tensor | None  # (N,) bool
    shift: Tensor | None  # (N, 2) rows down, columns right
    corner: Tensor | None  # (N, 2) first row and column of the cutout


class ResidentBatches:
    """Normalised batches of a whole uint8 set that stays on the device.

    Iterating yields ``(x, y)``: x float32 (B, 3, 32, 32) in channels_last memory,
    ``x = (image / 255 - mean) / std`` by channel, y int64 (B,). Order and augmentation are a pure
    function of ``seed`` and the epoch, the same on every device and whatever the global generator
    did: call ``set_epoch`` before each epoch, as with a ``DistributedSampler``.

    An augmented image is mirrored left to right with probability 1/2 (``flip``), then shifted by
    up to ``translate`` pixels along each axis, each shift equally likely, then loses a square of
    side ``cutout``, wholly inside it. What is shifted in or cut out is 0, the mean colour.

    Args:
        images: uint8 (N, 32, 32, 3), N >= 1; any height and width will do. They are copied, unless
            it is an array that nobody can write to and the batches are made on a CPU.
        labels: integers (N,).
        indices: integers (M,), M >= 1: only these images, in this order; None for all.
        batch_size: images in a batch, >= 1.
        mean: by channel, in units where 255 is 1.
        std: by channel, in the same units, > 0.
        device: where the set lies and the batches are made.
        shuffle: a new order in each epoch; without it that of ``images``.
        seed: of order and augmentation.
        drop_last: leave out a last batch of fewer images, unless it is the only one.
        flip: mirror images at random.
        translate: greatest shift in pixels, 0 for none, less than height and width.
        cutout: side of the square in pixels, 0 for none, at most height and width.
        images_at_once: images that are made at a time, which changes no image; None for a batch
            on a CPU and 4096 on a GPU.

    Raises:
        ValueError: an argument is out of its range or of the wrong shape or type.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8] | Tensor,
        labels: npt.NDArray[np.integer] | Tensor,
        *,
        indices: npt.NDArray[np.integer] | None = None,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        flip: bool = False,
        translate: int = 0,
        cutout: int = 0,
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
        side = min(pixels.shape[1:3])
        if not 0 <= translate < side:
            raise ValueError(f"translate must be in 0..{side - 1}, got {translate}")
        if not 0 <= cutout <= side:
            raise ValueError(f"cutout must be in 0..{side}, got {cutout}")

        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.flip = flip
        self.translate = translate
        self.cutout = cutout
        self.epoch = 0
        self._height, self._width = pixels.shape[1:3]
        self._device = torch.device(device)
        on_cpu = self._device.type == "cpu"
        # A CPU keeps a batch in its cache. A GPU is given so much at a time that launching the
        # operations takes no time beside them.
        least = images_at_once or (1 if on_cpu else GPU_IMAGES_AT_ONCE)
        self._images_at_once = batch_size * max(1, least // batch_size)
        self._labels = classes[chosen].to(self._device, torch.int64)
        # On a CPU images stay in the file that is mapped: copying them takes longer than the
        # first steps.
        self._images = pixels if on_cpu else pixels[chosen].to(self._device)
        self._places = chosen if on_cpu else torch.arange(len(chosen), device=self._device)
        # Images with room to shift them: (B, H + 2 translate, W + 2 translate, 3).
        room = min(self._images_at_once, len(chosen))
        padded = (room, *(side + 2 * translate for side in pixels.shape[1:3]), 3)
        self._padded = torch.zeros(padded, dtype=torch.uint8, device=self._device)
        # Every crop of them, as a view: (B, 2 translate + 1, 2 translate + 1, H, W, 3).
        crops = self._padded.unfold(1, self._height, 1).unfold(2, self._width, 1)
        self._crops = crops.permute(0, 1, 2, 4, 5, 3)
        self._rows = torch.arange(room, device=self._device)
        # x = image * scale + offset, held for a whole image: rows this long are vectorised.
        spread = torch.tensor(std, dtype=torch.float64)
        offset = -torch.tensor(mean, dtype=torch.float64) / spread
        ones = torch.ones(self._height, self._width, 3, device=self._device)
        self._scale = ones * (1 / (255 * spread)).to(ones)
        self._offset = ones * offset.to(ones)

    def __len__(self) -> int:
        """Batches an epoch."""
        size = len(self._labels)
        return max(1, size // self.batch_size) if self.drop_last else -(-size // self.batch_size)

    @property
    def num_images(self) -> int:
        """Images that an epoch yields: N, less those that ``drop_last`` leaves out."""
        return min(len(self._labels), len(self) * self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the iterations that follow."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the epoch's batches."""
        plan = self._draw_plan()
        for start in range(0, self.num_images, self._images_at_once):
            part = slice(start, min(start + self._images_at_once, self.num_images))
            rest = (drawn if drawn is None else drawn[part] for drawn in plan[1:])
            x, y = self._make_batch(_EpochPlan(plan.order[part], *rest))
            yield from zip(*(torch.split(held, self.batch_size) for held in (x, y)), strict=True)

    def _draw_plan(self) -> _EpochPlan:
        """Draw on the CPU, where the stream is the same for every device, and move at once."""
        digest = hashlib.sha256(f"{self.seed},{self.epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        size = len(self._labels)

        def draw(low: int, *highs: int) -> Tensor:
            columns = [torch.randint(low, high + 1, (size,), generator=generator) for high in highs]
            return torch.stack(columns, dim=1).to(self._device)

        order = torch.randperm(size, generator=generator) if self.shuffle else torch.arange(size)
        plan = _EpochPlan(order.to(self._device), None, None, None)
        if self.flip:
            plan = plan._replace(flip=draw(0, 1)[:, 0].bool())
        if self.translate:
            plan = plan._replace(shift=draw(-self.translate, self.translate, self.translate))
        if self.cutout:
            corner = draw(0, self._height - self.cutout, self._width - self.cutout)
            plan = plan._replace(corner=corner)
        return plan

    def _make_batch(self, plan: _EpochPlan) -> tuple[Tensor, Tensor]:
        """Gather, mirror, normalise and blank the images of one batch."""
        pixels = self._images.index_select(0, self._places[plan.order])  # (B, H, W, 3)
        if plan.shift is not None:
            down, right = plan.shift.unbind(1)
            # The crop is mirrored after it is taken: its shift is then the other way round.
            if plan.flip is not None:
                right = torch.where(plan.flip, -right, right)
            inside = slice(self.translate, -self.translate)
            self._padded[: len(pixels), inside, inside] = pixels
            rows = self._rows[: len(pixels)]
            pixels = self._crops[rows, self.translate - down, self.translate - right]
        if plan.flip is not None:
            # Sums of bytes, one of them 0: several times faster than torch.where on bytes.
            mirrored = plan.flip.to(torch.uint8)[:, None, None, None]
            pixels = pixels.flip(2).mul_(mirrored).add_(pixels * (1 - mirrored))
        x = pixels.to(torch.float32).mul_(self._scale).add_(self._offset)
        self._blank(x.view(*x.shape[:2], -1), plan)  # (B, H, 3 W)
        labels = self._labels.index_select(0, plan.order)
        return x.permute(0, 3, 1, 2), labels  # (B, 3, H, W), in memory still NHWC

    def _blank(self, x: Tensor, plan: _EpochPlan) -> None:
        """Set to 0, in (B, H, 3 W), what was shifted in or cut out."""
        row = torch.arange(self._height, device=self._device)
        column = torch.arange(3 * self._width, device=self._device) // 3
        if plan.shift is not None:
            down, right = plan.shift[:, :1], plan.shift[:, 1:]
            rows = (row >= down) & (row < self._height + down)  # (B, H)
            columns = (column >= right) & (column < self._width + right)  # (B, 3 W)
            x.mul_(rows[:, :, None].to(x.dtype)).mul_(columns[:, None, :].to(x.dtype))
        if plan.corner is not None:
            top, left = plan.corner[:, :1], plan.corner[:, 1:]
            rows = (row >= top) & (row < top + self.cutout)
            columns = (column >= left) & (column < left + self.cutout)
            x.mul_(1 - rows[:, :, None].to(x.dtype) * columns[:, None, :].to(x.dtype))


def _hold(values: npt.NDArray[Any] | Tensor) -> Tensor:
    """Return ``values`` as a tensor that the caller cannot change: a copy where there is need."""
    if isinstance(values, Tensor):
        return values.clone()
    if values.flags.writeable:
        return torch.from_numpy(np.array(values))
    with warnings.catch_warnings():  # torch knows no tensor that cannot be written to
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)
