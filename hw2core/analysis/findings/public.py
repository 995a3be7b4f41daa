"""Compares the results with public solutions of the same assignment."""

from __future__ import annotations

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding
from hw2core.analysis.tables import Study, split_trained
from hw2core.analysis.text import format_change


@finding("public", needs=["exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2"])
def say_public(study: Study) -> Sentences:
    """Yield how many trained runs are above the median and the best of public solutions."""
    runs = study.summary.merge(study.baselines, on="run")
    trained, failed = split_trained(runs)
    trained = trained.dropna(subset="test")
    if trained.empty:
        yield f"None of the {len(runs)} runs that have public solutions trains."
        return
    to_median, to_best = (trained["test"] - trained[name] for name in ("median", "highest"))
    reduced = int((trained["reduced"] != "").sum())
    note = f" ({'all' if reduced == len(trained) else f'{reduced} of them'} reduced)"
    yield (
        f"Of the {len(trained)} runs that train{note if reduced else ''}, "
        f"{(to_median > 0).sum() or 'none'} are above the median of the public solutions that "
        f"train and {(to_best > 0).sum() or 'none'} above the best of all "
        f"({say.span(trained['solutions'], 0)} solutions per run)."
    )
    best, median = (
        f"{format_change(margins.min())} to {format_change(margins.max())}"
        for margins in (to_best, to_median)
    )
    yield f"They differ from the best by {best} points and from the median by {median} points."
    if not failed.empty:
        shares = say.span(100 * failed["at_chance_share"], 0)
        yield (
            f"The {len(failed)} runs that do not train are also at chance level in {shares} % of "
            "the public solutions."
        )
