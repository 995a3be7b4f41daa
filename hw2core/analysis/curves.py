"""The figure of learning curves: what every run and seed of an experiment did over its epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from hw2core.analysis.drawing import (
    FAINT,
    INK,
    MUTED,
    PAGE_WIDTH,
    place_labels,
    plot_nothing,
    spread_labels,
    title_figure,
    use_style,
)
from hw2core.analysis.looks import add_look, sort_facets
from hw2core.analysis.tables import CHANCE_ACCURACY, CHANCE_LOSS, iterate_rows
from hw2core.analysis.wording import describe_status
from hw2core.config.spec import Experiment

PANELS = {
    "train_loss": "Training loss (nats)",
    "validation_loss": "Validation loss (nats)",
    "train_accuracy": "Training accuracy (%)",
    "validation_accuracy": "Validation accuracy (%)",
}


def plot_curves(experiment: Experiment, summary: pd.DataFrame, epochs: pd.DataFrame) -> Figure:
    """Return loss and accuracy over the epochs, in training and validation: a row per widths K.

    Every seed is drawn; where a run has several, thin lines, with the mean of those that trained
    on top of a band over their range. Seeds at chance or diverged are dashed and named in the
    label of their run; a cross ends a diverged one, a dot on the validation accuracy marks the
    epoch that validation chose. Both losses and both accuracies have one scale, which fits the
    seeds that trained.

    Args:
        experiment: what the title says; its name selects the rows of both tables.
        summary: of :func:`hw2core.analysis.tables.summary_table`.
        epochs: of :func:`hw2core.analysis.tables.epochs_table`.
    """
    with use_style():
        summary = add_look(summary[summary["experiment"] == experiment.name])
        epochs = epochs[epochs["experiment"] == experiment.name]
        if summary.empty:
            return plot_nothing(experiment, summary)
        facets = sort_facets(summary["facet"])
        top = _loss_limit(summary, epochs)
        figure = Figure(figsize=(PAGE_WIDTH, 0.75 + 1.6 * len(facets)))
        grid = figure.subplots(len(facets), len(PANELS), squeeze=False, sharex=True)
        title_figure(figure, experiment, summary)

        groups: list[tuple[Axes, list[Text]]] = []
        for facet, row in zip(facets, grid, strict=True):
            labels = []
            for run, seeds in summary[summary["facet"] == facet].groupby("run", sort=False):
                rows = epochs[epochs["run"] == run]
                for axes, column in zip(row, PANELS, strict=True):
                    curves = rows.pivot_table(
                        index="epoch", columns="seed", values=column, dropna=False
                    )
                    limit = top if column.endswith("loss") else 100.0
                    end = _draw_run(axes, seeds, curves, limit)
                    if column == "validation_accuracy":
                        _mark_best_epochs(axes, seeds, curves)
                words = describe_status(seeds["status"].tolist())
                text = seeds["label"].iloc[0] + (f" ({words})" if words else "")
                labels.append((*end, text, seeds["colour"].iloc[0]))
            groups.append((row[-1], place_labels(row[-1], labels)))
            _finish_row(row, facet, epochs, top)
        for axes in grid[-1]:
            axes.set_xlabel("Epoch")
        figure.legend(handles=_legend(summary), loc="outside lower left", ncols=4)
        spread_labels(figure, groups)
    return figure


def _draw_run(
    axes: Axes, seeds: pd.DataFrame, curves: pd.DataFrame, limit: float
) -> tuple[float, float]:
    """Draw a run's ``curves`` (epochs x seeds) and return the point where its label belongs."""
    colour = seeds["colour"].iloc[0]
    several = len(seeds) > 1
    trained = []
    for seed in iterate_rows(seeds):
        if seed.seed not in curves:
            continue
        curve = curves[seed.seed].astype(float)
        usual = seed.status == "trained"
        trained += [seed.seed] if usual else []
        axes.plot(
            curve.index,
            curve,
            color=colour,
            linestyle="-" if usual else "--",
            linewidth=0.6 if several else 1.4,
            alpha=0.55 if several else 1.0,
            marker="o" if len(curve) == 1 else None,
            gid=f"{seed.run}/seed{seed.seed}",
        )
        seen = curve.dropna()
        if seed.status == "diverged" and not seen.empty:
            last = min(float(seen.iloc[-1]), limit)
            axes.plot(seen.index[-1], last, "x", color=colour, clip_on=False, gid="diverged")
    mean = curves[trained or list(curves.columns)].astype(float).mean(axis=1).dropna()
    if several:
        axes.plot(mean.index, mean, color=colour, linestyle="-" if trained else "--")
        low, high = (curves[trained].astype(float).agg(end, axis=1) for end in ("min", "max"))
        axes.fill_between(curves.index, low, high, color=colour, alpha=0.15, linewidth=0)
    if mean.empty:
        return 1.0, CHANCE_ACCURACY
    return float(mean.index[-1]), float(mean.iloc[-1])


