"""The answer on skip connections: experiment 1.4 against 1.1 and 1.3, and what 1.5 takes apart."""

from __future__ import annotations

import pandas as pd

from hw2core.analysis.findings.core import (
    Sentences,
    finding,
    say_accuracies,
    say_accuracy,
    say_share,
    say_span,
    say_values,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.findings.depth import say_failures
from hw2core.analysis.ranking import list_rows, select
from hw2core.analysis.tables import Study
from hw2core.analysis.text import describe_size, format_change, format_number


@finding("part3_q5", needs=["exp1_4"], uses=["exp1_1", "exp1_3", "exp1_5"])
def say_skip_connections(study: Study) -> Sentences:
    """Which residual networks train, and what they gain at equal numbers of convolutions."""
    summary = summarize_experiments(study, "exp1_4")
    trained = summary[summary["trained"] > 0]
    pairs = pair_with_plain(study)
    share = say_share(len(trained), len(summary), " with skip connections and batch norm")
    reached = f", and reach {say_span(trained['test'])} %" if len(trained) else ""
    plain = int(pairs["plain_trained"].sum())
    against = (
        f"; of the {len(pairs)} plain networks with as many convolutions and channels, "
        f"{plain or 'none'} {'train' if plain > 1 else 'trains'}"
    )
    yield (
        f"{share[0].upper()}{share[1:]}, with {say_span(summary['num_conv'], 0)} convolutions"
        f"{reached}{against if len(pairs) else ''}."
    )
    parts = [
        f"{say_accuracies(list_rows(rows))} for {say_values('L', rows['depth'])} at K = {widths}"
        for widths, rows in split_groups(trained.sort_values("depth"), "widths").items()
    ]
    if parts:
        yield f"In detail: {'; '.join(parts)}."
    if failures := say_failures(summary):
        yield f"{failures}."
    yield from _say_shares(study)


def pair_with_plain(study: Study) -> pd.DataFrame:
    """Return residual networks with the plain one of equal convolutions and widths, if any."""
    keys = ["num_conv", "widths"]
    plain = summarize_experiments(study, "exp1_1", "exp1_3")
    plain = plain.assign(
        plain_run=plain["run"], plain_test=plain["test"], plain_trained=plain["trained"] > 0
    )
    columns = [*keys, "plain_run", "plain_test", "plain_trained"]
    return summarize_experiments(study, "exp1_4").merge(plain[columns], on=keys)


def tabulate_pairs(study: Study) -> pd.DataFrame:
    """Return residual against plain networks of equal convolutions and widths."""
    return pd.DataFrame(
        {
            "Network": describe_size(row.depth, row.widths),
            "Convolutions": row.num_conv,
            "Residual (%)": say_accuracy(row).replace(" %", ""),
            "Plain (%)": format_number(row.plain_test) if row.plain_trained else "chance level",
            "Difference": format_change(row.test - row.plain_test) if row.plain_trained else "–",
        }
        for row in list_rows(pair_with_plain(study))
    )


def _say_shares(study: Study) -> Sentences:
    """Yield what batch norm alone and shortcuts alone reach, on the networks of experiment 1.5."""
    summary = summarize_experiments(study, "exp1_5")
    norm, shortcut = select(summary, label="bn"), select(summary, label="residual")
    pairs = norm.merge(shortcut, on=["depth", "widths"], suffixes=("", "_other"))
    said = [
        f"{format_number(row.test)} against {format_number(row.test_other)} % at "
        f"{describe_size(row.depth, row.widths)}"
        for row in list_rows(pairs)
        if row.trained and row.trained_other
    ]
    if said:
        yield f"Batch norm alone against shortcuts alone (experiment 1.5): {'; '.join(said)}."
