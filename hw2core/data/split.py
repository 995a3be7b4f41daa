"""Split the source images into a training and a validation part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def split_train_validation(
    labels: npt.ArrayLike, *, num_train: int, num_validation: int, seed: int
) -> tuple[Indices, Indices]:
    """Draw two disjoint, stratified parts of the source images with the integer labels (S,).

    Within a part, the class counts differ by at most one. Each class is shuffled once; validation
    takes its first images and training the next. The validation part therefore depends only on
    ``seed`` and ``num_validation``, and a smaller training part is validated on the same images.

    Returns:
        Indices of the images of training (num_train,) and validation (num_validation,), int64, each
        ascending.

    Raises:
        ValueError: a number is below 1, or there are too few images, or too few of a class.
    """
    source = np.asarray(labels)
    for name, value in (("num_train", num_train), ("num_validation", num_validation)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    if num_train + num_validation > len(source):
        raise ValueError(
            f"num_train={num_train} and num_validation={num_validation} must add up to at most "
            f"the {len(source)} images of the source, got {num_train + num_validation}"
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    classes = generator.permutation(np.unique(source))
    # Validation takes its surplus images from the first classes and training from the last, so that
    # every image of a balanced source can be used.
    validation_counts = _share(num_validation, len(classes))
    train_counts = _share(num_train, len(classes))[::-1]
    train, validation = [], []
    for name, held, taken in zip(classes, validation_counts, train_counts, strict=True):
        members = generator.permutation(np.flatnonzero(source == name))
        if held + taken > len(members):
            raise ValueError(
                f"num_train={num_train} and num_validation={num_validation} need {held + taken} "
                f"images of class {name}, there are {len(members)}"
            )
        validation.append(members[:held])
        train.append(members[held : held + taken])
    return _join(train), _join(validation)


def _share(total: int, parts: int) -> list[int]:
    """Split ``total`` into ``parts`` counts that differ by at most 1, the larger first."""
    return [total // parts + (part < total % parts) for part in range(parts)]


def _join(parts: list[Indices]) -> Indices:
    return np.sort(np.concatenate(parts)).astype(np.int64)
