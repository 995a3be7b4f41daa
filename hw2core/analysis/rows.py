"""Converts results to rows of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel

from hw2core.config.architectures import ConvolutionalArchitecture
from hw2core.config.images import DataSpec
from hw2core.config.networks import MODELS
from hw2core.config.schema import RecipeSpec
from hw2core.config.spec import Size
from hw2core.runs.outcome import judge_status
from hw2core.runs.schema import Epochs, Layers, Result

FAMILIES = {"cnn": "plain", "resnet": "residual", "ycn": "custom", "mlp": "MLP"}

POOLS = "architecture.pools"

_TEXT, _COUNT, _NUMBER = "str", "Int64", "float64"
_NAMES = {"experiment": _TEXT, "run": _TEXT, "seed": _COUNT}
NETWORK_COLUMNS = dict.fromkeys(("model", "family", "label"), _TEXT)
NETWORK_COLUMNS |= {"depth": _COUNT, "widths": _TEXT, "num_conv": _COUNT}
_CURVES = dict.fromkeys(Epochs.model_fields, _NUMBER)
SUMMARY_COLUMNS = {
    **_NAMES,
    **NETWORK_COLUMNS,
    **{"status": _TEXT, "epochs": _COUNT, "best_epoch": _COUNT},
    **_CURVES,
    **dict.fromkeys(("test_loss", "test_accuracy", "calibration_error"), _NUMBER),
    **dict.fromkeys(("parameters", "flops_per_image"), _COUNT),
    **dict.fromkeys(("seconds", "images_per_second"), _NUMBER),
    **dict.fromkeys(("device", "processor", "precision"), _TEXT),
    **{"threads": _COUNT, "data": _TEXT},
    **dict.fromkeys(("train_images", "validation_images", "test_images"), _COUNT),
    **dict.fromkeys(("images_per_epoch", "max_epochs", "patience"), _COUNT),
    **dict.fromkeys(("reduced", "same_as", "spec_hash", "code_hash"), _TEXT),
    **dict.fromkeys(("data_sha256", "commit"), _TEXT),
}
EPOCH_COLUMNS = {**_NAMES, "epoch": _COUNT, **_CURVES}
QUANTITIES = ("gradient_norm", "activation_std", "dead_fraction")
LAYER_COLUMNS = {**_NAMES, "epoch": _COUNT, "layer": _TEXT, "position": _COUNT}
LAYER_COLUMNS |= dict.fromkeys(QUANTITIES, _NUMBER)


def describe_run(result: Result, size: Size | None) -> dict[str, Any]:
    """Return a row of ``SUMMARY_COLUMNS``; ``size`` is that of config.yaml, None if not planned."""
    config, data, test = result.config, result.config["data"], result.test
    made = Size.of(data, config["training"])
    return {
        **dict(zip(_NAMES, _name(result), strict=True)),
        **describe_network(config),
        "status": judge_status(result),
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        **{name: curve[result.best_epoch - 1] for name, curve in result.epochs},
        "test_loss": test and test.loss,
        "test_accuracy": test and test.accuracy,
        "calibration_error": test and test.calibration_error,
        # A shared result took no time, so that totals count the trained run once.
        "seconds": None if result.same_as else result.timing.seconds,
        "images_per_second": result.timing.images_per_second,
        **result.environment.model_dump(include={"device", "processor", "precision", "threads"}),
        "data": data["name"],
        **{f"{part}_images": data[part] for part in ("train", "validation", "test")},
        "images_per_epoch": made.per_epoch,
        "max_epochs": made.epochs,
        "patience": made.patience,
        "reduced": _describe_reduction(made, size) if size else "",
        "commit": result.environment.git_commit,
        **result.model_dump(include={"parameters", "flops_per_image", "same_as"}),
        **result.model_dump(include={"spec_hash", "code_hash", "data_sha256"}),
    }


def tabulate_settings(configs: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return a row per config of a result and a column per setting, with defaults filled in."""
    settings = pd.json_normalize(list(configs)).filter(like=".")
    for key in settings.columns[settings.isna().any()]:
        pairs = zip(configs, settings[key], strict=True)
        settings[key] = [read_setting(config, key, value) for config, value in pairs]
    return settings


