"""The data section: which data set, and how many of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from hw2core.config.errors import refuse
from hw2core.config.fields import READ, Count, Seed, check_data_set, check_path
from hw2core.config.schema import Frozen
from hw2core.data.registry import DATA_SETS, DataSet

CIFAR10_SIZES = (50_000, 10_000)  # training and test images


class DataSpec(Frozen):
    """Data options of a run: its data set, and the number of images of each split."""

    name: Annotated[str, BeforeValidator(check_data_set)] = Field(
        json_schema_extra={"enum": list(DATA_SETS)}
    )
    """Name of the data set; generated is synthetic and needs no download."""
    source_train: Count = CIFAR10_SIZES[0]
    """Number of images in the training set that the data set provides."""
    source_test: Count = CIFAR10_SIZES[1]
    """Number of images in the test set that the data set provides."""
    train: Count
    """Number of training images, stratified by class."""
    validation: Count
    """Number of validation images, stratified by class; they determine the best epoch."""
    test: Count = CIFAR10_SIZES[1]
    """Number of test images: the first ones of the test set."""
    split_seed: Seed = 0
    """Seed of the random split into training and validation images."""
    # Specific to a machine, so results and identities leave it out.
    root: Annotated[Path | None, BeforeValidator(check_path), READ] = Field(None, exclude=True)
    """Root directory of the original files; default: HW2_DATA, otherwise they are downloaded."""

    @model_validator(mode="before")
    @classmethod
    def _fill_sizes(cls, values: Any) -> Any:
        """Give a data set of one size that size."""
        entry = DATA_SETS.get(str(values.get("name"))) if isinstance(values, dict) else None
        if entry is None or entry.sizes is None:
            return values
        return dict(zip(("source_train", "source_test"), entry.sizes, strict=True)) | values

    @model_validator(mode="after")
    def _check_sizes(self) -> DataSpec:
        entry = self.entry
        if entry.sizes and (self.source_train, self.source_test) != entry.sizes:
            train, test = entry.sizes
            raise refuse("source_train", f"{entry.title} has {train} + {test} images")
        if entry.sizes is None and self.source_train % entry.num_classes:
            raise refuse(
                "source_train", f"must be a multiple of {entry.num_classes}: as many of each class"
            )
        most = entry.balanced or self.source_train
        if self.train + self.validation > most:
            raise refuse(
                "train",
                f"train + validation = {self.train} + {self.validation} must be at most {most}, "
                f"the images there are{' with as many of each class' if entry.balanced else ''}",
            )
        if self.test > self.source_test:
            raise refuse("test", f"must be at most {self.source_test}, the images there are")
        return self

    @property
    def entry(self) -> DataSet:
        """The data set."""
        return DATA_SETS[self.name]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.entry.num_classes

    @property
    def folder(self) -> str:
        """Name of the prepared data set; splits of one data set share it."""
        if self.entry.sizes:
            return self.name
        return f"{self.name}_{self.source_train}_{self.source_test}"
