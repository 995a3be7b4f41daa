"""Answers on skip connections: experiment 1.4 compared with 1.1, 1.3 and 1.5."""

from __future__ import annotations

import pandas as pd

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import (
    Sentences,
    compare_settings,
    finding,
    is_used,
    summarize_experiments,
)
from hw2core.analysis.findings.depth import say_failures
from hw2core.analysis.findings.remedies import name_remedies
from hw2core.analysis.tables import Study, list_rows, select, split_trained
from hw2core.analysis.text import format_change, join_words


@finding("part3_q5", needs=["exp1_4"], uses=["exp1_1", "exp1_3", "exp1_5"])
def say_skip_connections(study: Study) -> Sentences:
    """Yield which residual networks train, and their gain at equal numbers of convolutions."""
    summary = summarize_experiments(study, "exp1_4")
    trained, _ = split_trained(summary)
    size = f"with {say.span(summary['num_conv'], 0)} convolutions"
    some_seeds = say.some_seeds(summary["trained"], summary["seeds"])
    if len(summary) == 1:
        verb = "trains" if len(trained) else "does not train"
        text = f"The network with {name_parts(study)}, {size}, {verb}{some_seeds}"
    else:
        things = f"networks with {name_parts(study)}"
        share = say.share(len(trained), len(summary), things)
        text = f"{share[0].upper()}{share[1:]}{some_seeds}, {size}"
    if not trained.empty:
        reach = "reaches" if len(trained) == 1 else "reach"
        text += f", and {reach} {say.span(trained['test'])} %"
    pairs = pair_with_plain(study)
    plain = int((pairs["trained_plain"] > 0).sum())
    plain_seeds = say.some_seeds(pairs["trained_plain"], pairs["seeds_plain"])
    if len(pairs) == 1:
        too = " too" if (pairs["trained"] > 0).any() else ""
        verb = f"trains{too}" if plain else "does not train"
        text += "; the plain network with the same number of convolutions and the same channels "
        text += f"{verb}{plain_seeds}"
    elif len(pairs):
        some = "all" if plain == len(pairs) else "only one" if plain == 1 else plain or "none"
        text += f"; of the {len(pairs)} plain networks with the same number of convolutions and "
        text += f"the same channels, {some} {say.train(plain)}{plain_seeds}"
    yield f"{text}."
    if not trained.empty:
        yield f"In detail: {say.by_widths(trained)}."
    if failures := say_failures(summary):
        yield f"{failures}."
    alone = summarize_experiments(study, "exp1_5")
    alone = alone[alone["label"].isin(list(name_remedies(study)))]
    norm, shortcut = (split_trained(select(alone, label=label))[0] for label in ("bn", "residual"))
    both = norm.merge(shortcut, on=["depth", "widths"], suffixes=("", "_other"))
    said = [
        f"{say.accuracy(row).replace(' %', '', 1)} and {say.accuracy(row, '_other')} at "
        f"{say.size(row.depth, row.widths)}"
        for row in list_rows(both)
    ]
    if said:
        yield (f"Batch norm alone and shortcuts alone (experiment 1.5) reach {join_words(said)}.")


def name_parts(study: Study) -> str:
    """Return what the networks of experiment 1.4 have that plain ones have not."""
    norm = is_used(select(study.runs, experiment="exp1_4"), "architecture.batchnorm")
    return "skip connections and batch norm" if norm else "skip connections"


def list_differences(study: Study) -> list[str]:
    """Return in what the networks of experiment 1.4 differ from those of 1.1 besides shortcuts."""
    found = compare_settings(*(select(study.runs, experiment=x) for x in ("exp1_4", "exp1_1")))
    names = {"architecture.batchnorm": "batch norm", "architecture.pools": "the number of pools"}
    return [name for key, name in names.items() if key in found]


def pair_with_plain(study: Study) -> pd.DataFrame:
    """Return pairs of a residual and a plain network with equal convolutions and widths."""
    plain = summarize_experiments(study, "exp1_1", "exp1_3")
    return summarize_experiments(study, "exp1_4").merge(
        plain, on=["num_conv", "widths"], suffixes=("", "_plain")
    )


def tabulate_pairs(study: Study) -> pd.DataFrame:
    """Return a table of residual and plain networks with equal convolutions and widths."""
    failed = "does not train"
    return pd.DataFrame(
        {
            "Network": say.size(row.depth, row.widths),
            "Convolutions": row.num_conv,
            "Residual (%)": say.accuracy(row).replace(" %", "") if row.trained else failed,
            "Plain (%)": (
                say.accuracy(row, "_plain").replace(" %", "") if row.trained_plain else failed
            ),
            "Difference": (
                format_change(row.test - row.test_plain)
                if row.trained and row.trained_plain
                else "–"
            ),
        }
        for row in list_rows(pair_with_plain(study))
    )
