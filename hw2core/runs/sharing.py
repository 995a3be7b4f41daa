"""Gives a run the result of a twin: a run of the same network, recipe, images and seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw2core.runs.files import ResultError

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec
    from hw2core.runs.schema import Evaluation, Result


def share_result(original: Result, spec: RunSpec) -> tuple[Result, Evaluation]:
    """Return ``original`` and its evaluation as those of ``spec``, which differs in name only.

    Raises:
        ResultError: ``original`` is not evaluated.
    """
    if original.test is None:
        raise ResultError(f"{original.name} seed {original.seed}: it is not evaluated yet")
    names = {"config": spec.describe(original.seed), "same_as": original.name}
    return (
        original.model_copy(update=names),
        original.test.model_copy(update={"run": spec.name}),
    )
