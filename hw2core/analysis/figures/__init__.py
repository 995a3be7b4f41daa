"""Draws all figures, of each experiment and of the whole study.

To add a figure, write two functions, add an entry to ``FIGURES`` and its name to ``runs.paths``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure

from hw2core.analysis.figures import cost, curves, dots, key, layers, mistakes, settings
from hw2core.analysis.figures.drawing import draw_missing, save_figure
from hw2core.analysis.figures.style import use_style
from hw2core.analysis.tables import Study
from hw2core.runs import paths

if TYPE_CHECKING:
    from hw2core.config.spec import Experiment


class Kind(NamedTuple):
    """A kind of figure: functions for its caption and alternative text, and to draw it.

    Both functions take the study and, for a figure of one experiment, its name. ``draw`` is called
    in the style of the study, and only if the alternative text is not empty; if the figure
    ``shows_images``, it also takes the manifest of the prepared images.
    """

    describe: Callable[..., tuple[str, str]]
    draw: Callable[..., Figure]
    shows_images: bool = False


FIGURES = {
    "curves": Kind(curves.describe_curves, curves.draw_curves),
    "settings": Kind(settings.describe_settings, settings.draw_settings),
    "key": Kind(key.describe_key, key.draw_key),
    "dots": Kind(dots.describe_dots, dots.draw_dots),
    "cost": Kind(cost.describe_cost, cost.draw_cost),
    "layers": Kind(layers.describe_layers, layers.draw_layers),
    "ablation": Kind(dots.describe_ablation, dots.draw_ablation),
    "confusion": Kind(mistakes.describe_confusion, mistakes.draw_confusion, True),
    "mistakes": Kind(mistakes.describe_mistakes, mistakes.draw_mistakes, True),
}


def describe(kind: str, study: Study, experiment: str | None = None) -> tuple[str, str]:
    """Return caption and alternative text of a figure, as plain text.

    If there is nothing to show, the alternative text is empty and the caption gives the reason.
    """
    return FIGURES[kind].describe(study, *filter(None, [experiment]))


def draw(
    kind: str, study: Study, experiment: str | None = None, manifest: Path | None = None
) -> Figure:
    """Draw a figure, or only its caption if there is nothing to show.

    Raises:
        DataError: the images of ``manifest`` are damaged.
    """
    caption, alt = describe(kind, study, experiment)
    images = [manifest] if FIGURES[kind].shows_images else []
    with use_style():
        if not alt:
            return draw_missing(caption)
        return FIGURES[kind].draw(study, *filter(None, [experiment]), *images)


def draw_experiment(study: Study, experiment: Experiment) -> list[str]:
    """Draw the figures of an experiment and return their paths."""
    name = experiment.name
    for kind in paths.figure_kinds(experiment.settings):
        files = [paths.figure_path(name, kind, suffix) for suffix in paths.FIGURE_FORMATS]
        save_figure(draw(kind, study, name), files)
    return paths.figure_paths(name, experiment.settings)


def draw_study(study: Study, manifest: Path | None = None) -> list[str]:
    """Draw the figures of the whole study with ``draw`` and return their paths."""
    for kind in paths.STUDY_FIGURES:
        files = [paths.study_figure_path(kind, suffix) for suffix in paths.FIGURE_FORMATS]
        save_figure(draw(kind, study, None, manifest), files)
    return paths.study_figure_paths()
