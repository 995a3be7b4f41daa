"""Why deep plain networks do not train: gradients and activations, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from hw2core.analysis.figures import drawing, style
from hw2core.analysis.signal import THEORY
from hw2core.analysis.tables import Study, leave_out_mlps, select

PANELS = {"gradient_norm": "Weight gradient (RMS)", "activation_std": "Activation (SD)"}
MOMENTS = ("Before training", "After training")


def select_networks(study: Study) -> pd.DataFrame:
    """Return the networks to compare, by name of the run, with ``colour`` and ``dashes``.

    First the plain ones by depth: of those widths that have the most depths. Then what is as deep
    and as wide as the deepest of these, unless it starts from the same weights.
    """
    recorded = study.layers.loc[study.layers["layer"].str.startswith("conv"), "run"]
    networks = study.runs[study.runs["run"].isin(recorded)].drop_duplicates("run")
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
    dashes = style.pick(style.DASHES, frame.groupby("colour").cumcount())
    return frame.assign(dashes=dashes, hover=frame["run"]).set_index("run")


def list_layers(study: Study, networks: pd.DataFrame) -> pd.DataFrame:
    """Return the layers of ``networks`` before and after training, their convolutions only.

    Columns: ``line`` (the run), ``seed``, ``moment``, ``number`` of the convolution from the input,
    those of shortcuts not counted, and ``PANELS``; what is 0 has no logarithm and is missing.
    """
    layers = study.layers[study.layers["run"].isin(networks.index)]
    layers = layers[layers["layer"].str.startswith("conv")]
    epochs = layers.groupby("run")["epoch"]
    layers = layers.assign(
        line=layers["run"],
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
    notes = [f"Gradients and activations of each convolution, for {deepest} and others."]
    gradients = _trace(list_layers(study, networks), deepest, "gradient_norm")
    if len(gradients) > 1:
        ratio = float(f"{gradients.iloc[-1] / gradients.iloc[0]:.2g}")
        notes.append(
            f"Before training, the gradient of {deepest} is {ratio:,.6g} times as large at its "
            "last convolution as at its first."
        )
    alt = " ".join(notes)
    notes.append(
        "Dashed: a factor of √6 per layer, as the theory has it for PyTorch's default "
        "initialisation, for activations on the way forward and for gradients on the way back."
    )
    notes += unplaced
    return drawing.join_caption(notes, study.runs[study.runs["run"].isin(networks.index)]), alt


def draw_layers(study: Study) -> Figure:
    """Return gradient and activation by layer, before training (left) and after it."""
    networks = select_networks(study)
    layers, deepest = list_layers(study, networks), _find_deepest(networks)
    plot = Figure(figsize=(style.FIGURE_WIDTH, 5.0))
    grid = plot.subplots(2, 2, sharex=True, sharey="row")
    for row, (quantity, name), anchor in zip(grid, PANELS.items(), (-1, 0), strict=True):
        row[0].set_yscale("log")
        for axes, moment in zip(row, MOMENTS, strict=True):
            own = select(layers, moment=moment)
            lines = drawing.draw_lines(axes, own, "number", quantity, networks)
            for line in lines:
                line.set(marker="o", markersize=2.5, markeredgewidth=0)
            axes.set(xlabel="Convolution, from the input", ylabel="")
        row[0].set_ylabel(name)
        _draw_theory(row[0], _trace(layers, deepest, quantity), anchor)
        row[0].yaxis.set_major_locator(LogLocator(numticks=7))
        row[0].yaxis.set_major_formatter(_format_power)
        row[0].yaxis.set_minor_locator(NullLocator())
    for axes, moment in zip(grid[0], MOMENTS, strict=True):
        axes.set_title(moment)
    grid[1, 0].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    labels = [*networks.index, "theory: √6 per layer"]
    plot.legend([*lines, grid[0, 0].get_lines()[-1]], labels, loc="outside lower left", ncols=3)
    return plot


def _find_deepest(networks: pd.DataFrame) -> str:
    """Return the deepest plain network: the last of those without a label."""
    return str(select(networks, family="plain", label="").index[-1])


def _list_start(study: Study, run: str) -> list[float]:
    """Return what was recorded of a run before training; equal weights give equal numbers."""
    layers = select(study.layers, run=run)
    return select(layers, epoch=layers["epoch"].min())["gradient_norm"].dropna().to_list()


def _trace(layers: pd.DataFrame, run: str, quantity: str) -> pd.Series:
    """Return a quantity before training by the number of the convolution: geometric means."""
    own = select(layers, line=run, moment=MOMENTS[0])
    means: pd.Series = np.exp(np.log(own[quantity]).groupby(own["number"]).mean())
    return means.dropna()


def _draw_theory(axes: Axes, values: pd.Series, anchor: int) -> None:
    """Draw the factor per layer, through the value of the layer at ``anchor`` (0 or -1)."""
    if values.empty:
        return
    steps = values.index - values.index[anchor]
    expected = values.iloc[anchor] * THEORY ** (steps if anchor else -steps)
    limits = axes.get_ylim()
    axes.plot(values.index, expected, color=style.INK, linestyle="--", linewidth=1, zorder=5)
    axes.set_ylim(limits)


def _format_power(value: float, _: object = None) -> str:
    return f"{value:g}" if value > 1e-3 else f"{value:.0e}".replace("e-0", "e-")
