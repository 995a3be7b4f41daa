"""The course's answers: hyper-parameters of part 2, and the texts ``part1_q1`` to ``part3_q6``.

The hyper-parameters are for the notebook's images, which ``ToTensor`` alone puts into [0, 1]. The
study normalises its images, for which config.yaml has other values. The texts are those of the
report, in Markdown, rendered from ``results/`` of the working folder; they name missing runs.
"""

from __future__ import annotations

from hw2core.config.study import load_experiments

QUESTIONS = ("part1_q1", "part2_q1", "part2_q2", *(f"part3_q{number}" for number in range(1, 7)))


def __getattr__(name: str) -> str:
    """Render the answer to one of ``QUESTIONS`` from the present results.

    Raises:
        ResultError: a result is damaged.
    """
    if name not in QUESTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported here: hyper-parameters are also needed without pandas, for training.
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
