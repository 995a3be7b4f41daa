"""The figure of how many trainings train, by depth and kind of network."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from hw2core.analysis.drawing import (
    PAGE_WIDTH,
    plot_missing,
    title_study_figure,
    use_style,
)
from hw2core.analysis.looks import add_family, select_unlabelled
from hw2core.analysis.statistics import estimate_share
from hw2core.analysis.study_tables import StudyTables


def plot_trainability(tables: StudyTables) -> Figure:
    """Return the share of trainings that trained against the number of convolutions.

    Trainings of one kind and number of convolutions are pooled, whatever their widths and seeds;
    one that stands under two names counts once. Bars are Wilson's intervals.
    """
    with use_style():
        summary = select_unlabelled(tables.summary).drop_duplicates(["spec_hash", "seed"])
        if summary.empty:
            return plot_missing("Share of trainings that trained: no result yet.")
        families = list(add_family(summary).groupby("family", sort=False))
        figure = Figure(figsize=(PAGE_WIDTH, 2.4))
        panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
        title_study_figure(figure, "How deep can a network be and still train?", summary)
        for axes, (family, rows) in zip(panels, families, strict=True):
            shares = _count_shares(rows)
            places = [math.log2(number) for number in shares["num_conv"]]
            axes.errorbar(
                places,
                shares["share"],
                yerr=[shares["share"] - shares["low"], shares["high"] - shares["share"]],
                color=rows["colour"].iloc[0],
                marker="o",
                capsize=2,
                elinewidth=0.9,
                clip_on=False,
                gid=str(family),
            )
            axes.set_title(family)
            axes.set_xticks(places, [str(number) for number in shares["num_conv"]])
            axes.set_xlim(places[0] - 0.4, places[-1] + 0.4)
        panels[0].set_ylim(0, 100)
        panels[0].set_ylabel("Trainings that trained (%)")
        figure.supxlabel("Number of convolutions (log scale)", size="medium")
    return figure


def _count_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Return share and interval in percent, a row per number of convolutions."""
    counted = []
    for number, group in rows.groupby("num_conv"):
        share = estimate_share(int((group["status"] == "trained").sum()), len(group))
        # Wilson's bounds are the share itself at none and at all, up to rounding.
        low, high = min(share.low, share.estimate), max(share.high, share.estimate)
        counted.append((number, 100 * share.estimate, 100 * low, 100 * high))
    return pd.DataFrame(counted, columns=["num_conv", "share", "low", "high"])
