"""Says in three sentences with few numbers what the assignment's experiments found."""

from __future__ import annotations

import pandas as pd

from hw2core.analysis.findings import say
from hw2core.analysis.findings.changes import is_edited
from hw2core.analysis.findings.core import (
    FINDINGS,
    Sentences,
    is_used,
    list_other_settings,
    say_other_settings,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.findings.own import EXPERIMENT_1, join_experiments
from hw2core.analysis.findings.residual import name_parts
from hw2core.analysis.findings.width import list_steps
from hw2core.analysis.tables import Study, find_best, join_names, select, split_trained, summarize
from hw2core.analysis.text import describe_seeds, format_number


def say_briefly(study: Study) -> Sentences:
    """Yield a sentence each on depth, skip connections, and width with the best network.

    What the results do not show is left out.
    """
    names = ["exp1_1"] if list_other_settings(study, "exp1_1", "exp1_2") else ["exp1_1", "exp1_2"]
    runs = study.runs[study.runs["experiment"].isin(names)]
    where = ", ".join(f"`{name}`" for name in runs["experiment"].unique())
    plain = summarize(join_names(runs)).sort_values(["depth", "parameters"])
    yield from _say_depth(plain, where)
    residual = summarize_experiments(study, "exp1_4")
    trained, _ = split_trained(residual)
    if len(trained):
        some = "all networks" if len(residual) > 1 else "the only network"
        if len(trained) < len(residual):
            some = f"{len(trained)} of {len(residual)} networks"
        text = (
            f"With {name_parts(study)} (`exp1_4`), {some} {say.train(len(trained))}"
            f"{say.some_seeds(trained['trained'], trained['seeds'])}, with up to "
            f"{trained['num_conv'].max()} convolutions."
        )
        yield " ".join([text, *say_other_settings(study, FINDINGS["part3_q5"])])
    yield from _say_width_and_best(study, plain, where)


def _say_depth(plain: pd.DataFrame, where: str) -> Sentences:
    groups = [rows for rows in split_groups(plain, "widths").values() if len(rows) > 1]
    bests = [(best, say.by_validation(best, rows)) for rows in groups if (best := find_best(rows))]
    depths = {best.depth for best, _ in bests}
    if len(depths) != 1:
        return
    depth, by_validation = depths.pop(), max(chosen for _, chosen in bests)
    deeper = plain[plain["depth"] > depth]
    failed = int((deeper["trained"] == 0).sum())
    best = f"are most accurate{by_validation} with L = {depth}"
    if any(row.trained < row.seeds for row, _ in bests):
        best += ", which does not train with every seed"
    of = "" if plain["widths"].str.contains("-").any() else " of one width"
    text = f"Plain networks{of} ({where}) {best}"
    if failed:
        verb = "does" if failed == 1 else "do"
        text += f", and {failed} of {len(deeper)} deeper ones {verb} not train"
        text += " with any seed" * int(deeper["seeds"].max() > 1)
    yield f"{text}."


def _say_width_and_best(study: Study, plain: pd.DataFrame, where: str) -> Sentences:
    steps = list_steps(split_trained(plain)[0].sort_values("parameters"), "depth")
    if steps and all(wide.test > narrow.test for narrow, wide in steps):
        yield f"Wider plain networks ({where}) are more accurate wherever they train."
    best = find_best(summarize_experiments(study, "exp2"))
    others = summarize_experiments(study, *EXPERIMENT_1)
    if best and (other := find_best(others)):
        compared = join_experiments([f"`{name}`" for name in others["experiment"].unique()])
        versus = f"the best of {compared}{say.by_validation(other, others)}"
        lead = say.difference(best.test - other.test, versus)
        scales = is_used(select(study.runs, run=best.run), "architecture.squeeze_excitation")
        seeds = describe_seeds(best.trained, best.seeds, form=" with {}")
        blocks = " (pre-activation blocks" + " with squeeze and excitation" * scales + ")"
        blocks = "" if is_edited(study) else blocks
        text = (
            f"The custom network{blocks} classifies {format_number(best.test)} % of the test "
            f"images correctly{seeds}, {lead}."
        )
        yield " ".join([text, *say_other_settings(study, FINDINGS["part3_q6_2"])])
