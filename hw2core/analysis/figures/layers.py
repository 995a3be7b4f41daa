"""Draws gradients and activations by layer, which show why deep plain networks do not train."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from hw2core.analysis.compared import select_assigned, select_usual_images
from hw2core.analysis.figures import drawing, style
from hw2core.analysis.signal import THEORY, follows_theory
from hw2core.analysis.tables import Study, leave_out_mlps, select

PANELS = {"gradient_norm": "Weight gradient (RMS)", "activation_std": "Activation (SD)"}
MOMENTS = ("Before training", "After training")
DASHED = "theory: √6 per layer"


def select_networks(study: Study) -> pd.DataFrame:
    """Return the networks to compare, by ``name_lines``, with ``colour`` and ``dashes``.

    They are the assignment's if some of these are plain. First are the plain networks by depth,
    with the widths that have the most depths; then other networks as deep and wide as the deepest
    of them, unless they start from the same weights.
    """
    recorded = study.layers.loc[study.layers["layer"].str.startswith("conv"), "run"]
    assigned = select_assigned(study)
    runs = select_usual_images(study) if select(assigned, family="plain").empty else assigned
    runs = runs[runs["run"].isin(recorded)]
    networks = runs.drop_duplicates("run")
    plain = select(networks, family="plain", label="").drop_duplicates(["num_conv", "widths"])
    if plain.empty:
        return plain
    plain = plain[plain["widths"] == plain["widths"].mode().iloc[0]].sort_values("num_conv")
    last = plain.iloc[-1]
    others = select(networks, num_conv=last["num_conv"], widths=last["widths"])
    others = others[(others["family"] != "plain") | (others["label"] != "")]
    start = _list_start(study, last["run"])
    same = [run for run in others["run"] if _list_start(study, run) == start]
    others = others[~others["run"].isin(same)]
    known = others["family"].map(style.FAMILIES)
    colours = [
        *map(style.colour_depth, plain["depth"]),
        *known.where(others["family"] != "plain", style.VARIANTS[3]),
    ]
    frame: pd.DataFrame = pd.concat([plain, others]).assign(colour=colours)
    lines = runs.assign(hover=drawing.name_lines(runs))[["run", "hover"]].drop_duplicates()
    frame = frame.merge(lines.sort_values("hover"), on="run")
    dashes = style.pick(style.DASHES, frame.groupby("colour").cumcount())
    return frame.assign(dashes=dashes).set_index("hover", drop=False)


def list_layers(study: Study, networks: pd.DataFrame) -> pd.DataFrame:
    """Return the convolutions of ``networks`` before and after training.

    Columns: ``run``, ``seed``, ``line``, ``moment``, ``number`` of the convolution from the input
    (without those on shortcuts), and ``PANELS``; zeros have no logarithm and are missing.
    """
    runs = study.runs[study.runs["run"].isin(networks["run"])]
    lines = runs.assign(line=drawing.name_lines(runs))[["run", "seed", "line"]]
    layers = study.layers.merge(lines, on=["run", "seed"])
    layers = layers[layers["layer"].str.startswith("conv")]
    epochs = layers.groupby(["run", "seed"])["epoch"]
    layers = layers.assign(
        number=layers["layer"].str.removeprefix("conv").astype(int),
        moment=np.select(
            [layers["epoch"] == epochs.transform(end) for end in ("min", "max")], MOMENTS, ""
        ),
    )
    layers[list(PANELS)] = layers[list(PANELS)].where(layers[list(PANELS)] > 0)
    return layers[layers["moment"] != ""]


def describe_layers(study: Study) -> tuple[str, str]:
    """Return caption and alternative text."""
    networks, unplaced = select_networks(study), drawing.name_unplaced(leave_out_mlps(study.runs))
    if networks.empty:
        missing = "No plain network with recorded layers has a result yet."
        return " ".join([missing, *unplaced]), ""
    deepest = _find_deepest(networks)
    notes = [f"Gradients and activations of each convolution in {deepest} and other networks."]
    gradients = _trace(list_layers(study, networks), deepest, "gradient_norm")
    if len(gradients) > 1:
        ratio = float(f"{gradients.iloc[-1] / gradients.iloc[0]:.2g}")
        notes.append(
            f"Before training, the gradient in {deepest} is {ratio:,.6g} times as large at the "
            "last convolution as at the first."
        )
    alt = " ".join(notes)
    runs = study.runs[study.runs["run"].isin(networks["run"])]
    if follows_theory(select(runs, run=deepest)):
        notes.append(
            "The theory predicts a factor of √6 per layer for PyTorch's default initialisation, "
            "for activations in the forward pass and gradients in the backward pass."
        )
    notes += [*drawing.describe_lines(runs, "geometric means"), *unplaced]
    return drawing.join_caption(notes, runs), alt


def draw_layers(study: Study) -> Figure:
    """Return gradient and activation by layer, before (left) and after training (right)."""
    networks = select_networks(study)
    layers, deepest = list_layers(study, networks), _find_deepest(networks)
    plot = Figure(figsize=(style.FIGURE_WIDTH, 5.0))
    grid = plot.subplots(2, 2, sharex=True, sharey="row")
    shown: dict[str, Line2D] = {}  # by what the legend calls them
    for row, (quantity, name), anchor in zip(grid, PANELS.items(), (-1, 0), strict=True):
        row[0].set_yscale("log")
        for axes, moment in zip(row, MOMENTS, strict=True):
            own = select(layers, moment=moment).dropna(subset=quantity)
            lines = drawing.draw_lines(axes, own, "number", quantity, networks)
            for line in lines:
                line.set(marker="o", markersize=2.5, markeredgewidth=0)
            drawn = networks.index[networks.index.isin(own["line"])]
            shown |= zip(drawn, lines, strict=True)
            axes.set(xlabel="Convolution, from the input", ylabel="")
        row[0].set_ylabel(name)
        if follows_theory(select(study.runs, run=deepest)):
            for line in _draw_theory(row[0], _trace(layers, deepest, quantity), anchor):
                shown[DASHED] = line
        row[0].yaxis.set_major_locator(LogLocator(numticks=7))
        row[0].yaxis.set_major_formatter(_format_power)
        row[0].yaxis.set_minor_locator(NullLocator())
    for axes, moment in zip(grid[0], MOMENTS, strict=True):
        axes.set_title(moment)
    grid[1, 0].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    names = [name for name in (*networks.index, DASHED) if name in shown]
    plot.legend([shown[name] for name in names], names, loc="outside lower left", ncols=3)
    return plot


def _find_deepest(networks: pd.DataFrame) -> str:
    """Return the deepest plain network: the last one without a label."""
    return str(select(networks, family="plain", label="")["run"].iloc[-1])


def _list_start(study: Study, run: str) -> list[float]:
    """Return the gradients recorded before training; equal weights give equal gradients."""
    layers = select(study.layers, run=run)
    return select(layers, epoch=layers["epoch"].min())["gradient_norm"].dropna().to_list()


def _trace(layers: pd.DataFrame, run: str, quantity: str) -> pd.Series:
    """Return a quantity before training by number of the convolution, as geometric means."""
    own = select(layers, run=run, moment=MOMENTS[0])
    means: pd.Series = np.exp(np.log(own[quantity]).groupby(own["number"]).mean())
    return means.dropna()


def _draw_theory(axes: Axes, values: pd.Series, anchor: int) -> list[Line2D]:
    """Draw the predicted factor per layer through the value at ``anchor`` (0 or -1)."""
    if values.empty:
        return []
    steps = values.index - values.index[anchor]
    expected = values.iloc[anchor] * THEORY ** (steps if anchor else -steps)
    limits = axes.get_ylim()
    lines = axes.plot(values.index, expected, color=style.INK, ls="--", linewidth=1, zorder=5)
    axes.set_ylim(limits)
    return lines


def _format_power(value: float, _: object = None) -> str:
    return f"{value:g}" if value > 1e-3 else f"{value:.0e}".replace("e-0", "e-")
