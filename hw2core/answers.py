"""Gives the course's answers: hyper-parameters of part 2, and texts ``part1_q1`` to ``part3_q6``.

The hyper-parameters are for the images of the notebook, which ``ToTensor`` scales to [0, 1]; with
``normalised=True`` they are those of config.yaml, for images of mean 0 and standard deviation 1.
The texts are those of the report, in Markdown, rendered from ``results/`` in the working directory;
they list missing runs. A warning is logged if results are stale.
"""

from __future__ import annotations

import logging

from hw2core.config.errors import ConfigError
from hw2core.config.networks import MLPArchitecture
from hw2core.config.reading import read_config
from hw2core.config.study import STUDY_FILE, load_experiments, load_study

QUESTIONS = ("part1_q1", "part2_q1", "part2_q2", *(f"part3_q{number}" for number in range(1, 7)))


def __getattr__(name: str) -> str:
    """Render the answer to one of ``QUESTIONS`` from the existing results.

    Raises:
        UserError: a result is damaged, or two results are of different images.
    """
    if name not in QUESTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported here, because training needs the hyper-parameters but not pandas.
    from hw2core.analysis import report, tables
    from hw2core.runs.code_hash import forget_hashes
    from hw2core.runs.staleness import refuse_mixed_images, warn_of_stale

    forget_hashes()  # those of an earlier call
    study = tables.load(load_experiments(), only_evaluated=True)
    warn_of_stale(study.experiments, logging.getLogger(__name__))
    refuse_mixed_images(study.results)
    return report.render_answer(name, study)


def __dir__() -> list[str]:
    return sorted([*globals(), *QUESTIONS])


def part2_overfit_hp(*, normalised: bool = False) -> dict[str, float]:
    """Return wstd, lr and reg with which an MLP memorises 20 images."""
    if normalised:
        return _read_hp("part2_overfit")
    return {"wstd": 0.1, "lr": 0.05, "reg": 0.0}


def part2_optim_hp(*, normalised: bool = False) -> dict[str, float]:
    """Return wstd, reg and one learning rate per optimizer: lr_vanilla, lr_momentum, lr_rmsprop."""
    rates = {"lr_vanilla": 0.04, "lr_momentum": 0.005, "lr_rmsprop": 2e-4}
    if not normalised:
        return {"wstd": 0.08, **rates, "reg": 1e-4}
    first = _read_hp("part2_optim_vanilla")
    rates = {name: _read_hp(f"part2_optim_{name[3:]}")["lr"] for name in rates}
    return {"wstd": first["wstd"], **rates, "reg": first["reg"]}


def part2_dropout_hp(*, normalised: bool = False) -> dict[str, float]:
    """Return wstd and lr with which an MLP memorises 400 images, unless dropout hinders it."""
    if normalised:
        return {name: _read_hp("part2_dropout_0")[name] for name in ("wstd", "lr")}
    return {"wstd": 0.28, "lr": 0.0018}


def _read_hp(name: str) -> dict[str, float]:
    """Return wstd, lr and reg of a run of config.yaml.

    Raises:
        ConfigError: there is no such run of an MLP.
    """
    run = load_study(read_config(STUDY_FILE), str(STUDY_FILE)).runs.get(name)
    if run is None or not isinstance(run.architecture, MLPArchitecture):
        problem = f"has no run {name} of model mlp, which normalised=True needs"
        raise ConfigError(str(STUDY_FILE), [problem])
    recipe = run.training
    return {"wstd": run.architecture.wstd, "lr": recipe.lr, "reg": recipe.weight_decay}
