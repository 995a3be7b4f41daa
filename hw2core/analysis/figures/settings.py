"""What a grid over settings finds: validation accuracy against a learning rate or the like."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hw2core.analysis.compared import list_best_in
from hw2core.analysis.figures import drawing, style
from hw2core.analysis.figures.curves import describe_shapes
from hw2core.analysis.rows import POOLS, read_setting
from hw2core.analysis.tables import Study, find_failed_seeds, select
from hw2core.analysis.text import format_number, format_setting, join_words
from hw2core.config.grids import name_setting

NOT_THERE = object()
SEED = "data.split_seed"
DECADE = 10  # from the lowest to the highest value of an axis: beyond, it is a logarithm


class Setting(NamedTuple):
    """A setting of the runs of an experiment."""

    key: str  # as in a grid: training.lr
    values: dict[str, Any]  # by run
    distinct: list[Any]  # numbers in their order, others in that of the runs
    is_number: bool


def find_setting(study: Study, experiment: str) -> Setting | None:
    """Return what the figure has on its axis: of numbers that vary, the one of most values.

    A seed, which only repeats runs, is there if nothing else varies.
    """
    keys = [key for x in study.experiments if x.name == experiment for key in x.settings]
    results = [result for result in study.results if result.experiment == experiment]
    settings = []
    for key in keys:
        found = {x.name: read_setting(x.config, key, NOT_THERE) for x in results}
        if found and NOT_THERE not in found.values():
            values = list(found.values())
            distinct = [value for i, value in enumerate(values) if value not in values[:i]]
            numbers = all(type(value) in (int, float) for value in values)
            distinct = sorted(distinct) if numbers else distinct
            settings.append(Setting(key, found, distinct, numbers))
    return max(settings, key=_rank, default=None)


def _rank(setting: Setting) -> tuple[bool, bool, bool, int]:
    number = len(setting.distinct)
    return number > 1, setting.key != SEED, setting.is_number, number


def list_points(study: Study, experiment: str, setting: Setting) -> pd.DataFrame:
    """Return the seeds of an experiment with their place ``x`` on the axis, and their ``line``.

    A line joins runs that differ in the setting only. Of a run of which a seed trained, the others
    are left out, as in ``summarize``.
    """
    runs = select(study.runs, experiment=experiment)
    runs = runs[~find_failed_seeds(runs)]
    words = {run: re.escape(name_setting(setting.key, x)) for run, x in setting.values.items()}
    if setting.key == POOLS:  # a name has the most pools that were asked for
        words = dict.fromkeys(words, name_setting(POOLS, 0)[:-1] + r"\d+")
    parts = pd.DataFrame(
        {
            "label": [
                re.sub(f"_{words[run]}_", "_", f"_{label}_").strip("_")
                for run, label in zip(runs["run"], runs["label"], strict=True)
            ],
            **describe_shapes(runs),
        },
        index=runs.index,
    )
    varied = [part for part in parts if parts[part].nunique() > 1]
    lines = [", ".join(filter(None, row)) or experiment for row in parts[varied].to_numpy()]
    values = [setting.values[run] for run in runs["run"]]
    places = values if setting.is_number else map(setting.distinct.index, values)
    return runs.assign(line=lines, x=list(places)).sort_values("x", kind="stable")


def describe_settings(study: Study, experiment: str) -> tuple[str, str]:
    """Return caption and alternative text."""
    setting = find_setting(study, experiment)
    if setting is None:
        return f"{experiment} has no result of a grid over settings yet.", ""
    notes = [f"Validation accuracy of {experiment} against {setting.key}."]
    if best := list_best_in(study, experiment):
        found = dict.fromkeys(format_setting(setting.values[run.run]).lower() for run in best)
        which = f"{join_words(found)} {'is' if len(found) == 1 else 'are'} best"
        name = "" if len(best) > 1 else f"{best[0].run}, "
        notes.append(f"{which} ({name}{format_number(best[0].validation)} %).")
    alt = " ".join(notes)
    runs = select(study.runs, experiment=experiment)
    notes += drawing.describe_dots(runs)
    if (list_points(study, experiment, setting)["status"] != "trained").any():
        notes.append("Hollow: does not train.")
    return drawing.join_caption(notes, runs), alt


def draw_settings(study: Study, experiment: str) -> Figure:
    """Return validation accuracy against the setting, with a line for each of the other runs."""
    setting = find_setting(study, experiment)
    assert setting is not None
    points = list_points(study, experiment, setting)
    names = list(points["line"].unique())
    numbers = range(len(names))
    looks = pd.DataFrame(
        {
            "colour": style.pick(style.VARIANTS, numbers),
            "dashes": style.pick(style.DASHES, [n // len(style.VARIANTS) for n in numbers]),
            "hover": names,
        },
        index=names,
    )
    plot = Figure(figsize=(style.FIGURE_WIDTH, 3.4))
    axes = plot.subplots()
    drawing.draw_lines(axes, points, "x", "validation_accuracy", looks)
    points = points.assign(trained=points["status"] == "trained")
    means = points.groupby(["line", "x", "run", "trained"], as_index=False)["validation_accuracy"]
    for point in means.mean().itertuples(index=False):
        colour = looks["colour"][point.line]
        face = colour if point.trained else style.PAPER
        (dot,) = axes.plot(
            point.x, point.validation_accuracy, "o", color=colour, markerfacecolor=face
        )
        drawing.set_hover(dot, f"{point.run}: {format_number(point.validation_accuracy)} %")
    _scale(axes, setting)
    axes.set_ylabel("Validation accuracy (%)")
    if len(names) > 1:
        drawing.add_legend(plot, dict(looks["colour"]), ncols=3)
    return plot


def _scale(axes: Axes, setting: Setting) -> None:
    values = setting.distinct
    label = setting.key
    if setting.is_number and values[0] > 0 and values[-1] >= DECADE * values[0]:
        axes.set_xscale("log")
        label += " (log scale)"
    places = values if setting.is_number else range(len(values))
    axes.set_xticks(places, [format_setting(value).lower() for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
