"""Answers on what the network of experiment 2 changes, and on what each change is worth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from hw2core.analysis import report_files
from hw2core.analysis.course import FULL
from hw2core.analysis.findings.core import (
    Sentences,
    compare_labels,
    compare_settings,
    finding,
    is_always_used,
    is_used,
    say_differences,
    split_groups,
    summarize_experiments,
)
from hw2core.analysis.findings.own import EXPERIMENT_1
from hw2core.analysis.statistics import Judged, judge_pairs, pair_seeds
from hw2core.analysis.tables import Study, list_rows, select
from hw2core.analysis.text import count_things, describe_seeds, format_change, join_words

NO_AUGMENTATION = "no_augmentation"  # label of a run that lacks more than a change, to compare
AUGMENTATION = {
    "training.flip": "flips",
    "training.translate": "shifts",
    "training.cutout": "cutout",
}
RECIPE = {"training.batch_size": "the batch size", "training.lr": "the learning rate"}
ROOT = Path(__file__).parents[3]
CODE, DESCRIBED = "hw2core.cnn.yourcodenet", "6ba2f03eba115bb7"  # by report/changes.csv


def read_changes(study: Study) -> pd.DataFrame:
    """Return the modifications that experiment 2 uses, or all if it has no result.

    Left out are those that all plain networks of experiment 1 have too.

    The columns are ``what``, ``why``, ``source``, ``without`` (label of a run) and ``setting``.
    """
    changes = report_files.read_changes(ROOT)
    own = select(study.runs, experiment="exp2")
    plain = study.runs[study.runs["experiment"].isin(EXPERIMENT_1[:3])]
    used = [
        change
        for change in changes
        if is_used(own, change["setting"]) and not is_always_used(plain, change["setting"])
    ]
    return pd.DataFrame(used, columns=["what", "why", "source", "without", "setting"])


def is_edited(study: Study) -> bool:
    """Return whether results are of another network than the one that the text describes."""
    return any(x.code.get(CODE, DESCRIBED) != DESCRIBED for x in study.results)


def measure_ablation(study: Study) -> dict[Any, float | None]:
    """Return the gain from each part of the full network by label, in points of test accuracy.

    Gains are means over seeds that trained with and without the part; None if only the full
    network trains. A part is left out if the full network does not train, or not with its seeds.
    """
    networks = summarize_experiments(study, "exp2_ablation").set_index("label")
    if FULL not in networks.index or not networks.loc[FULL, "trained"]:
        return {}
    worth: dict[Any, float | None] = {}
    full = networks["run"][FULL]
    for label, run, trained in networks.drop(FULL)[["run", "trained"]].itertuples():
        if gains := pair_seeds(study.runs, full, run):
            worth[label] = sum(gains) / len(gains)
        elif not trained:
            worth[label] = None
    return worth


def _say_gains(study: Study) -> dict[Any, str]:
    """Return the gain from each part, and with which share of the seeds it was measured."""
    networks, said = summarize_experiments(study, "exp2_ablation").set_index("label"), {}
    for label, points in measure_ablation(study).items():
        pairs = len(pair_seeds(study.runs, networks["run"][FULL], networks["run"][label]))
        seeds = describe_seeds(pairs, networks["seeds"][label], form=" with {}")
        said[label] = "does not train without" if points is None else format_change(points) + seeds
    return said


def pair_parts(study: Study) -> dict[Any, tuple[str, str]]:
    """Return the full network and the run without a part, by label, where their settings differ."""
    runs = summarize_experiments(study, "exp2_ablation").set_index("label")["run"]
    if FULL not in runs:
        return {}
    settings = study.runs.groupby("run")["network"].first()
    pairs = {label: (runs[FULL], run) for label, run in runs.drop(FULL).items()}
    return {label: pair for label, pair in pairs.items() if settings[pair[0]] != settings[pair[1]]}


def judge_parts(study: Study) -> dict[Any, Judged]:
    """Return the gain from each part by label, where there are several seeds."""
    pairs = pair_parts(study)
    judged = judge_pairs(study.runs, pairs.values())
    return {label: judged[pair] for label, pair in pairs.items() if pair in judged}


def _name_parts(study: Study) -> dict[Any, str]:
    """Return what runs of the ablation lack, by label: one change, or augmentation, and no more."""
    changes, differs, parts = read_changes(study), _compare_with_full(study), {}
    known = {_read_key(setting) for setting in changes["setting"]}
    by_label = {change.without: change for change in list_rows(changes) if change.without}
    for label, runs in split_groups(_select_ablation(study), "label").items():
        keys = differs[label].keys()
        if label in by_label:
            lacks, name = [by_label[label].setting], _lower(by_label[label].what)
        elif label == NO_AUGMENTATION and keys - known and keys <= AUGMENTATION.keys():
            lacks = [key for key in AUGMENTATION if key in keys]
            name = join_words(AUGMENTATION[key] for key in lacks)
        else:
            continue
        if keys == {*map(_read_key, lacks)} and not any(is_used(runs, x) for x in lacks):
            parts[label] = name
    return parts


def _read_key(setting: str) -> str:
    """Return the key of ``KEY`` or ``KEY=VALUE``."""
    return setting.partition("=")[0]


def _select_ablation(study: Study) -> pd.DataFrame:
    return select(study.runs, experiment="exp2_ablation")


def _compare_with_full(study: Study) -> dict[str, dict[str, Any]]:
    runs = _select_ablation(study)
    return compare_labels(runs, select(runs, label=FULL))


def _describe_variants(study: Study) -> list[str]:
    """Return how runs of the ablation that do not just lack a part differ from the full network."""
    differs, parts, variants = _compare_with_full(study), _name_parts(study), []
    for label, points in measure_ablation(study).items():
        if label in parts:
            continue
        change = "does not train"
        if points is not None:
            change = f"differs from the full network by {format_change(-points)} points"
        values = [_say_values(*each) for each in differs[label].items()]
        change = f"{change} ({join_words(values)})" if values else "is the full network itself"
        variants.append(f"`{label}` {change}")
    return variants


@finding("part3_q6_1", uses=["exp2_ablation"])
def say_changes(study: Study) -> Sentences:
    """Yield the number of modifications, and the gain from each in the ablation."""
    if is_edited(study):
        yield "The code of the custom network was edited; what follows describes the original one."
    changes = read_changes(study)
    yield (
        f"The custom network has {count_things(len(changes), 'change')}, each of which addresses a "
        "limitation of the plain networks."
    )
    if recipe := _list_recipe(study):
        yield f"In addition, {join_words(recipe)}."
    said = _name_parts(study)
    worth = {label: points for label, points in measure_ablation(study).items() if label in said}
    if broken := [said[label] for label, points in worth.items() if points is None]:
        yield f"Without {join_words(broken)} the network does not train."
    ranked = sorted(((p, label) for label, p in worth.items() if p is not None), reverse=True)
    if ranked:
        gains = _say_gains(study)
        listed = join_words(f"{said[label]} ({gains[label]})" for _, label in ranked)
        negative = (
            "; a negative number means that it is better without" if ranked[-1][0] < 0 else ""
        )
        yield (
            "In the ablation, the network loses these points of test accuracy without each part: "
            f"{listed}{negative}."
        )
    judged = judge_parts(study)
    tested = {said[label]: judged[label].significant for _, label in ranked if label in judged}
    if tested:
        yield _say_significant(tested, len(ranked))
    if variants := _describe_variants(study):
        yield f"Of the other runs, {'; '.join(variants)}."
    yield from say_differences(study, "exp2", "exp2_ablation")


def _say_significant(tested: dict[str, bool], total: int) -> str:
    """Return which of the parts with several seeds, of ``total``, make a significant difference."""
    sure = [part for part, significant in tested.items() if significant]
    if len(tested) == 1:
        one = f"That of {min(tested)}, the only one with several seeds,"
        subject = "The difference" if total == 1 else one
        return f"{subject} is {'not ' * (not sure)}significant over seeds."
    several = f"the {len(tested)} differences with several seeds"
    these = "these differences" if len(tested) == total else several
    which = "none" if not sure else "all"
    if 0 < len(sure) < len(tested):
        which = f"only {'that of' if len(sure) == 1 else 'those of'} {join_words(sure)}"
    return f"Of {these}, {which} {'are' if len(sure) > 1 else 'is'} significant over seeds."


def _list_recipe(study: Study) -> list[str]:
    """Return in what else recipe and network of experiment 2 differ from 1.1's, but for sizes."""
    own, plain = (select(study.runs, experiment=x) for x in ("exp2", "exp1_1"))
    listed = {_read_key(setting) for setting in read_changes(study)["setting"]}
    return [
        _say_values(key, values)
        for key, values in compare_settings(own, plain).items()
        if re.match(r"(training|architecture)\.(?!pools$)", key)
        and key not in listed
        and not {*values} & {"None", "nan"}  # both have it
    ]


def _say_values(key: str, values: tuple[str, str]) -> str:
    return f"{RECIPE.get(key, f'`{key}`')} is {values[0]} instead of {values[1]}"


def _lower(name: str) -> str:
    """Return a name as inside a sentence; EMA stays in capitals."""
    return name[0].lower() + name[1:] if name[1].islower() else name


def tabulate_changes(study: Study) -> pd.DataFrame:
    """Return each modification with its reason, its source and its gain, if any is measured."""
    parts = _name_parts(study)
    judged, texts = judge_parts(study), {}
    for label, gain in _say_gains(study).items():
        if label in parts:
            texts[label] = gain
            if label in judged and pd.notna(judged[label].estimate.low):
                low, high = map(format_change, judged[label].estimate[1:3])
                texts[label] += f" ({low} to {high})"
    changes = read_changes(study).drop(columns="setting").rename(columns={"what": "change"})
    changes["why"] = changes["why"].mask(changes["why"] == changes["why"].shift(), "Same reason")
    labels = changes.pop("without")
    if labels.isin(list(texts)).any():
        changes["gain"] = [texts.get(label, "not measured") for label in labels]
    return changes.rename(columns=str.capitalize)
