"""Finds what each label of experiment 1.5 changes of experiment 1.1, and names the remedies."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hw2core.analysis.findings.core import compare_labels, list_other_settings
from hw2core.analysis.tables import Study, select


class Remedy(NamedTuple):
    """What a label of config.yaml stands for."""

    name: str
    key: str  # the only setting that it changes
    is_meant: Callable[[str, str], bool]  # by its values in experiments 1.5 and 1.1


REMEDIES = {
    "he": Remedy(
        "He initialisation", "architecture.initialization", lambda value, _: value == "he"
    ),
    "bn": Remedy("batch norm", "architecture.batchnorm", lambda value, _: value == str(True)),
    "residual": Remedy("residual blocks", "model", lambda value, _: value == "resnet"),
    "warmup": Remedy(
        "a longer warm-up", "training.warmup", lambda value, plain: float(value) > float(plain)
    ),
}


def list_changes(study: Study) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the settings that each label of experiment 1.5 changes, with both values.

    Left out are labels with the settings of experiment 1.1, and settings in which all of experiment
    1.5 differs. If experiment 1.1 has no result, no changes are known.
    """
    runs, plain = (select(study.runs, experiment=name) for name in ("exp1_5", "exp1_1"))
    shared = list_other_settings(study, "exp1_1", "exp1_5")
    return {
        label: {key: values for key, values in settings.items() if key not in shared}
        for label, settings in compare_labels(runs, plain).items()
        if settings or plain.empty
    }


def name_remedies(study: Study) -> dict[str, str]:
    """Return the names of the labels of experiment 1.5 that change just what ``REMEDIES`` says."""
    changes = list_changes(study)
    return {
        label: remedy.name
        for label, remedy in REMEDIES.items()
        if list(changes.get(label, ())) == [remedy.key]
        and remedy.is_meant(*changes[label][remedy.key])
    }
