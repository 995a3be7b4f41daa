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
