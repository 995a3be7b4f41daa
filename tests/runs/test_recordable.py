"""Before a training: a result has to be able to hold what the run is made of."""

from __future__ import annotations

import math

import pytest

from hw2core.config.schema import RecipeSpec
from hw2core.errors import UserError
from hw2core.runs import recordable
from hw2core.runs.make import make_result
from hw2core.runs.recordable import check_recordable

TEXTS = ("conv > norm", "ä", "x" * 301)


@pytest.mark.parametrize(
    "value", [*TEXTS, [1] * 101, [[1, 2]], {"a": "<"}, math.inf, math.nan, [1.0, math.inf]]
)
def test_settings_that_no_result_can_hold_are_refused(tiny_spec, tiny_data, monkeypatch, value):
    config = tiny_spec.describe(0)
    config["architecture"]["mine"] = value
    check_recordable(tiny_spec)
    monkeypatch.setattr(type(tiny_spec), "describe", lambda *_: config)
    problem = r"^tiny_L2_K8: architecture\.mine.*: not a value that a run can have; only"
    with pytest.raises(UserError, match=problem):
        check_recordable(tiny_spec)
    with pytest.raises(UserError, match=problem):
        make_result(tiny_spec, 0, tiny_data)


def test_a_module_whose_name_no_result_can_hold_is_refused(tiny_spec, monkeypatch):
    monkeypatch.setattr(recordable, "hash_run_code", lambda _: {"hw2core.cnn.blöcke": "0"})
    with pytest.raises(UserError, match=r"^tiny_L2_K8: hw2core\.cnn\.blöcke: rename this module"):
        check_recordable(tiny_spec)


def test_what_the_class_of_the_recipe_computes_is_refused(tiny_spec, monkeypatch):
    # A property is in no result and in no hash, so that an edit of it would leave all runs current.
    monkeypatch.setattr(RecipeSpec, "_check", property(lambda self: self.lr), raising=False)
    check_recordable(tiny_spec)
    monkeypatch.setattr(RecipeSpec, "scaled_lr", property(lambda self: self.lr), raising=False)
    with pytest.raises(UserError, match=r"^hw2core/config/schema\.py: RecipeSpec\.scaled_lr: "):
        check_recordable(tiny_spec)