def read_setting(config: Mapping[str, Any], key: str, otherwise: object = None) -> Any:
    """Return the value of ``section.field`` in a result's config, or the default it leaves out.

    ``architecture.pools`` is the number of pools that a network has; its config only tells where.
    It is ``otherwise`` if the run has no such key, or another one that only stands for others.
    """
    section, _, field = key.partition(".")
    if field in config[section]:
        return config[section][field]
    if key == POOLS and "num_conv" in (network := describe_network(config)):
        return network["num_conv"] // config[section]["pool_every"]
    kinds: dict[str, type[BaseModel]] = {"data": DataSpec, "training": RecipeSpec}
    if config["model"] in MODELS:
        kinds["architecture"] = MODELS[config["model"]].architecture
    known = kinds[section].model_fields.get(field) if section in kinds else None
    return otherwise if known is None or known.exclude or known.is_required() else known.default


def list_epochs(result: Result) -> Iterator[tuple[Any, ...]]:
    """Yield rows of ``EPOCH_COLUMNS``."""
    curves = (curve for _, curve in result.epochs)
    for epoch, values in enumerate(zip(*curves, strict=True), start=1):
        yield (*_name(result), epoch, *values)


def list_layers(result: Result) -> Iterator[tuple[Any, ...]]:
    """Yield rows of ``LAYER_COLUMNS``."""
    if (layers := result.layers) is None:
        return
    for epoch, *values in zip(layers.epochs, *list_quantities(layers), strict=True):
        for position, row in enumerate(zip(layers.names, *values, strict=True), start=1):
            yield (*_name(result), epoch, row[0], position, *row[1:])


def list_quantities(layers: Layers) -> list[list[list[float | None]]]:
    """Return the values of ``QUANTITIES``, each with a list per epoch, of one value per layer.

    In a network that diverged, no channel counts as dead, as NaN is not 0: the fraction is missing.
    """
    dead = [
        [None if std is None else fraction for std, fraction in zip(*rows, strict=True)]
        for rows in zip(layers.activation_std, layers.dead_fraction, strict=True)
    ]
    return [layers.gradient_norm, layers.activation_std, dead]


def _name(result: Result) -> tuple[str, str, int]:
    return result.experiment, result.name, result.seed


def describe_network(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``NETWORK_COLUMNS`` that a run's configuration has."""
    model, architecture = config["model"], config["architecture"]
    family = FAMILIES.get(model, model)
    if family == "plain" and architecture.get("batchnorm"):
        family = "batch norm"
    label = config["name"].removeprefix(config["experiment"])
    shape = {}
    # Other networks can have keys of these names with another meaning.
    if model in MODELS and issubclass(MODELS[model].architecture, ConvolutionalArchitecture):
        depth, widths = architecture["layers_per_block"], architecture["filters_per_layer"]
        text = "-".join(map(str, widths))
        label = label.removesuffix(f"_L{depth}_K{text}")
        shape = {"depth": depth, "widths": text, "num_conv": depth * len(widths)}
    return {"model": model, "family": family, "label": label.strip("_"), **shape}


def _describe_reduction(found: Size, size: Size) -> str:
    """Return in which quantities a run is smaller than ``size``, or an empty string."""
    amounts = {
        "epochs": (found.epochs, size.epochs),
        "training images": (found.train, size.train),
        "validation images": (found.validation, size.validation),
        "test images": (found.test, size.test),
    }
    # A part of these is no other reduction.
    if found.train >= size.train:
        amounts["training images per epoch"] = (found.per_epoch, size.per_epoch)
    if found.epochs >= size.epochs:
        amounts["epochs before early stopping"] = (found.patience, size.patience)
    less = [f"{a:,} of {asked:,} {what}" for what, (a, asked) in amounts.items() if a < asked]
    return "; ".join([f"{found.data} images"] * (found.data != size.data) + less)
