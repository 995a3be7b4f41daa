from __future__ import annotations

import pytest
from checkout import TINY

from hw2core.config.study import load_study
from hw2core.runs.selection import UnknownName, select_runs, suggest

L2, L4 = "exp1_1_L2_K4", "exp1_1_L4_K4"


@pytest.fixture(scope="module")
def study():
    return load_study({**TINY, "seeds": [0, 1]})


@pytest.mark.parametrize("pattern", ["{}", "{}/", "results/{}", "results/{}/", "./results/{}"])
@pytest.mark.parametrize(("name", "runs"), [("exp1_1", [L2, L4]), (L4, [L4])])
def test_a_name_is_found_however_it_was_completed(study, pattern, name, runs):
    expected = [(run, seed) for run in runs for seed in (0, 1)]
    assert select_runs(study, [pattern.format(name)]) == expected


@pytest.mark.parametrize("suffix", ["json", "test.json", "safetensors"])
def test_a_file_stands_for_its_seed(study, suffix):
    assert select_runs(study, [f"results/{L2}/seed1.{suffix}"]) == [(L2, 1)]


def test_without_names_all_runs_are_chosen_and_with_some_in_the_order_of_the_study(study):
    everything = select_runs(study, [])
    assert len(everything) == 8
    assert select_runs(study, ["exp2", L2, L2]) == [everything[i] for i in (0, 1, 6, 7)]


def test_each_unknown_name_is_a_line_with_similar_ones(study):
    with pytest.raises(UnknownName) as error:
        select_runs(study, ["exp1_1_L3_K4", "exp1", f"results/{L2}/seed7.json", "xyz", L2])
    near, beginning, seed, far = str(error.value).splitlines()
    assert near.startswith("exp1_1_L3_K4: no run or experiment of this name; did you mean ")
    assert {L2, L4} <= set(near.rstrip("?").split(" "))
    assert beginning.endswith(f"did you mean exp1_1 or exp1_4 or {L2}?")
    assert seed == f"results/{L2}/seed7.json: config.yaml plans no seed 7 of this run"
    assert far.endswith("there are exp1_1, exp1_4, exp2, ...")


def test_a_suggestion_is_a_known_name_as_it_is():
    known = ["results/exp1_1", "results/exp1_1_L2_K4", "figures"]
    assert suggest("exp1_1", known) == "did you mean results/exp1_1?"
    assert suggest("figurs", known) == "did you mean figures?"
