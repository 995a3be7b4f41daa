"""Builds results of the study's shapes, with plausible numbers that come from a formula."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

import hw2core.config.spec
from hw2core.analysis import tables
from hw2core.config.spec import Size
from hw2core.runs.schema import Evaluation, Layers, Result
from hw2core.runs.values import measure_class_accuracy

WIDE, OWN = (64, 128, 256), (32, 64, 128)
GRIDS: dict[str, tuple[str, list[tuple[tuple[int, ...], int]]]] = {
    "exp1_1": ("cnn", [((k,), depth) for k in (32, 64) for depth in (2, 4, 8, 16)]),
    "exp1_2": ("cnn", [((k,), depth) for depth in (2, 4, 8) for k in (32, 64, 128, 256)]),
    "exp1_3": ("cnn", [(WIDE, depth) for depth in (1, 2, 3, 4)]),
    "exp1_4": (
        "resnet",
        [((32,), depth) for depth in (8, 16, 32)] + [(WIDE, depth) for depth in (2, 4, 8)],
    ),
    "exp2": ("ycn", [(OWN, depth) for depth in (3, 6, 9, 12)]),
}
REMEDIES: dict[str, dict[str, Any]] = {
    "he": {"network": {"initialization": "he"}},
    "bn": {"network": {"batchnorm": True}},
    "residual": {"model": "resnet"},
    "warmup": {"training": {"warmup": 0.5}},
}
OWN_NETWORK: dict[str, dict[str, Any]] = {
    "training": {"label_smoothing": 0.1, "average": 0.01, "cutout": 8},
    "network": {
        "shortcuts": True,
        "batchnorm": True,
        "squeeze_excitation": True,
        "head": "average",
    },
}
ABLATION: dict[str, dict[str, dict[str, Any]]] = {
    "full": {},
    "no_cutout": {"training": {"cutout": 0}},
    "no_smoothing": {"training": {"label_smoothing": 0.0}},
    "no_augmentation": {"training": {"flip": False, "translate": 0, "cutout": 0}},
    "flat_head": {"network": {"head": "flatten"}},
    "no_shortcuts": {"network": {"shortcuts": False}},
    "no_batchnorm": {"network": {"batchnorm": False}},
    "no_scaling": {"network": {"squeeze_excitation": False}},
    "no_average": {"training": {"average": 0.0}},
}
PART_2 = ("part2_overfit", "part2_optim", "part2_dropout")
STUDY = (*PART_2, *GRIDS, "exp1_5", "exp2_ablation")

Experiment = partial(
    hw2core.config.spec.Experiment,
    question="How does the depth of a plain net change what it learns?",
    varies="depth L at two widths K",
    fixed="recipe, data, pools and head",
    runs=(),
    seeds=(),
    sizes={},
)
SIZE = Size("cifar10", 20, 20_000, 6_000, 10_000, per_epoch=20_000, patience=20)


def build_result(
    run: str,
    *,
    experiment: str = "exp1_1",
    model: str = "cnn",
    widths: Sequence[int] | None = (32,),
    depth: int = 2,
    seed: int = 0,
    epochs: int = 20,
    status: str = "trained",
    ceiling: float = 78.0,
    gap: float = 6.0,
    train_images: int = SIZE.train,
    best_validation: float | None = None,
    test_accuracy: float | None = None,
    **changes: Any,
) -> Result:
    """Return one result; validation accuracies rise towards ``ceiling``, or stay at 10 %.

    ``gap`` is how far training accuracies rise above them, ``best_validation`` the validation
    accuracy of the best epoch. A run that diverged has no evaluation unless ``test_accuracy`` is
    given. ``changes`` replaces fields of the result, its curves, timing and environment, and keys
    of its ``network``, ``training`` and ``data``.
    """
    rng = random.Random(f"{run}/{seed}")
    top = ceiling + rng.gauss(0, 0.6)
    jitter = np.array([rng.gauss(0, 0.7) for _ in range(epochs)])
    rise = 1 - np.exp(-3.2 * np.arange(1, epochs + 1) / epochs)
    if status != "trained":
        rise, jitter = 0 * rise, 0.2 * jitter
    curves = {
        "train_loss": (2.3 - 1.8 * rise * top / 80).tolist(),
        "train_accuracy": (10 + (top + gap - 10) * rise**1.1).clip(max=100).tolist(),
        "validation_loss": (2.3 - 1.6 * rise * top / 80 + 0.01 * jitter**2).tolist(),
        "validation_accuracy": (10 + (top - 10) * rise + jitter).tolist(),
    }
    if status == "diverged":
        exploding = [2.3 * 4.0**epoch for epoch in range(epochs - 1)] + [None]
        curves |= {"train_loss": exploding, "validation_loss": exploding}
    curves |= {key: changes.pop(key) for key in curves.keys() & changes.keys()}
    validation = curves["validation_accuracy"]
    best = validation.index(max(validation))
    if best_validation is not None:
        validation = [min(value, best_validation) for value in validation]
        validation[best] = best_validation
        curves["validation_accuracy"] = validation
    if test_accuracy is None and status != "diverged":
        test_accuracy = validation[best] - 0.4
    architecture = {"hidden_dims": [128]}
    if not widths:
        architecture["wstd"] = 0.1
    else:
        architecture |= {
            "filters_per_layer": list(widths),
            "layers_per_block": depth,
            "pool_every": -(-depth * len(widths) // 3),
        }
    architecture |= changes.pop("network", {})
    parameters = 10_000 * depth * sum(widths or (100,))
    values = {
        "config": {
            "name": run,
            "experiment": experiment,
            "model": model,
            "architecture": architecture,
            "training": {
                "epochs": epochs,
                "batch_size": 128,
                "lr": 0.05,
                "optimizer": "sgd" if widths else "vanilla",
                "weight_decay": 0.0,
                "schedule": "constant",
                "flip": bool(widths),
                "translate": 4 if widths else 0,
                **changes.pop("training", {}),
            },
            "data": {
                "name": "cifar10",
                "train": train_images,
                "validation": SIZE.validation,
                "test": SIZE.test,
                **changes.pop("data", {}),
            },
            "seed": seed,
        },
        "best_epoch": 1 + best,
        "epochs": curves,
        "parameters": parameters,
        "flops_per_image": 60 * parameters,
        "layers": build_layers(depth * len(widths), range(min(epochs, 2) + 1)) if widths else None,
        "timing": {
            "seconds": 3.0 * epochs + seed,
            "seconds_loading": 0.5,
            "seconds_training": 2.5 * epochs,
            "seconds_per_epoch": [3.0] * epochs,
            "images_per_second": 3000.0,
        },
        "environment": {
            "device": "cpu",
            "processor": "a processor",
            "precision": "bf16",
            "threads": 2,
            "cuda_graph": False,
            "versions": {"python": "3.11.2", "torch": "2.14.0"},
            "git_commit": "0123456789abcdef0123456789abcdef01234567",
        },
        "spec_hash": run.encode().hex()[-64:].zfill(64),
        "code": {"hw2core.training": "aa", f"hw2core.cnn.{model}": "bb"},
        "code_hash": model.encode().hex()[-64:].zfill(64),
        "data_sha256": "d" * 64,
        "test": None if test_accuracy is None else build_evaluation(run, seed, test_accuracy),
    }
    for part in ("timing", "environment"):
        values[part] |= {key: changes.pop(key) for key in values[part].keys() & changes.keys()}
    return Result(**{**values, **changes})


def build_evaluation(run: str, seed: int, accuracy: float, num_images: int = 10_000) -> Evaluation:
    """Return an evaluation with all classes as accurate, and mistakes taken for the next one."""
    correct = round(accuracy * num_images / 100)
    right = correct // 10 + (np.arange(10) < correct % 10)  # of each class
    confusion = np.diag(right) + np.roll(np.diag(num_images // 10 - right), 1, axis=1)
    mistakes = [
        {"index": place, "label": place % 10, "predicted": (place + 1) % 10, "probability": 0.99}
        for place in range(25)
    ]
    return Evaluation(
        run=run,
        seed=seed,
        num_images=num_images,
        accuracy=100.0 * correct / num_images,
        loss=0.9,
        class_accuracy=measure_class_accuracy(confusion.tolist()),
        confusion=confusion.tolist(),
        calibration_error=1.0,
        mistakes=mistakes,
        code="c" * 64,
        data_sha256="d" * 64,
        weights_sha256=None,
    )


def build_layers(depth: int, epochs: Sequence[int] = (0, 1, 2)) -> Layers:
    """Return statistics of layers in which gradients and activations fall off geometrically."""
    names = [*(f"conv{place + 1}" for place in range(depth)), "fc1", "fc2"]
    places = range(len(names))
    return Layers(
        names=names,
        epochs=list(epochs),
        gradient_norm=[[0.1 * 0.5 ** (len(names) - place) for place in places] for _ in epochs],
        activation_std=[[0.6**place for place in places] for _ in epochs],
        dead_fraction=[[*(0.1 * epoch for _ in names[:-1]), None] for epoch in epochs],
    )


def list_runs(experiment: str, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the runs of an experiment, with options of ``build_result``.

    Plain nets of depth 16 stay at 10 %; at depth 8 those of one width train or not, depending on
    the seed. All remedies but the warm-up let every net train. In the ablation, each further part
    costs more. Of a grid over rates (``exp3``), the highest fails.
    """
    if experiment in GRIDS:
        model, grid = GRIDS[experiment]
        for widths, depth in grid:
            fails = model == "cnn" and (depth == 16 or (depth == 8 and seed == 1))
            ceiling = 68 + 2.2 * math.log2(sum(widths) / 32) + 1.5 * math.log2(depth)
            yield (
                f"L{depth}_K{'-'.join(map(str, widths))}",
                {"model": model, "widths": widths, "depth": depth}
                | {"ceiling": ceiling + 6 * (model != "cnn")}
                | {"status": "at_chance" if fails else "trained"}
                | (OWN_NETWORK if model == "ycn" else {}),
            )
    elif experiment == "exp1_5":
        for (place, (remedy, change)), depth, width in product(
            enumerate(REMEDIES.items()), (8, 16), (32, 64)
        ):
            yield (
                f"{remedy}_L{depth}_K{width}",
                {"widths": (width,), "depth": depth, "ceiling": 70.0 + 4 * place, **change}
                | {"status": "at_chance" if remedy == "warmup" else "trained"},
            )
    elif experiment == "exp2_ablation":
        for place, (part, change) in enumerate(ABLATION.items()):
            options = {"model": "ycn", "widths": OWN, "depth": 3, "ceiling": 80 - 4 * place}
            options |= {key: used | change.get(key, {}) for key, used in OWN_NETWORK.items()}
            yield f"{part}_L3_K32-64-128", options
    elif experiment == "exp3":
        for batchnorm, (place, rate) in product((False, True), enumerate((0.01, 0.1, 1))):
            yield (
                f"bn-{str(batchnorm).lower()}_lr{rate}_L4_K32",
                {"model": "resnet", "depth": 4, "ceiling": 60 + 10 * batchnorm - 4 * place}
                | {"network": {"batchnorm": batchnorm}, "training": {"lr": rate}}
                | {"status": "at_chance" if rate == 1 else "trained"},
            )
    else:
        mlp = {"model": "mlp", "widths": None}
        if experiment == "part2_overfit":
            yield "", {**mlp, "ceiling": 40.0, "gap": 80.0, "network": {"dropout": 0.0}}
        elif experiment == "part2_optim":
            for place, name in enumerate(("vanilla", "momentum", "rmsprop")):
                factor = 0.9 if name == "momentum" else 0.0
                training = {"optimizer": name, "momentum": factor, "lr": 0.01 if factor else 0.1}
                yield name, {**mlp, "ceiling": 40.0 + 5 * place, "training": training}
        else:  # the less is dropped, the wider the gap to training
            for place, p in enumerate((0, 0.4, 0.8)):
                options = {"ceiling": 40.0 + 5 * place, "gap": 40.0 - 15 * place}
                yield f"{p}", {**mlp, **options, "network": {"dropout": p}}


