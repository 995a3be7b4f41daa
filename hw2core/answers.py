"""The course's answers: hyper-parameters of part 2.

They are those that the study's own runs use: each is read from config.yaml, where it stands once.
"""

from __future__ import annotations

from functools import cache

from hw2core.architectures import MLPArchitecture
from hw2core.config_file import read_config
from hw2core.spec import RunSpec
from hw2core.study import STUDY_FILE, load_study


def part2_overfit_hp() -> dict[str, float]:
    """Return wstd, lr and reg with which an MLP learns 20 images by heart."""
    run = _get_run("part2_overfit")
    return {"wstd": _wstd(run), "lr": run.training.lr, "reg": run.training.weight_decay}


def part2_optim_hp() -> dict[str, float]:
    """Return wstd, reg and one learning rate an optimizer: lr_vanilla, lr_momentum, lr_rmsprop."""
    names = ("vanilla", "momentum", "rmsprop")
    runs = {name: _get_run(f"part2_optim_{name}") for name in names}
    first = runs["vanilla"]
    rates = {f"lr_{name}": run.training.lr for name, run in runs.items()}
    return {"wstd": _wstd(first), **rates, "reg": first.training.weight_decay}


def part2_dropout_hp() -> dict[str, float]:
    """Return wstd and lr of the dropout comparison."""
    run = _get_run("part2_dropout_0")
    return {"wstd": _wstd(run), "lr": run.training.lr}


@cache
def _get_run(name: str) -> RunSpec:
    return load_study(read_config(STUDY_FILE), str(STUDY_FILE)).runs[name]


def _wstd(run: RunSpec) -> float:
    assert isinstance(run.architecture, MLPArchitecture)
    return run.architecture.wstd
