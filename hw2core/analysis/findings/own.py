"""Answers on the network of experiment 2: its modifications, and what it brings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd

from hw2core.analysis.findings.core import (
    Sentences,
    finding,
    say_accuracies,
    say_accuracy,
    say_difference,
    say_values,
    summarize_experiments,
)
from hw2core.analysis.ranking import find_best, list_rows, select
from hw2core.analysis.statistics import pair_seeds
from hw2core.analysis.tables import Study
from hw2core.analysis.text import (
    format_change,
    format_flops,
    format_parameters,
    join_words,
)

CHANGES = Path(__file__).parents[3] / "report" / "changes.csv"
AUGMENTATION = {"no_augmentation": "Augmentation"}  # of every experiment, for comparison
EXPERIMENT_1 = ("exp1_1", "exp1_2", "exp1_3", "exp1_4")


def read_changes() -> pd.DataFrame:
    """Return the modifications: ``what``, ``why``, ``source``, and the run ``without`` it."""
    return pd.read_csv(CHANGES, comment="#", keep_default_na=False)


def measure_ablation(study: Study) -> dict[str, float | None]:
    """Return by label what each part of the full network is worth, in points of test accuracy.

    The mean over seeds that both trained; None where the network does not train without the part.
    """
    summary = summarize_experiments(study, "exp2_ablation")
    full = summary[summary["label"] == "full"]
    if full.empty:
        return {}
    worth: dict[str, float | None] = {}
    for row in list_rows(summary[summary["label"] != "full"]):
        pairs = pair_seeds(study.runs, full["run"].iloc[0], row.run, "test_accuracy")
        worth[row.label] = sum(pairs) / len(pairs) if pairs else None
    return worth


@finding("part3_q6_1", uses=["exp2_ablation"])
def say_changes(study: Study) -> Sentences:
    """Which modification is worth most by the ablation."""
    changes = read_changes()
    yield (
        f"{len(changes)} changes, each an answer to a limitation of the networks of experiment 1, "
        "make the network of experiment 2."
    )
    yield from _say_recipe(study)
    worth = measure_ablation(study)
    names = dict(zip(changes["without"], changes["what"], strict=True)) | AUGMENTATION
    said = {label: names.get(label, f"`{label}`") for label in worth}
    if broken := [said[label] for label, points in worth.items() if points is None]:
        yield f"Without {join_words(broken)} the network does not train."
    ranked = sorted(((p, label) for label, p in worth.items() if p is not None), reverse=True)
    if ranked:
        listed = join_words(f"{said[label]} ({format_change(points)})" for points, label in ranked)
        yield f"By the ablation the parts are worth, in points of test accuracy: {listed}."


def _say_recipe(study: Study) -> Sentences:
    """Yield where the recipe differs besides: batch size and learning rate."""
    first = [select(study.runs, experiment=name).to_dict("records") for name in ("exp2", "exp1_1")]
    if not all(first):
        return
    own, plain = (records[0] for records in first)
    said = [
        f"the {name} is {own[key]:g} instead of {plain[key]:g}"
        for key, name in (("training.batch_size", "batch size"), ("training.lr", "learning rate"))
        if own[key] != plain[key]
    ]
    if said:
        yield f"Besides, {join_words(said)}."


def tabulate_changes(study: Study) -> pd.DataFrame:
    """Return each modification, its reason, its source and what the ablation says it is worth."""
    changes, worth = read_changes(), measure_ablation(study)
    texts = {"": "not measured"} | {
        label: "does not train without" if points is None else format_change(points)
        for label, points in worth.items()
    }
    changes["worth"] = [texts.get(label, texts[""]) for label in changes["without"]]
    return (
        changes.drop(columns="without")
        .rename(columns=str.capitalize)
        .rename(columns={"What": "Change"})
    )


@finding("part3_q6_2", needs=["exp2"], uses=EXPERIMENT_1)
def say_own_network(study: Study) -> Sentences:
    """What the network of experiment 2 reaches, against the best of experiment 1."""
    summary = summarize_experiments(study, "exp2")
    rows = list_rows(summary[summary["trained"] > 0])
    best, other = find_best(summary), find_best(summarize_experiments(study, *EXPERIMENT_1))
    if best is None:
        yield "YourCodeNet does not train at any depth."
        return
    reached = f"{say_accuracies(rows)} for {say_values('L', (row.depth for row in rows))}"
    versus = ""
    if other:
        named = f"the best of experiment 1 (`{other.run}`, {say_accuracy(other)})"
        versus = f"; L = {best.depth} is {say_difference(best.test - other.test, named)}"
    yield f"YourCodeNet reaches {reached}{versus}."
    if other:
        parts = [
            f"L = {row.depth} takes {format_parameters(row.parameters)} and "
            f"{format_flops(row.flops_per_image)} "
            f"({say_difference(row.test - other.test, 'it')})"
            for row in rows
            if row.depth in (rows[0].depth, best.depth)
        ]
        yield (
            f"That one takes {format_parameters(other.parameters)} and "
            f"{format_flops(other.flops_per_image)}; {join_words(parts)}."
        )
    if len(rows) > 1:
        changes = [format_change(deep.test - shallow.test) for shallow, deep in pairwise(rows)]
        yield f"From one depth to the next the accuracy changes by {join_words(changes)} points."
