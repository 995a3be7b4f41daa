"""Defines the specifications of runs and experiments, with their canonical JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import (
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hw2core.config.architectures import Architecture
from hw2core.config.arithmetic import count_work
from hw2core.config.errors import ConfigError, describe_errors, refuse
from hw2core.config.fields import RUN_NAME
from hw2core.config.images import DataSpec
from hw2core.config.networks import FROM_SCRATCH, MODELS
from hw2core.config.schema import Frozen, RecipeSpec

MAX_WEIGHTS = 2_000_000_000  # of which the largest file of weights that is read has room for
# Keys that only autograd supports, with the values that the from-scratch layers accept.
AUTOGRAD_ONLY: dict[str, tuple[object, ...]] = {
    "schedule": ("constant",),
    "nesterov": (False,),
    "label_smoothing": (0.0,),
    "average": (0.0,),
    "precision": ("auto", "fp32"),
}
# Keys of older configurations; retired keys with the only value that made no difference.
RETIRED: dict[tuple[str, str], object] = {("training", "clip_norm"): None}
RENAMED = {("data", "pool"): "source_train", ("data", "test_pool"): "source_test"}


class Size(NamedTuple):
    """The size of a run; a result of a smaller run than config.yaml asks for is *reduced*."""

    data: str
    epochs: int
    train: int
    validation: int
    test: int
    per_epoch: int  # training images; fewer than ``train`` with ``training.batches``
    patience: int  # epochs before early stopping, at most ``epochs``

    @classmethod
    def of(cls, data: Mapping[str, Any], training: Mapping[str, Any]) -> Size:
        """Return the size of a run from two sections of its configuration."""
        train, epochs, batches = data["train"], training["epochs"], training.get("batches")
        return cls(
            data=data["name"],
            epochs=epochs,
            train=train,
            validation=data["validation"],
            test=data["test"],
            per_epoch=min(train, (batches or train) * training["batch_size"]),
            patience=min(training.get("early_stopping") or epochs, epochs),
        )

    def find_loss(self, new: Size) -> str:
        """Return what a run is that would lose something if it replaced one of this size; or ""."""
        if self.data not in (new.data, "generated"):
            return "run on other images"
        smaller = any(a > b for a, b in zip(self[1:], new[1:], strict=True))
        return "smaller run" if smaller else ""


class RunSpec(Frozen):
    """One named run: everything that ``results/<name>`` depends on, except the seed."""

    experiment: str
    label: str = ""
    model: str
    architecture: SerializeAsAny[Architecture]
    training: RecipeSpec
    data: DataSpec

    @field_validator("model")
    @classmethod
    def _check_model(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"must be one of {', '.join(MODELS)}")
        return model

    @field_validator("architecture", mode="plain")
    @classmethod
    def _read_architecture(cls, value: Any, info: ValidationInfo) -> Any:
        if (model := info.data.get("model")) is None:  # it was refused, which is error enough
            return value
        try:
            return MODELS[model].architecture.model_validate(value, context=info.context)
        except TypeError as error:  # a class without build_arguments
            raise ValueError(f"model: {model}: {error}") from None

    @model_validator(mode="after")
    def _check_backend(self) -> RunSpec:
        backend = MODELS[self.model].backend
        if self.training.optimizer not in backend.optimizers:
            allowed = f"model: {self.model} has the optimizers {', '.join(backend.optimizers)}"
            raise refuse("training.optimizer", f"{self.training.optimizer!r}: {allowed}")
        if backend is FROM_SCRATCH:
            for key, allowed_values in AUTOGRAD_ONLY.items():
                if (value := getattr(self.training, key)) not in allowed_values:
                    raise refuse(
                        f"training.{key}",
                        f"{value!r}: model: {self.model} supports only {allowed_values[0]!r}",
                    )
        return self

    @model_validator(mode="after")
    def _check_batches(self) -> RunSpec:
        data, training = self.data, self.training
        sizes = training.batch_size, data.train, data.validation
        keys = "training.batch_size", "data.train", "data.validation"
        if getattr(self.architecture, "batchnorm", False) and 1 in sizes:
            key = keys[sizes.index(1)]
            raise refuse(key, "1: batch normalisation needs at least 2 images")
        return self

    @model_validator(mode="after")
    def _check_name(self) -> RunSpec:
        if not re.fullmatch(RUN_NAME, self.name):
            rule = "150 letters, digits, '.', '_', '-' at most, a letter or digit first"
            raise refuse("name", f"{self.name!r}: a run's name has {rule}")
        return self

    @model_validator(mode="after")
    def _check_weights(self) -> RunSpec:
        weights = count_work(self.architecture, self.data.num_classes).parameters
        if weights > MAX_WEIGHTS:
            raise refuse("architecture", f"{weights:,} weights: must be at most {MAX_WEIGHTS:,}")
        return self

    @classmethod
    def from_config(cls, config: dict[str, Any], source: str = "config") -> RunSpec:
        """Return the spec of a result from its stored ``config``: the inverse of ``describe``.

        Raises:
            ConfigError: with a line for each key of ``source`` that this version does not support.
        """
        values = {k: v for k, v in upgrade_config(config).items() if k not in ("name", "seed")}
        try:
            spec = cls.model_validate(values, context={"source": source})
        except ValidationError as error:
            raise ConfigError(source, describe_errors(error)) from None
        name, suffix = str(config.get("name")), spec.architecture.name_suffix
        label = name.removeprefix(spec.experiment).removesuffix(f"_{suffix}" if suffix else "")
        spec = spec.model_copy(update={"label": label.removeprefix("_")})
        if spec.name != name:
            problem = f"name: {name!r}: not a run of experiment {spec.experiment!r}"
            raise ConfigError(source, [problem])
        return spec

    @property
    def name(self) -> str:
        """Experiment, label and architecture, as in ``exp1_5_he_L8_K32``."""
        name = "_".join(filter(None, [self.experiment, self.label]))
        suffix = self.architecture.name_suffix
        return f"{name}_{suffix}" if suffix and not name.endswith(f"_{suffix}") else name

    @property
    def size(self) -> Size:
        """The name of the data set, the epochs and the images of each part."""
        return Size.of(vars(self.data), vars(self.training))

    @property
    def implementation(self) -> str:
        """The class of the model, as ``module:Class``."""
        return MODELS[self.model].implementation

    @property
    def trainer(self) -> str:
        """The class of the trainer, as ``module:Class``."""
        return MODELS[self.model].backend.trainer

    def describe(self, seed: int) -> dict[str, Any]:
        """Return the whole spec of one seed as plain JSON values, as a result's ``config``."""
        plain = self.model_dump(mode="json", exclude={"label"})
        return {"name": self.name, **plain, "seed": seed}

    def identity(self) -> dict[str, Any]:
        """Return everything that the result depends on: all keys except the names.

        Keys at their default are left out, so that adding a key makes no difference.
        """
        names = {"experiment", "label"}
        return self.model_dump(mode="json", exclude_defaults=True, exclude=names)

    def hash_identity(self, seed: int) -> str:
        """Return the sha256 of the identity and the seed, in hexadecimal digits."""
        return hashlib.sha256(_dump({**self.identity(), "seed": seed}).encode()).hexdigest()

    def to_json(self) -> str:
        """Return canonical JSON without paths, which ``model_validate_json`` reads."""
        return _dump(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Experiment:
    """A question and the names of the runs that answer it, with the seeds of each."""

    name: str
    question: str
    varies: str
    fixed: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    sizes: dict[str, Size]  # of each run in config.yaml, whatever is merged over it
    settings: tuple[str, ...] = ()  # what its grids vary besides L and K: training.lr
    first_seed_only: tuple[str, ...] = ()  # those of its runs that are trained with one seed
    specs: dict[str, RunSpec] = field(default_factory=dict, compare=False)  # not in its JSON

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Yield every run with each of its seeds."""
        for run in self.runs:
            seeds = self.seeds[:1] if run in self.first_seed_only else self.seeds
            yield from ((run, seed) for seed in seeds)


def dump_experiments(experiments: Iterable[Experiment]) -> str:
    """Return canonical JSON: equal experiments give equal text."""
    return _dump([{k: v for k, v in vars(each).items() if k != "specs"} for each in experiments])


def upgrade_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return an old result's ``config`` with today's keys; ``config`` is not changed.

    A retired key that made a difference is kept, so that ``RunSpec.from_config`` refuses it.
    """
    upgraded = dict(config)
    for section, values in config.items():
        if isinstance(values, dict):
            upgraded[section] = {
                RENAMED.get((section, key), key): value
                for key, value in values.items()
                if ((section, key), value) not in RETIRED.items()
            }
    return upgraded


def _dump(values: object) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
