"""The comparison with public solutions of the same assignment."""

from __future__ import annotations

from hw2core.analysis.findings.core import Sentences, finding, say_span
from hw2core.analysis.tables import Study
from hw2core.analysis.text import format_change


@finding("public", needs=["exp1_1", "exp1_2", "exp1_3", "exp1_4", "exp2"])
def say_public(study: Study) -> Sentences:
    """How many runs that train lie above the median and above the best of public solutions."""
    runs = study.summary.merge(study.baselines, on="run")
    trained = runs[(runs["trained"] > 0) & runs["test"].notna()]
    if trained.empty:
        yield f"None of the {len(runs)} runs that public solutions have too trains."
        return
    median = int((trained["test"] > trained["median"]).sum())
    best = int((trained["test"] > trained["highest"]).sum())
    reduced = int((trained["reduced"] != "").sum())
    note = ""
    if reduced:
        note = f" ({'all' if reduced == len(trained) else f'{reduced} of them'} reduced)"
    solutions = say_span(trained["solutions"], 0)
    yield (
        f"Of the {len(trained)} runs that train{note}, {median or 'none'} lie above the median of "
        f"the public solutions that train and {best or 'none'} above the best of all "
        f"({solutions} solutions per run)."
    )
    margins = trained["test"] - trained["highest"]
    yield (
        f"They differ from the best by {format_change(margins.min())} to "
        f"{format_change(margins.max())} points, from the median by "
        f"{format_change((trained['test'] - trained['median']).min())} to "
        f"{format_change((trained['test'] - trained['median']).max())}."
    )
    failed = runs[runs["trained"] == 0]
    if not failed.empty:
        shares = say_span(100 * failed["at_chance_share"], 0)
        yield (
            f"The {len(failed)} that do not train are at chance in {shares} % of the public "
            "solutions too."
        )
