"""Results with the most extreme numbers that the schema allows: tables, text and figures."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError
from result_documents import PART_2, build_results, tabulate

from hw2core.analysis import figures
from hw2core.analysis.figures.drawing import save_figure
from hw2core.analysis.report import Document
from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import write_table
from hw2core.runs import paths
from hw2core.runs.schema import Evaluation, Result

EXTREMES = [0.0, 1e39, None]
EXTREMES += [pytest.param(x, marks=pytest.mark.slow) for x in (-0.0, 1e-320, 1e38, -1e39, 2**53)]
Model = TypeVar("Model", Result, Evaluation)


def replace_numbers(value: Any, extreme: float | None) -> Any:
    """Return a value with ``extreme`` in place of every number in it."""
    if isinstance(value, dict):
        return {key: replace_numbers(part, extreme) for key, part in value.items()}
    if isinstance(value, list):
        return [replace_numbers(part, extreme) for part in value]
    return value if isinstance(value, bool | str) else extreme


def exaggerate(model: Model, extreme: float | None) -> Model:
    """Return a model with ``extreme`` in every field, or part of one, that may have it."""
    document = json.loads(model.model_dump_json())
    for key, value in document.items():
        parts = [(key,), *((key, part) for part in value)] if isinstance(value, dict) else [(key,)]
        for *above, last in parts if key not in ("config", "format", "seed") else ():
            changed = copy.deepcopy(document)
            section = changed[above[0]] if above else changed
            section[last] = replace_numbers(section[last], extreme)
            with suppress(ValidationError):
                model = type(model).model_validate_json(json.dumps(changed))
                document = changed
    return model


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return build_results("exp1_1", "exp1_4", "exp2", "exp1_5", *PART_2, epochs=3)


@pytest.mark.parametrize("extreme", EXTREMES, ids=str)
def test_no_number_that_a_result_may_have_ends_in_a_traceback(extreme, results, in_folder):
    changed = []
    for result in results:
        test = exaggerate(result.test, extreme)
        changed.append(exaggerate(result, extreme).model_copy(update={"test": test}))
    assert changed != results
    study = tabulate(changed)
    write_table(study.runs[list(SUMMARY_COLUMNS)], paths.SUMMARY_TABLE)
    write_table(study.epochs, paths.EPOCHS_TABLE)
    Document(study).render(Path(paths.REPORT_TEMPLATE).name)
    for kind, *name in [*((kind,) for kind in paths.STUDY_FIGURES), ("curves", "exp1_1")]:
        save_figure(figures.draw(kind, study, *name), [f"{kind}.svg"])
