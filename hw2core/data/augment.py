"""Augment batches of images at random: flip, translate and cut out a square of each image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Augmentation(NamedTuple):
    """The random changes of the training images, drawn for each image in each epoch.

    An image is mirrored left to right with probability 1/2, then shifted along each axis, then a
    square is cut out. Pixels that are shifted in or cut out become 0, the mean colour.
    """

    flip: bool = False  # mirror at random
    translate: int = 0  # largest shift in pixels, every shift equally likely; 0: none
    cutout: int = 0  # side in pixels of the square, placed inside the image; 0: none


NO_AUGMENTATION = Augmentation()


class Changes(NamedTuple):
    """The random changes of N images; None: not drawn."""

    flip: Tensor | None = None  # (N,) bool
    shift: Tensor | None = None  # (N, 2) rows down, columns right
    corner: Tensor | None = None  # (N, 2) first row and column of the cutout

    def select(self, part: slice) -> Changes:
        """Return the changes of some of the images."""
        return Changes(*(drawn if drawn is None else drawn[part] for drawn in self))


class Augmenter:
    """Draws the random changes and applies them to images (B, height, width, 3) on the device.

    B is at most ``capacity``.

    Raises:
        ValueError: translate reaches the smaller side of the images, or cutout exceeds it.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        *,
        height: int,
        width: int,
        capacity: int,
        device: torch.device,
    ) -> None:
        self._flip, self._translate, self._cutout = augmentation
        side = min(height, width)
        if not 0 <= self._translate < side:
            raise ValueError(f"translate must be in 0..{side - 1}, got {self._translate}")
        if not 0 <= self._cutout <= side:
            raise ValueError(f"cutout must be in 0..{side}, got {self._cutout}")
        self._height, self._width, self._device = height, width, device
        # Images with room to shift them: (B, H + 2 translate, W + 2 translate, 3).
        padded = (capacity, height + 2 * self._translate, width + 2 * self._translate, 3)
        self._padded = torch.zeros(padded, dtype=torch.uint8, device=device)
        # Every crop of them, as a view: (B, 2 translate + 1, 2 translate + 1, H, W, 3).
        crops = self._padded.unfold(1, height, 1).unfold(2, width, 1)
        self._crops = crops.permute(0, 1, 2, 4, 5, 3)
        self._rows = torch.arange(capacity, device=device)

    def draw(self, number: int, generator: torch.Generator) -> Changes:
        """Draw the changes of ``number`` images from a generator on the CPU."""

        def draw_integers(low: int, *highs: int) -> Tensor:
            columns = [
                torch.randint(low, high + 1, (number,), generator=generator) for high in highs
            ]
            return torch.stack(columns, dim=1).to(self._device)

        # Every trained number depends on the order of these draws.
        changes = Changes()
        if self._flip:
            changes = changes._replace(flip=draw_integers(0, 1)[:, 0].bool())
        if self._translate:
            shift = draw_integers(-self._translate, self._translate, self._translate)
            changes = changes._replace(shift=shift)
        if self._cutout:
            corner = draw_integers(0, self._height - self._cutout, self._width - self._cutout)
            changes = changes._replace(corner=corner)
        return changes

    def move(self, pixels: Tensor, changes: Changes) -> Tensor:
        """Return (B, H, W, 3) bytes mirrored and shifted; ``blank`` clears pixels shifted in."""
        if changes.shift is not None:
            down, right = changes.shift.unbind(1)
            # The crop is mirrored after it is taken, so its shift must be mirrored too.
            if changes.flip is not None:
                right = torch.where(changes.flip, -right, right)
            inside = slice(self._translate, -self._translate)
            self._padded[: len(pixels), inside, inside] = pixels
            rows = self._rows[: len(pixels)]
            pixels = self._crops[rows, self._translate - down, self._translate - right]
        if changes.flip is not None:
            # Sums of bytes, one of them 0: several times faster than torch.where on bytes.
            mirrored = changes.flip.to(torch.uint8)[:, None, None, None]
            pixels = pixels.flip(2).mul_(mirrored).add_(pixels * (1 - mirrored))
        return pixels

    def blank(self, x: Tensor, changes: Changes) -> None:
        """Set the pixels shifted in or cut out to 0, in normalised (B, H, W, 3) floats."""
        x = x.view(*x.shape[:2], -1)  # (B, H, 3 W)
        row = torch.arange(self._height, device=self._device)
        column = torch.arange(3 * self._width, device=self._device) // 3
        if changes.shift is not None:
            down, right = changes.shift[:, :1], changes.shift[:, 1:]
            rows = (row >= down) & (row < self._height + down)  # (B, H)
            columns = (column >= right) & (column < self._width + right)  # (B, 3 W)
            x.mul_(rows[:, :, None].to(x.dtype)).mul_(columns[:, None, :].to(x.dtype))
        if changes.corner is not None:
            top, left = changes.corner[:, :1], changes.corner[:, 1:]
            rows = (row >= top) & (row < top + self._cutout)
            columns = (column >= left) & (column < left + self._cutout)
            x.mul_(1 - rows[:, :, None].to(x.dtype) * columns[:, None, :].to(x.dtype))
