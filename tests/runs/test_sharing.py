from __future__ import annotations

import pytest

from hw2core.runs.files import ResultError, read_run, share_result
from hw2core.runs.staleness import Identity


def test_a_twin_gets_the_result_and_evaluation_under_its_own_name(tiny_spec, write_run):
    write_run(seed=1)
    original = read_run(tiny_spec.name, 1)
    twin = tiny_spec.model_copy(update={"experiment": "other", "label": "twin"})
    result, evaluation = share_result(original, twin)
    assert (result.name, result.experiment, result.seed) == ("other_twin_L2_K8", "other", 1)
    assert result.same_as == tiny_spec.name
    assert result.epochs == original.epochs
    assert (evaluation.run, evaluation.seed) == (twin.name, 1)
    assert evaluation.accuracy == original.test.accuracy
    assert evaluation.weights_sha256 == result.weights_sha256
    assert Identity.of(twin, 1).find_differences(result) == []


def test_a_result_that_is_not_evaluated_is_not_shared(tiny_spec, write_run):
    write_run(evaluation=False)
    with pytest.raises(ResultError, match="tiny_L2_K8 seed 0: it is not evaluated yet"):
        share_result(read_run(tiny_spec.name, 0), tiny_spec)
