"""Reads the arguments of ``run_experiment``, and names the one that is wrong."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from hw2core.config.architectures import ConvolutionalArchitecture
from hw2core.config.errors import ConfigError, Location, describe_errors, join_path
from hw2core.config.fields import KEYWORDS
from hw2core.config.merging import merge_layers
from hw2core.config.networks import AUTOGRAD, MODELS
from hw2core.config.reading import read_config
from hw2core.config.spec import RunSpec
from hw2core.config.study import STUDY_FILE
from hw2core.runs.code_hash import hash_run_code
from hw2core.runs.course import TRAINING
from hw2core.runs.values import Config

# Those that have the keys of the arguments, and L and K in their names.
MODEL_TYPES = tuple(
    name
    for name, entry in MODELS.items()
    if entry.backend is AUTOGRAD and issubclass(entry.architecture, ConvolutionalArchitecture)
)
# Where the model has another name than the argument.
NAMES = {
    "experiment": "run_name",
    "name": "run_name",
    "model": "model_type",
    **{key: name for name, key in TRAINING.items()},
}


def make_plain(value: Any) -> Any:
    """Return numbers and arrays of NumPy and PyTorch as numbers and lists of Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: make_plain(entry) for key, entry in value.items()}
    return [make_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def read_spec(given: Mapping[str, Any]) -> RunSpec:
    """Return the run that the plain arguments of ``run_experiment`` describe.

    Raises:
        ConfigError: an argument is not allowed; names it, its value and what is allowed.
        UserError: the class of the model, its trainer or the reader of the images does not exist.
    """
    model, keywords = given["model_type"], given["kw"]
    if model not in MODEL_TYPES:
        raise _refuse("model_type", model, f"must be one of {', '.join(MODEL_TYPES)}")
    fields = MODELS[model].architecture.model_fields
    for key, value in keywords.items():
        if key not in fields:
            raise _refuse(key, value, f"unknown; allowed for {model}: {', '.join(sorted(fields))}")
    architecture = {
        "filters_per_layer": _make_list(given["filters_per_layer"]),
        "layers_per_block": given["layers_per_block"],
        "pool_every": given["pool_every"],
        "hidden_dims": _make_list(given["hidden_dims"]),
        **keywords,
    }
    if (weights := given["checkpoints"]) is not None and not os.path.split(str(weights))[1]:
        raise _refuse("checkpoints", weights, "must end in a file name, without extension")
    training = {key: given[name] for name, key in TRAINING.items()}
    data = given["data"]
    if data is None or isinstance(data, dict):
        defaults = read_config(STUDY_FILE).get("data")
        if not isinstance(defaults, dict):
            raise ConfigError(str(STUDY_FILE), [f"data: {defaults!r}: must be a mapping"])
        data = merge_layers([defaults, data or {}])  # another data set does not inherit a size
    try:
        spec = RunSpec.model_validate(
            {
                "experiment": given["run_name"],
                "model": model,
                "architecture": architecture,
                "training": {**training, "optimizer": "adamw", "schedule": "constant"},
                "data": data,
            }
        )
    except ValidationError as error:
        raise ConfigError("run_experiment", describe_errors(error, _name_argument)) from None
    hash_run_code(spec)  # refuses a class that does not exist
    _check_keywords(spec)
    return spec


def read_number(name: str, value: object, allowed: range, words: str) -> int:
    """Return a whole number that is ``allowed``; ``words`` say which are.

    Raises:
        ConfigError: it is not.
    """
    if type(value) is not int or value not in allowed:
        raise _refuse(name, value, f"must be a whole number from {words}")
    return value


def read_or(word: str) -> dict[str, Any]:
    """Return how an option of the command line takes a number, or a word that stands for None."""

    def read(text: str) -> int | None:
        return None if text == word else int(text)

    read.__name__ = f"number or {word}"  # in the error of argparse
    return {"type": read, "metavar": f"N|{word}"}


def _refuse(name: str, value: object, rule: str) -> ConfigError:
    return ConfigError("run_experiment", [f"{name}: {value!r}: {rule}"])


def _make_list(value: object) -> object:
    """Return a single width as a list of one."""
    return [value] if isinstance(value, int) else value


def _name_argument(location: Location) -> str:
    """Return the argument for a place in a run; the number of a list's entry is left out."""
    section, *rest = (part for part in location if isinstance(part, str))
    if section != "data":
        section, *rest = rest or [section]
    return join_path([NAMES.get(section, section), *rest])


def _check_keywords(spec: RunSpec) -> None:
    """Build the network without memory where it has keywords that only PyTorch can check."""
    given: dict[str, Any] = {
        key: value for key in KEYWORDS if (value := getattr(spec.architecture, key, None))
    }
    if not given:
        return
    try:
        module, name = spec.implementation.split(":")
        with torch.device("meta"):
            getattr(importlib.import_module(module), name)(**spec.architecture.build_arguments())
        TypeAdapter(Config).validate_python(spec.describe(0))
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        values: Iterable[str] = (f"{key}: {value!r}" for key, value in given.items())
        lines = describe_errors(error) if isinstance(error, ValidationError) else [str(error)]
        problem = lines[0].splitlines()[0]
        raise ConfigError("run_experiment", [f"{', '.join(values)}: {problem}"]) from None