def _mark_best_epochs(axes: Axes, seeds: pd.DataFrame, curves: pd.DataFrame) -> None:
    """Put a dot where validation chose the weights; at chance, or diverged, that means nothing."""
    for seed in iterate_rows(seeds[seeds["status"] == "trained"]):
        if seed.seed in curves:
            axes.plot(
                seed.best_epoch,
                curves[seed.seed].astype(float)[seed.best_epoch],
                "o",
                color=seed.colour,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=4,
                clip_on=False,
                gid="best epoch",
            )


def _finish_row(row: np.ndarray, facet: str, epochs: pd.DataFrame, loss_limit: float) -> None:
    """Set titles, limits and the lines of chance of one row of panels."""
    last = float(epochs["epoch"].max()) if len(epochs) else 1.0
    for axes in row[1::2]:
        axes.tick_params(labelleft=False)
    for axes, (column, title) in zip(row, PANELS.items(), strict=True):
        is_loss = column.endswith("loss")
        axes.set_title(title)
        axes.set_ylim(0, loss_limit if is_loss else 100)
        axes.set_xlim(*((1, last) if last > 1 else (0.5, 1.5)))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        axes.axhline(
            CHANCE_LOSS if is_loss else CHANCE_ACCURACY, color=MUTED, linestyle=":", linewidth=0.9
        )
    row[0].annotate(
        facet,
        (0, 1),
        xytext=(0, 17),
        xycoords="axes fraction",
        textcoords="offset points",
        weight="bold",
    )


def _loss_limit(summary: pd.DataFrame, epochs: pd.DataFrame) -> float:
    """Return the top of the loss axes: an exploding loss must not flatten those that trained."""
    trained = summary.loc[summary["status"] == "trained", ["run", "seed"]]
    losses = epochs.merge(trained, on=["run", "seed"])[["train_loss", "validation_loss"]]
    highest = np.nanmax([CHANCE_LOSS, *losses.max()])
    return 1.08 * float(highest)


def _legend(summary: pd.DataFrame) -> list[Artist]:
    several = summary["run"].duplicated().any()
    handles: list[Artist] = [
        Line2D([], [], color=INK, label="mean of trained seeds" if several else "one seed")
    ]
    if several:
        handles.append(Line2D([], [], color=MUTED, linewidth=0.6, label="a seed"))
        handles.append(Patch(color=INK, alpha=0.15, linewidth=0, label="range of trained seeds"))
    if (summary["status"] != "trained").any():
        handles.append(Line2D([], [], color=INK, linestyle="--", label="at chance or diverged"))
    if (summary["status"] == "diverged").any():
        handles.append(Line2D([], [], color=INK, marker="x", linestyle="", label="diverged here"))
    handles.append(
        Line2D([], [], color=INK, marker="o", linestyle="", label="epoch chosen on validation")
    )
    chance = f"chance: {CHANCE_ACCURACY:.0f} %, {CHANCE_LOSS:.2f} nats"
    handles.append(Line2D([], [], color=FAINT, linestyle=":", linewidth=0.9, label=chance))
    return handles
