"""Compares the results with public solutions of the same assignment."""

from __future__ import annotations

from hw2core.analysis.findings import say
from hw2core.analysis.findings.core import Sentences, finding
from hw2core.analysis.tables import Study, split_trained


@finding("public", needs=["exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2"])
def say_public(study: Study) -> Sentences:
    """Yield how many networks that train are above the median and the best of public solutions."""
    runs = study.summary.merge(study.baselines, on="run")
    trained, failed = split_trained(runs)
    trained = trained.dropna(subset="test")
    if trained.empty:
        return
    to_median, to_best = (trained["test"] - trained[name] for name in ("median", "highest"))
    above = [int((margins > 0).sum()) for margins in (to_median, to_best)]
    solutions = f"({say.span(trained['solutions'], 0)} solutions per network)"
    some_seeds = say.some_seeds(trained["trained"], trained["seeds"])
    if len(trained) == 1:
        median, best = ("above" if count else "not above" for count in above)
        yield (
            f"The one network that trains and has public solutions{some_seeds} is {median} the "
            f"median of those that train and {best} the best of all {solutions}."
        )
    else:
        median, best = ("all" if count == len(trained) else str(count or "none") for count in above)
        yield (
            f"Of the {len(trained)} named networks that train and have public solutions"
            f"{some_seeds}, {median} are above the median of the public solutions that train and "
            f"{best} above the best of all {solutions}."
        )
    yield (
        f"The difference is {say.changes(to_best)} points from the best and "
        f"{say.changes(to_median)} points from the median."
    )
    if not failed.empty:
        one = len(failed) == 1
        those = "The one network that does" if one else f"The {len(failed)} networks that do"
        theirs = "does so in all public solutions" if one else "do so in all public solutions"
        if failed["at_chance_share"].any():
            shares = say.span(100 * failed["at_chance_share"], 0)
            theirs = f"{'fails' if one else 'fail'} in {shares} % of the public solutions too"
        yield f"{those} not train {theirs}."
