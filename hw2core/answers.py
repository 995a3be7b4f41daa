"""Gives the course's answers: hyper-parameters of part 2, and texts ``part1_q1`` to ``part3_q6``.

The hyper-parameters are for the images of the notebook, which ``ToTensor`` scales to [0, 1]; the
study normalises its images, and config.yaml has the values for these. The texts are those of the
report, in Markdown, rendered from ``results/`` in the working directory; they list missing runs.
"""

from __future__ import annotations

from hw2core.config.study import load_experiments

QUESTIONS = ("part1_q1", "part2_q1", "part2_q2", *(f"part3_q{number}" for number in range(1, 7)))


def __getattr__(name: str) -> str:
    """Render the answer to one of ``QUESTIONS`` from the existing results.

    Raises:
        ResultError: a result is damaged.
    """
    if name not in QUESTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported here, because training needs the hyper-parameters but not pandas.
    from hw2core.analysis import report, tables

    return report.render_answer(name, tables.load(load_experiments()))


def __dir__() -> list[str]:
    return sorted([*globals(), *QUESTIONS])


def part2_overfit_hp() -> dict[str, float]:
    """Return wstd, lr and reg with which an MLP memorises 20 images."""
    return {"wstd": 0.1, "lr": 0.05, "reg": 0.0}


def part2_optim_hp() -> dict[str, float]:
    """Return wstd, reg and one learning rate per optimizer: lr_vanilla, lr_momentum, lr_rmsprop."""
    rates = {"lr_vanilla": 0.04, "lr_momentum": 0.005, "lr_rmsprop": 2e-4}
    return {"wstd": 0.08, **rates, "reg": 1e-4}


def part2_dropout_hp() -> dict[str, float]:
    """Return wstd and lr with which an MLP memorises 400 images, unless dropout hinders it."""
    return {"wstd": 0.3, "lr": 0.0016}
