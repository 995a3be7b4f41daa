"""Draws what figures share: lines, means with ranges, hover titles, captions, layout, saving."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hw2core.analysis.figures import style
from hw2core.analysis.tables import find_failed_seeds
from hw2core.analysis.text import count_things, describe_evidence, format_range, join_some
from hw2core.data.registry import title_data_set
from hw2core.io import replace_atomically

# Columns that make accuracies comparable.
BUDGET = ["max_epochs", "patience", "images_per_epoch", "train_images", "data"]
_HOVER = "hover: "  # prefix of an artist's gid; the rest is shown on hover
# Leaves out date and program, so that the same figure gives the same bytes.
_METADATA = {
    ".svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    ".png": {"Software": None},
}


def draw_missing(reason: str) -> Figure:
    """Return a figure with only the reason why there is nothing to show."""
    figure = Figure(figsize=(style.FIGURE_WIDTH, 0.5))
    figure.text(0.01, 0.5, textwrap.fill(reason, 78), va="center")
    return figure


def set_hover(artist: Artist, text: str) -> None:
    """Show ``text`` when the pointer is over ``artist`` in an SVG."""
    artist.set_gid(_HOVER + text.replace('"', "'"))  # the attribute is quoted with "


def draw_lines(axes: Axes, data: pd.DataFrame, x: str, y: str, looks: pd.DataFrame) -> list[Line2D]:
    """Draw the mean over seeds and a band of their range for each value of ``data["line"]``.

    ``looks`` has a row per line, indexed by it, with ``colour``, ``dashes`` and ``hover``.
    """
    data = data.dropna(subset=y)
    looks = looks[looks.index.isin(data["line"])]
    seaborn.lineplot(
        data,
        x=x,
        y=y,
        hue="line",
        hue_order=looks.index,
        palette=dict(looks["colour"]),
        style="line",
        style_order=looks.index,
        dashes=dict(looks["dashes"]),
        marker="o" if data[x].nunique() == 1 else None,
        errorbar=("pi", 100) if data["seed"].nunique() > 1 else None,
        err_kws={"linewidth": 0, "alpha": 0.15},
        legend=False,
        ax=axes,
    )
    lines = list(axes.get_lines())
    for line, text in zip(lines, looks["hover"], strict=True):
        set_hover(line, text)
    return lines


def draw_network(
    axes: Axes, x: float, row: Any, rest: str = "", linewidth: float | None = None, **dot: Any
) -> None:
    """Draw mean and range of the test accuracy of a row of ``summarize`` at ``x``.

    ``rest`` follows the accuracy in the hover text; ``dot`` has the properties of the marker.
    """
    colour = style.colour_family(row.family)
    axes.plot([x] * 2, [row.test_low, row.test_high], color=colour, linewidth=linewidth)
    (mean,) = axes.plot(x, row.test, "o", color=colour, **dot)
    accuracy = format_range(row.test, row.test_low, row.test_high)
    set_hover(mean, f"{row.run}: {accuracy} %{rest}")


def name_lines(runs: pd.DataFrame) -> pd.Series:
    """Return the line of each row: its run; seeds that failed, while others trained, are apart."""
    return runs["run"].mask(find_failed_seeds(runs), runs["run"] + ", not trained")


def describe_lines(runs: pd.DataFrame, means: str = "means") -> list[str]:
    """Return what the lines of ``name_lines`` are, if there are several seeds."""
    if not runs["run"].duplicated().any():
        return []
    notes = [f"Lines are {means} over seeds, bands the range."]
    if apart := list(runs.loc[find_failed_seeds(runs), "run"].unique()):
        notes.append(f"Seeds that did not train have lines of their own: of {join_some(apart)}.")
    return notes


def describe_dots(runs: pd.DataFrame) -> list[str]:
    """Return what dots of ``summarize`` are, if there are several seeds."""
    if not runs["run"].duplicated().any():
        return []
    fail = not (runs["status"] == "trained").groupby(runs["run"]).any().all()
    others = ", or over all seeds where none does" if fail else ""
    return [f"Dots are means over the seeds that train{others}, with their range."]


def add_legend(
    figure: Figure,
    colours: Mapping[str, str],
    failed: bool = False,
    public: bool = False,
    **look: Any,
) -> None:
    """Add a legend of colours, hollow dots (if ``failed``) and the grey band (if ``public``)."""
    looks = [(label, colour, colour) for label, colour in colours.items()]
    if failed:
        looks.append(("does not train", style.INK, style.PAPER))
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker="o", ls="", label=label, markerfacecolor=face)
        for label, colour, face in looks
    ]
    if public:
        handles.append(Patch(color=style.BAND, label="public solutions: median to best"))
    figure.legend(handles=handles, **{"loc": "outside lower left", **look})


def name_unplaced(runs: pd.DataFrame) -> list[str]:
    """Return in a sentence, if there are any, which runs have no number of convolutions."""
    names = list(runs.loc[runs["num_conv"].isna(), "run"].unique())
    return [f"Not shown, without L and K: {join_some(names)}."] if names else []


def join_caption(sentences: Iterable[str], runs: pd.DataFrame) -> str:
    """Return the sentences, followed by the budgets and number of seeds of ``runs``."""
    budgets = sorted(runs.groupby(BUDGET, sort=False), key=lambda budget: -len(budget[1]))
    parts = [f"{', '.join(x['experiment'].unique())}: {describe_budget(x)}" for _, x in budgets]
    unequal = f"Trained on unequal budgets. {'; '.join(parts)}." if len(parts) > 1 else ""
    return " ".join(filter(None, [*sentences, unequal, describe_evidence(runs)]))


def describe_budget(runs: pd.DataFrame) -> str:
    """Return the budget of the first row: ``20 epochs of 5,000 of 20,000 images``."""
    first = runs.iloc[0]
    kind = "" if first["data"] == "cifar10" else f"{title_data_set(first['data'])} "
    numbers = sorted({first["images_per_epoch"], first["train_images"]})
    images = " of ".join(f"{number:,}" for number in numbers)
    most = "at most " if first["patience"] < first["max_epochs"] else ""
    epochs = count_things(first["max_epochs"], "epoch")
    return f"{most}{epochs} of {images} {kind}images"


def lay_out(axes: Axes) -> float:
    """Compute the layout of a figure, freeze it, and return pixels per point."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes are always in one
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
    return figure.dpi / 72


def save_figure(figure: Figure, paths: Iterable[Path | str]) -> None:
    """Write ``figure`` atomically to each path, as SVG or PNG by its suffix.

    The same figure gives the same bytes. In an SVG, the texts of ``set_hover`` become ``<title>``.
    """
    with style.use_style(), mpl.rc_context({"figure.constrained_layout.use": False}):
        for axes in figure.axes[:1]:
            lay_out(axes)
        figure.set_layout_engine(None)  # with an engine, each file is drawn twice
        for path in map(Path, paths):
            stream = io.BytesIO()
            figure.savefig(stream, format=path.suffix[1:], metadata=_METADATA[path.suffix])
            content = stream.getvalue()
            if path.suffix == ".svg":
                pattern = rb'<g id="%s([^"]*)">' % _HOVER.encode()
                content = re.sub(pattern, rb"<g>\n<title>\1</title>", content)
            with replace_atomically(path) as temporary:
                temporary.write_bytes(content)
