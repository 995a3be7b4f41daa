"""Builds results of the study's shapes, with plausible numbers that come from a formula."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import hw2core.config.spec
from hw2core.analysis import tables
from hw2core.config.spec import Size
from hw2core.runs.schema import Evaluation, Layers, Result

WIDE = (64, 128, 256)
GRIDS: dict[str, tuple[str, list[tuple[tuple[int, ...], int]]]] = {
    "exp1_1": ("cnn", [((k,), depth) for k in (32, 64) for depth in (2, 4, 8, 16)]),
    "exp1_2": ("cnn", [((k,), depth) for depth in (2, 4, 8) for k in (32, 64, 128, 256)]),
    "exp1_3": ("cnn", [(WIDE, depth) for depth in (1, 2, 3, 4)]),
    "exp1_4": (
        "resnet",
        [((32,), depth) for depth in (8, 16, 32)] + [(WIDE, depth) for depth in (2, 4, 8)],
    ),
    "exp2": ("ycn", [((32, 64, 128), depth) for depth in (3, 6, 9, 12)]),
}
REMEDIES = {"he": "cnn", "bn": "cnn", "residual": "resnet", "warmup": "cnn"}
ABLATION = ("full", "no_cutout", "no_smoothing", "no_augmentation", "flat_head")
ABLATION += ("no_shortcuts", "no_batchnorm", "no_scaling", "no_average")
PART_2 = {
    "overfit": [""],
    "optim": ["vanilla", "momentum", "rmsprop"],
    "dropout": ["0", "0.4", "0.8"],
}


Experiment = partial(
    hw2core.config.spec.Experiment,
    question="How does the depth of a plain net change what it learns?",
    varies="depth L at two widths K",
    fixed="recipe, data, pools and head",
    runs=(),
    seeds=(),
    sizes={},
)
SIZE = Size("cifar10", epochs=20, train=20_000, validation=6_000, test=10_000)


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
    train_images: int = SIZE.train,
    best_validation: float | None = None,
    test_accuracy: float | None = None,
    **changes: Any,
) -> Result:
    """Return one result; accuracies rise towards ``ceiling``, or stay at 10 %.

    ``best_validation`` is the validation accuracy of the best epoch. A run that diverged has no
    evaluation unless ``test_accuracy`` is given. ``changes`` replaces fields of the result, its
    curves, timing and environment, and keys of its ``network`` and ``training``.
    """
    rng = random.Random(f"{run}/{seed}")
    ceiling += rng.gauss(0, 0.6)
    rise = [1 - math.exp(-3.2 * (epoch + 1) / epochs) for epoch in range(epochs)]
    jitter = [rng.gauss(0, 0.7) for _ in range(epochs)]
    if status == "trained":
        validation = [10 + (ceiling - 10) * r + j for r, j in zip(rise, jitter, strict=True)]
        train = [10 + (ceiling + 6 - 10) * r**1.1 for r in rise]
        train_loss = [2.3 - 1.8 * r * ceiling / 80 for r in rise]
        validation_loss = [
            2.25 - 1.6 * r * ceiling / 80 + 0.01 * j * j for r, j in zip(rise, jitter, strict=True)
        ]
    else:
        validation = [10 + 0.2 * j for j in jitter]
        train = [10.0 + 0.1 * j for j in jitter]
        train_loss = validation_loss = [2.3026 + 0.001 * abs(j) for j in jitter]
    if status == "diverged":
        train_loss = [2.3 * 4.0**epoch for epoch in range(epochs - 1)] + [None]
        validation_loss = train_loss
    best = changes.setdefault("best_epoch", 1 + validation.index(max(validation)))
    if best_validation is not None:
        validation[best - 1] = best_validation
    if test_accuracy is None and status != "diverged":
        test_accuracy = validation[best - 1] - 0.4
    architecture = {"hidden_dims": [128], **changes.pop("network", {})}
    if not widths:
        architecture["wstd"] = 0.1
    else:
        architecture |= {
            "filters_per_layer": list(widths),
            "layers_per_block": depth,
            "pool_every": -(-depth * len(widths) // 3),
        }
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
                **changes.pop("training", {}),
            },
            "data": {
                "name": "cifar10",
                "train": train_images,
                "validation": SIZE.validation,
                "test": SIZE.test,
            },
            "seed": seed,
        },
        "epochs": {
            "train_loss": train_loss,
            "train_accuracy": train,
            "validation_loss": validation_loss,
            "validation_accuracy": validation,
        },
        "parameters": parameters,
        "flops_per_image": 60 * parameters,
        "layers": build_layers(depth * len(widths)) if widths else None,
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
        "spec_hash": f"{number_text(run):064x}",
        "code": {"hw2core.training": "aa", f"hw2core.cnn.{model}": "bb"},
        "code_hash": f"{number_text(model):064x}",
        "data_sha256": "d" * 64,
        "test": None if test_accuracy is None else build_evaluation(run, seed, test_accuracy),
    }
    for part in ("epochs", "timing", "environment"):
        values[part] |= {key: changes.pop(key) for key in values[part].keys() & changes.keys()}
    return Result(**{**values, **changes})


def build_evaluation(run: str, seed: int, accuracy: float, num_images: int = 10_000) -> Evaluation:
    """Return an evaluation with nine tenths of each class right, the rest taken for the next."""
    right = num_images * 9 // 100
    confusion = [[right if row == column else 0 for column in range(10)] for row in range(10)]
    for row in range(10):
        confusion[row][(row + 1) % 10] = num_images // 10 - right
    mistakes = [
        {"index": place, "label": place % 10, "predicted": (place + 1) % 10, "probability": 0.99}
        for place in range(25)
    ]
    return Evaluation(
        run=run,
        seed=seed,
        num_images=num_images,
        accuracy=accuracy,
        loss=0.9,
        class_accuracy=[90.0] * 10,
        confusion=confusion,
        calibration_error=1.0,
        mistakes=mistakes,
        code="c" * 64,
        data_sha256="d" * 64,
        weights_sha256=None,
    )


def rename(result: Result, run: str, experiment: str | None = None) -> Result:
    """Return a result as that of another run."""
    names = {"name": run, "experiment": experiment or result.experiment}
    return result.model_copy(update={"config": {**result.config, **names}})


def number_text(text: str) -> int:
    """Return a number that only depends on ``text``."""
    return int.from_bytes(text.encode()[-16:], "big")


def build_experiment(
    name: str, *, seeds: Iterable[int] = (0,), epochs: int = 20, **options: Any
) -> list[Result]:
    """Return the results of one of the study's experiments; plain nets of depth 16 stay at 10 %.

    At depth 8 a plain net of one width trains or not, depending on its seed.
    """
    model, grid = GRIDS[name]
    results = []
    for widths, depth in grid:
        label = "-".join(str(width) for width in widths)
        for seed in seeds:
            fails = model == "cnn" and (depth == 16 or (depth == 8 and seed == 1))
            ceiling = 68 + 2.2 * math.log2(sum(widths) / 32) + 1.5 * math.log2(depth)
            options |= {"status": "at_chance" if fails else "trained", "epochs": epochs}
            options |= {"ceiling": ceiling + (6 if model != "cnn" else 0), "model": model}
            shape = {"widths": widths, "depth": depth, "seed": seed}
            run = f"{name}_L{depth}_K{label}"
            results.append(build_result(run, experiment=name, **shape, **options))
    return results


def build_layers(depth: int, epochs: Sequence[int] = (0, 1, 2)) -> Layers:
    """Return statistics of layers in which gradients and activations fall off geometrically."""
    names = [*(f"conv{place + 1}" for place in range(depth)), "fc1", "fc2"]
    falling = [0.5 ** (len(names) - place) for place in range(len(names))]
    return Layers(
        names=names,
        epochs=list(epochs),
        gradient_norm=[[0.1 * value for value in falling] for _ in epochs],
        activation_std=[[0.6**place for place in range(len(names))] for _ in epochs],
        dead_fraction=[[*(0.1 * epoch for _ in names[:-1]), None] for epoch in epochs],
    )


def build_remedies(*, seeds: Iterable[int] = (0,), epochs: int = 20) -> list[Result]:
    """Return the results of exp1_5: all remedies but the warm-up let every net train."""
    results = []
    for place, (remedy, model) in enumerate(REMEDIES.items()):
        options = {"experiment": "exp1_5", "model": model, "epochs": epochs}
        options |= {"status": "at_chance" if remedy == "warmup" else "trained"}
        options |= {"ceiling": 70.0 + 4 * place}
        for depth, width, seed in product((8, 16), (32, 64), seeds):
            run = f"exp1_5_{remedy}_L{depth}_K{width}"
            results.append(build_result(run, widths=(width,), depth=depth, seed=seed, **options))
    return results


def build_rates(*, seeds: Iterable[int] = (0,), epochs: int = 3) -> list[Result]:
    """Return the results of exp3, a grid over rates and batch norm: the highest rate fails."""
    options = {"experiment": "exp3", "model": "resnet", "epochs": epochs, "depth": 4}
    return [
        build_result(
            f"exp3_bn-{str(batchnorm).lower()}_lr{rate}_L4_K32",
            network={"batchnorm": batchnorm},
            training={"lr": rate},
            status="at_chance" if rate == 1 else "trained",
            ceiling=60 + 10 * batchnorm - 4 * place,
            seed=seed,
            **options,
        )
        for batchnorm in (False, True)
        for place, rate in enumerate((0.01, 0.1, 1))
        for seed in seeds
    ]


def build_ablation(*, seeds: Iterable[int] = (0,), epochs: int = 20) -> list[Result]:
    """Return the results of exp2_ablation: each part that is taken out costs more."""
    options = {"experiment": "exp2_ablation", "model": "ycn", "epochs": epochs}
    options |= {"widths": (32, 64, 128), "depth": 3}
    return [
        build_result(
            f"exp2_ablation_{part}_L3_K32-64-128", seed=s, ceiling=80 - 4 * place, **options
        )
        for place, part in enumerate(ABLATION)
        for s in seeds
    ]


def build_part_2(*, seeds: Iterable[int] = (0,), epochs: int = 20) -> list[Result]:
    """Return the results of part 2; the runs of an experiment get better one after another."""
    results = []
    for name, labels in PART_2.items():
        for place, label in enumerate(labels):
            momentum = 0.9 if label == "momentum" else 0.0
            build = partial(
                build_result,
                f"part2_{name}_{label}" if label else f"part2_{name}",
                experiment=f"part2_{name}",
                model="mlp",
                widths=None,
                epochs=epochs,
                ceiling=40.0 + 5 * place,
                network={"dropout": float(label) if name == "dropout" else 0.0},
                training={
                    "optimizer": label if name == "optim" else "vanilla",
                    "momentum": momentum,
                    "lr": 0.01 if momentum else 0.1,
                },
            )
            for seed in seeds:
                curves: dict[str, list[float]] = {}
                if name == "overfit":
                    curves["train_accuracy"] = [50.0] + [100.0] * (epochs - 1)
                if name == "dropout":  # the less is dropped, the wider the gap to training
                    gap, usual = 40 - 15 * place, build(seed=seed).epochs
                    curves["train_accuracy"] = [x + gap for x in usual.validation_accuracy]
                    curves["validation_loss"] = [x + 0.1 * gap for x in usual.validation_loss]
                results.append(build(seed=seed, **curves))
    return results


def build_study(*, seeds: Iterable[int] = (0, 2, 3), epochs: int = 4) -> list[Result]:
    """Return the results of every run of the study."""
    seeds = tuple(seeds)
    results = build_part_2(seeds=seeds, epochs=epochs)
    for name in GRIDS:
        results += build_experiment(name, seeds=seeds, epochs=epochs)
    results += build_remedies(seeds=seeds, epochs=epochs)
    return results + build_ablation(seeds=seeds, epochs=epochs)


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
        size = SIZE._replace(epochs=len(result.epochs))
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
