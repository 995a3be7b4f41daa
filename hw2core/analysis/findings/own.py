"""Answers on the accuracy of the network of experiment 2."""

from __future__ import annotations

from collections.abc import Sequence

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding, summarize_experiments
from hw2core.analysis.findings.depth import say_failures
from hw2core.analysis.findings.width import list_steps
from hw2core.analysis.tables import Study, find_best, list_rows, split_trained
from hw2core.analysis.text import format_change, join_words

EXPERIMENT_1 = ("exp1_1", "exp1_2", "exp1_3", "exp1_4")


def join_experiments(names: Sequence[str]) -> str:
    """Return names of experiments 1.1 to 1.4: as ``first to last`` if all four are there."""
    return f"{names[0]} to {names[-1]}" if len(names) == len(EXPERIMENT_1) else join_words(names)


def has_own_recipe(study: Study) -> bool:
    """Return whether experiment 2 trains in another way than experiment 1."""
    recorded = study.runs.filter(like="training.").fillna(0).map(str)  # without a newer key: off
    recipes = [recorded[study.runs["experiment"].isin(names)] for names in (["exp2"], EXPERIMENT_1)]
    own, others = (set(recipe.itertuples(index=False, name=None)) for recipe in recipes)
    return bool(own and others and own != others)


@finding("part3_q6_2", needs=["exp2"], uses=EXPERIMENT_1)
def say_own_network(study: Study) -> Sentences:
    """Yield the accuracy of the custom network, compared with the best of experiment 1."""
    summary = summarize_experiments(study, "exp2")
    trained, _ = split_trained(summary)
    others = summarize_experiments(study, *EXPERIMENT_1)
    best, other = find_best(summary), find_best(others)
    if best is None:
        yield "The custom network does not train at any depth."
        return
    one_width = summary["widths"].nunique() == 1
    reached = say.by_widths(trained)
    if one_width:
        reached = f"{say.accuracies(trained)} for {say.values('L', trained['depth'])}"
    name, versus = say.name(best, summary), ""
    if other:
        numbers = [x[len("exp") :].replace("_", ".") for x in others["experiment"].unique()]
        compared = f"experiment{'s' if len(numbers) > 1 else ''} {join_experiments(numbers)}"
        named = (
            f"the best of {compared}{say.by_validation(other, others)} (`{other.run}`, "
            f"{say.accuracy(other)})"
        )
        versus = f"; {name} is {say.difference(best.test - other.test, named)}"
    failed = f"; {failures}" if (failures := say_failures(summary)) else ""
    yield f"The custom network reaches {reached}{failed}{versus}."
    if other:
        first = list_rows(trained)[0]
        lead = say.difference(first.test - other.test, "it")
        parts = [f"{say.name(first, summary)} has {say.cost(first)}"]
        if first.run != best.run:
            parts[0] += f" and is {lead}"
            parts.append(f"{name} has {say.cost(best)}")
        yield f"That network has {say.cost(other)}; {'; '.join(parts)}."
    changes = [format_change(new.test - old.test) for old, new in list_steps(trained, "widths")]
    if changes:
        where = "" if one_width else " at the same width"
        kind = "depth" if len(trained) == len(summary) else "depth that trains"
        yield (
            f"From one {kind} to the next{where}, the accuracy changes by {join_words(changes)} "
            "points."
        )
