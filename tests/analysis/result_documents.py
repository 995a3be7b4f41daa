"""Synthetic result documents of the study's shapes: plausible numbers, made by a formula."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

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


class Experiment(NamedTuple):
    name: str
    question: str = "How does the depth of a plain net change what it learns?"
    varies: str = "depth L at two widths K"
    fixed: str = "recipe, data, pools and head"


def build_document(
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
    study_size: bool = True,
    **metadata: Any,
) -> dict[str, Any]:
    """Return one result document; accuracies rise towards ``ceiling``, or stay at 10 %."""
    rng = random.Random(f"{run}/{seed}")
    trained = status == "trained"
    ceiling += rng.gauss(0, 0.6)
    rise = [1 - math.exp(-3.2 * (epoch + 1) / epochs) for epoch in range(epochs)]
    jitter = [rng.gauss(0, 0.7) for _ in range(epochs)]
    if trained:
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
    best = max(range(epochs), key=lambda epoch: validation[epoch])
    architecture = {"hidden_dims": [128], "activation_type": "relu"}
    if widths:
        architecture |= {
            "filters_per_layer": list(widths),
            "layers_per_block": depth,
            "pool_every": 2,
        }
    parameters = 10_000 * depth * sum(widths or (100,))
    return {
        "config": {
            "name": run,
            "experiment": experiment,
            "model": model,
            "architecture": architecture,
            "training": {"epochs": epochs, "batch_size": 128, "lr": 0.05, "optimizer": "sgd"},
            "data": {
                "name": "cifar10",
                "train": 44_000 if study_size else 4_000,
                "validation": 6_000 if study_size else 1_000,
            },
            "seed": seed,
        },
        "results": {
            "num_epochs": epochs,
            "train_loss": train_loss,
            "train_acc": train,
            "test_loss": validation_loss,
            "test_acc": validation,
        },
        "metadata": {
            "format": 1,
            "status": status,
            "best_epoch": best + 1,
            "validation_accuracy": validation[best],
            "validation_loss": validation_loss[best],
            "test_accuracy": None if status == "diverged" else validation[best] - 0.4,
            "test_loss": None if status == "diverged" else 0.9,
            "parameters": parameters,
            "flops_per_image": 60 * parameters,
            "seconds_per_epoch": [3.0] * epochs,
            "images_per_second": 3000.0,
            "seconds": 3.0 * epochs + seed,
            "device": "cpu",
            "precision": "bf16",
            "threads": 2,
            "processor": "a processor",
            "versions": {"python": "3.11.2", "torch": "2.14.0"},
            "git_commit": "0123456789abcdef0123456789abcdef01234567",
            "spec_hash": f"{number_text(run):064x}",
            "code_hash": f"{number_text(model):064x}",
            "code": {"hw2core.training": "aa", f"hw2core.cnn.{model}": "bb"},
            "data_sha256": "d" * 64,
            "study_size": study_size,
            **metadata,
        },
    }


def number_text(text: str) -> int:
    """Return a number that only depends on ``text``."""
    return int.from_bytes(text.encode()[-16:], "big")


def build_experiment(
    name: str, *, seeds: Iterable[int] = (0,), epochs: int = 20, **options: Any
) -> list[dict[str, Any]]:
    """Return the documents of one of the study's experiments; plain nets of depth 16 stay at 10 %.

    At depth 8 a plain net of one width trains or not, depending on its seed.
    """
    model, grid = GRIDS[name]
    documents = []
    for widths, depth in grid:
        label = "-".join(str(width) for width in widths)
        for seed in seeds:
            fails = model == "cnn" and (depth == 16 or (depth == 8 and seed == 1))
            ceiling = 68 + 2.2 * math.log2(sum(widths) / 32) + 1.5 * math.log2(depth)
            documents.append(
                build_document(
                    f"{name}_L{depth}_K{label}",
                    experiment=name,
                    model=model,
                    widths=widths,
                    depth=depth,
                    seed=seed,
                    epochs=epochs,
                    status="at_chance" if fails else "trained",
                    ceiling=ceiling + (6 if model != "cnn" else 0),
                    **options,
                )
            )
    return documents


def build_layers(depth: int, epochs: Sequence[int] = (0, 1, 2)) -> dict[str, Any]:
    """Return a record of layers in which gradients and activations fall off geometrically."""
    names = [*(f"conv{place + 1}" for place in range(depth)), "fc1", "fc2"]
    falling = [0.5 ** (len(names) - place) for place in range(len(names))]
    return {
        "names": names,
        "epochs": list(epochs),
        "gradient_norm": [[0.1 * value for value in falling] for _ in epochs],
        "activation_std": [[0.6**place for place in range(len(names))] for _ in epochs],
        "dead_fraction": [[*(0.1 * epoch for _ in names[:-1]), None] for epoch in epochs],
    }


def build_mistakes() -> dict[str, Any]:
    """Return the confusion matrix and the worst mistakes of a net with 900 of 1,000 right."""
    confusion = [[900 if row == column else 0 for column in range(10)] for row in range(10)]
    for row in range(10):
        confusion[row][(row + 1) % 10] = 100
    mistakes = [
        {"index": place, "label": place % 10, "predicted": (place + 1) % 10, "probability": 0.99}
        for place in range(25)
    ]
    return {"confusion": confusion, "mistakes": mistakes}


def build_remedies(*, seeds: Iterable[int] = (0,), epochs: int = 20) -> list[dict[str, Any]]:
    """Return the documents of exp1_5: all remedies but the warm-up let every net train."""
    return [
        build_document(
            f"exp1_5_{remedy}_L{depth}_K{width}",
            experiment="exp1_5",
            model=model,
            widths=(width,),
            depth=depth,
            seed=seed,
            epochs=epochs,
            status="at_chance" if remedy == "warmup" else "trained",
            ceiling=70.0 + 4 * list(REMEDIES).index(remedy),
            layers=build_layers(depth),
        )
        for remedy, model in REMEDIES.items()
        for depth in (8, 16)
        for width in (32, 64)
        for seed in seeds
    ]


def build_ablation(*, seeds: Iterable[int] = (0,), epochs: int = 20) -> list[dict[str, Any]]:
    """Return the documents of exp2_ablation: each part that is taken out costs more."""
    return [
        build_document(
            f"exp2_ablation_{part}_L3_K32-64-128",
            experiment="exp2_ablation",
            model="ycn",
            widths=(32, 64, 128),
            depth=3,
            seed=seed,
            epochs=epochs,
            ceiling=80.0 - 4 * place,
        )
        for place, part in enumerate(ABLATION)
        for seed in seeds
    ]


def build_part_2(*, seeds: Iterable[int] = (0,), epochs: int = 20) -> list[dict[str, Any]]:
    """Return the documents of part 2; the runs of an experiment get better one after another."""
    documents = []
    for name, labels in PART_2.items():
        for place, label in enumerate(labels):
            for seed in seeds:
                run = f"part2_{name}_{label}" if label else f"part2_{name}"
                document = build_document(
                    run,
                    experiment=f"part2_{name}",
                    model="mlp",
                    widths=None,
                    seed=seed,
                    epochs=epochs,
                    ceiling=40.0 + 5 * place,
                )
                if name == "overfit":
                    document["results"]["train_acc"] = [50.0] + [100.0] * (epochs - 1)
                if name == "dropout":  # the less is dropped, the wider the gap to training
                    gap = 40 - 15 * place
                    results = document["results"]
                    results["train_acc"] = [value + gap for value in results["test_acc"]]
                    results["test_loss"] = [value + 0.1 * gap for value in results["test_loss"]]
                documents.append(document)
    return documents


def build_study(*, seeds: Iterable[int] = (0, 2, 3), epochs: int = 4) -> list[dict[str, Any]]:
    """Return the documents of every run of the study, with all that a result can record."""
    seeds = tuple(seeds)
    documents = build_part_2(seeds=seeds, epochs=epochs)
    for name in GRIDS:
        for document in build_experiment(name, seeds=seeds, epochs=epochs):
            depth = document["config"]["architecture"]["layers_per_block"]
            layers = build_layers(
                depth * len(document["config"]["architecture"]["filters_per_layer"])
            )
            document["metadata"] |= {"layers": layers, **build_mistakes()}
            documents.append(document)
    documents += build_remedies(seeds=seeds, epochs=epochs)
    return documents + build_ablation(seeds=seeds, epochs=epochs)