def build_results(
    *experiments: str, seeds: Iterable[int] = (0,), epochs: int = 20, **options: Any
) -> list[Result]:
    """Return the results of these experiments, by default of the whole study.

    ``options`` are those of ``build_result`` for all of them.
    """
    return [
        build_result(
            "_".join(filter(None, [experiment, run])),
            **{"experiment": experiment, "seed": seed, "epochs": epochs, **chosen, **options},
        )
        for experiment in experiments or STUDY
        for seed in seeds
        for run, chosen in list_runs(experiment, seed)
    ]


build_part_2 = partial(build_results, *PART_2)


def tabulate(
    results: Sequence[Result],
    missing: Mapping[str, Sequence[str]] = {},
    settings: Sequence[str] = (),
) -> tables.Study:
    """Return the tables of results, in experiments that have just their runs.

    ``settings`` are what the grids of all experiments vary besides L and K.
    """
    sizes: dict[str, dict[str, Size]] = {name: {} for name in missing}
    for result in results:
        epochs = len(result.epochs)
        size = SIZE._replace(epochs=epochs, patience=epochs)
        sizes.setdefault(result.experiment, {})[result.name] = size
    planned = [
        Experiment(
            name,
            runs=(*asked, *missing.get(name, ())),
            sizes=asked,
            settings=tuple(settings),
        )
        for name, asked in sizes.items()
    ]
    return tables.build(planned, results, missing)
