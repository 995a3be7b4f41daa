"""Tells for which experiments the learning rate was searched, in search/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hw2core.analysis.findings.own import EXPERIMENT_1
from hw2core.analysis.findings.theory import KERNEL, KERNEL_KEY
from hw2core.analysis.tables import Study, has_settings, select
from hw2core.runs.paths import RATES

SEARCH = Path(__file__).parents[3] / RATES
OPTIMIZER = "training.optimizer"
# A best rate holds for the recipe and the networks of the search.
SEARCHED_RECIPE = {
    OPTIMIZER: "sgd",
    "training.batch_size": 128,
    "training.momentum": 0.9,
    "training.nesterov": True,
    "training.schedule": "one_cycle",
    "training.weight_decay": 5e-4,
    "training.flip": True,
    "training.translate": 4,
    **dict.fromkeys(("training.label_smoothing", "training.cutout", "training.average"), 0),
    "architecture.activation_type": "relu",
    KERNEL_KEY: KERNEL,
}
_PLAIN = {
    "training.warmup": 0.25,
    "architecture.batchnorm": False,
    "architecture.initialization": "default",
}
SEARCHED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(EXPERIMENT_1, _PLAIN),
    "exp1_4": _PLAIN | {"architecture.batchnorm": True},
    "exp1_5": {},  # varies them
}
SEARCHED_PART_2 = {
    "training.batch_size": 50,
    "training.batches": 100,
    "training.epochs": 10,
    "training.schedule": "constant",
    "training.weight_decay": 1e-4,
    "training.flip": False,
    "training.translate": 0,
    "architecture.wstd": 0.08,
}
HIDDEN_PART_2 = [128] * 5


def read_rates(study: Study) -> str:
    """Return the section of ``search/README.md`` on the learning rates of part 3.

    It is empty unless experiments 1.1 to 1.4 have results, all on its images with the rate found.
    """
    asked = set(study.runs["experiment"]) & {*EXPERIMENT_1}
    return _read_section() if asked and asked <= {*list_searched(study)} else ""


def _read_section() -> str:
    text = SEARCH.read_text(encoding="utf-8")
    return text.partition("## Results of `part3_rates.yaml`\n")[2].strip()


def list_searched(study: Study) -> list[str]:
    """Return the experiments whose images, recipe and learning rates are those of ``search/``."""
    section = _read_section()
    found = [
        name
        for name, others in SEARCHED.items()
        if set((runs := select(study.runs, experiment=name))["data"]) == {"cifar10"}
        and has_settings(runs, SEARCHED_RECIPE | others)
        and all(f"best at {rate:g}," in section for rate in runs["training.lr"])
    ]
    return found + ["part2_optim"] * has_searched_rates(study)


def has_searched_rates(study: Study) -> bool:
    """Return whether the runs of ``part2_optim`` have images and rates of the search, the best."""
    text = SEARCH.read_text(encoding="utf-8")
    runs = select(study.runs, experiment="part2_optim")
    rates = zip(runs[OPTIMIZER], runs["training.lr"], strict=True) if len(runs) else ()
    return (
        set(runs["data"]) == {"cifar10"}
        and has_settings(runs, SEARCHED_PART_2)
        and has_settings(select(runs, **{OPTIMIZER: "momentum"}), {"training.momentum": 0.9})
        and all(hidden == HIDDEN_PART_2 for hidden in runs["architecture.hidden_dims"])
        and all(f"`{optimizer}_{rate:g}`" in text for optimizer, rate in rates)
    )
