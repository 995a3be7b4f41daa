"""Answers the assignment's questions in sentences computed from a study."""

from __future__ import annotations

from itertools import islice

from hw2core.analysis.compared import list_best_in, name_equals
from hw2core.analysis.course import keep_course
from hw2core.analysis.findings import (
    changes,
    depth,
    layers,
    own,
    part2,
    public,
    rates,
    residual,
    theory,
    width,
)
from hw2core.analysis.findings.brief import say_briefly
from hw2core.analysis.findings.core import (
    FINDINGS,
    has_results,
    say_missing,
    say_other_settings,
    summarize_experiments,
)
from hw2core.analysis.findings.say import accuracy, train
from hw2core.analysis.tables import Study, find_best

# They register FINDINGS, or templates call them.
MODULES = (changes, depth, layers, own, part2, public, rates, residual, theory, width)

# The first sentence of each answer is a finding on page one, with the settings that also differ.
HEADLINES = {
    "Depth": "part3_q2_1",
    "Width": "part3_q3",
    "Skip connections": "part3_q5",
    "Custom network": "part3_q6_2",
    "Public solutions": "public",
}


def list_sentences(name: str, study: Study) -> list[str]:
    """Return the sentences of an answer: headline first, missing results last.

    Raises:
        KeyError: there is no question ``name``.
    """
    found = FINDINGS[name]
    known = not found.needs or has_results(study, found.needs)
    sentences = list(found.say(study)) if known else []
    return [*sentences, *say_other_settings(study, found), *say_missing(study, found)]


def answer(name: str, study: Study) -> str:
    """Return the sentences of an answer as one paragraph."""
    return " ".join(list_sentences(name, study))


def list_findings(study: Study) -> list[str]:
    """Return the findings on page one, without those that have no result.

    A study without the assignment's experiments has one finding per experiment, at most five.
    """
    course = keep_course(study)
    found = [
        " ".join([f"**{topic}.** {sentence}", *say_other_settings(course, FINDINGS[name])])
        for topic, name in HEADLINES.items()
        if has_results(course, FINDINGS[name].needs)
        for sentence in islice(FINDINGS[name].say(course), 1)
    ]
    return found or [
        f"**{experiment.name}.** {describe_experiment(study, experiment.name)}"
        for experiment in study.experiments[: len(HEADLINES)]
        if has_results(study, [experiment.name])
    ]


def list_briefly(study: Study) -> list[str]:
    """Return what was found in few sentences with few numbers, or as ``list_findings`` does."""
    return list(say_briefly(keep_course(study))) or list_findings(study)


def describe_experiment(study: Study, experiment: str) -> str:
    """Return a sentence with how many networks of an experiment train, and the best run."""
    summary = summarize_experiments(study, experiment)
    if summary.empty:
        return "No run has a result yet."
    trained = int((summary["trained"] > 0).sum())
    best = find_best(summary) if list_best_in(study, experiment) else None
    if len(summary) == 1:
        text = f"The only network {'trains' if trained else 'does not train'}"
    else:
        text = f"{trained or 'None'} of {len(summary)} networks {train(trained)}"
    if best is None:
        return f"{text}."
    the_best = f"the best by validation, `{best.run}`{name_equals(summary, best)},"
    the_best = "it" if len(summary) == 1 else the_best
    return f"{text}; {the_best} has a test accuracy of {accuracy(best)}."
