"""Draws all figures: of each experiment, and over the whole study.

A new figure is a module with two functions, a row in ``FIGURES`` and its name in ``runs.paths``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from hw2core.analysis.figures import ablation, cost, curves, dots, key, layers, mistakes
from hw2core.analysis.figures.drawing import save_figure
from hw2core.analysis.tables import Study
from hw2core.runs import paths


class Kind(NamedTuple):
    """A kind of figure: how it is drawn and described.

    Both functions get the study. ``scope`` says what comes after it: the name of the experiment,
    nothing, or (for drawing only) the manifest of the prepared images, None where there are none.
    """

    draw: Callable[..., Figure]
    describe: Callable[..., tuple[str, str]]
    scope: Literal["experiment", "study", "images"] = "study"


FIGURES = {
    "curves": Kind(curves.draw_curves, curves.describe_curves, "experiment"),
    "key": Kind(key.draw_key, key.describe_key),
    "dots": Kind(dots.draw_dots, dots.describe_dots),
    "cost": Kind(cost.draw_cost, cost.describe_cost),
    "layers": Kind(layers.draw_layers, layers.describe_layers),
    "ablation": Kind(ablation.draw_ablation, ablation.describe_ablation),
    "confusion": Kind(mistakes.draw_confusion, mistakes.describe_confusion, "images"),
    "mistakes": Kind(mistakes.draw_mistakes, mistakes.describe_mistakes, "images"),
}


def describe(kind: str, study: Study, experiment: str | None = None) -> tuple[str, str]:
    """Return caption and alternative text of a figure, as plain text.

    The alternative text is empty where there is nothing to show; the caption then says why.
    """
    names = [experiment] if FIGURES[kind].scope == "experiment" else []
    return FIGURES[kind].describe(study, *names)


def draw_experiment(study: Study, name: str) -> list[str]:
    """Draw the figures of an experiment and return their paths."""
    for kind in paths.FIGURE_KINDS:
        files = [paths.figure_path(name, kind, suffix) for suffix in paths.FIGURE_FORMATS]
        save_figure(FIGURES[kind].draw(study, name), files)
    return paths.figure_paths(name)


def draw_study(study: Study, manifest: Path | None = None) -> list[str]:
    """Draw the figures over the whole study and return their paths.

    Args:
        study: all experiments and their results.
        manifest: of the prepared data, whose test images are shown where they are there.

    Raises:
        DataError: the data are there, but damaged.
    """
    for kind in paths.STUDY_FIGURES:
        files = [paths.study_figure_path(kind, suffix) for suffix in paths.FIGURE_FORMATS]
        images = [manifest] if FIGURES[kind].scope == "images" else []
        save_figure(FIGURES[kind].draw(study, *images), files)
    return paths.study_figure_paths()
