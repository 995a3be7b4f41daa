from pathlib import Path

import pytest
from result_documents import build_result, build_study, rename

from hw2core.analysis.claims import Evidence, State, judge_claims
from hw2core.analysis.claims.core import CLAIMS
from hw2core.analysis.layers_table import layers_table
from hw2core.analysis.public_record import read_public_record
from hw2core.analysis.tables import epochs_table, summary_table
from hw2core.config.reading import read_config
from hw2core.config.study import STUDY_FILE, load_study

RECORD = read_public_record(Path(__file__).parents[2] / "report" / "public_record.csv")


def judge(results):
    evidence = Evidence(
        summary_table(results), epochs_table(results), layers_table(results), RECORD
    )
    return {judged.claim.name: judged for judged in judge_claims(evidence)}


def state(results, name):
    return judge(results)[name].finding.state


def build_pair(better, worse, seeds=(0, 1, 2)):
    """Two runs of depth 4 and 2, with these test accuracies for the seeds."""
    return [
        build_result(
            f"exp1_1_L{depth}_K32", depth=depth, seed=seed, test_accuracy=accuracies[place]
        )
        for depth, accuracies in ((4, better), (2, worse))
        for place, seed in enumerate(seeds)
    ]


def test_runs_on_different_images_are_not_compared():
    results = build_pair([75.0, 76.0, 75.5], [70.0, 71.2, 70.3])
    for result in results[:3]:
        result.config["data"]["train"] = 5_000
    finding = judge(results)["depth_helps_32_4_2"].finding
    assert finding.state is State.UNDECIDED
    assert finding.numbers == "not the same images: 44,000 of cifar10 and 5,000 of cifar10"


@pytest.fixture(scope="module")
def study():
    return build_study(seeds=(0, 2, 3, 4, 5))


@pytest.fixture(scope="module")
def judged(study):
    return judge(study)


@pytest.mark.parametrize(
    ("better", "worse", "expected"),
    [
        ([75.0, 76.0, 75.5], [70.0, 71.2, 70.3], State.SUPPORTED),
        ([70.0, 71.2, 70.3], [75.0, 76.0, 75.5], State.CONTRADICTED),
        ([70.0, 76.0, 71.0], [71.0, 71.0, 71.5], State.UNDECIDED),
    ],
)
def test_the_three_states(better, worse, expected):
    finding = judge(build_pair(better, worse))["depth_helps_32_4_2"].finding
    assert finding.state is expected
    assert "3 seeds" in finding.numbers


def test_pairing_by_seed_sees_what_the_spread_of_seeds_hides():
    # Seeds differ by ten points, the two nets by one in each seed.
    assert state(build_pair([61.0, 66.1, 71.0], [60.0, 65.0, 70.1]), "depth_helps_32_4_2") is (
        State.SUPPORTED
    )


def test_one_seed_decides_nothing_and_says_so():
    finding = judge(build_pair([80.0], [60.0], seeds=(0,)))["depth_helps_32_4_2"].finding
    assert finding.state is State.UNDECIDED
    assert finding.numbers == "one seed only: 80.0 % against 60.0 %"


def test_seeds_at_chance_do_not_enter_a_difference_of_accuracies():
    results = build_pair([75.0, 76.0, 75.5], [70.0, 71.2, 70.3])
    results[2] = build_result(
        "exp1_1_L4_K32", depth=4, seed=2, status="at_chance", test_accuracy=10.0
    )
    finding = judge(results)["depth_helps_32_4_2"].finding
    assert "2 seeds" in finding.numbers
    assert finding.numbers.startswith("75.5 % against")


def test_swapping_the_results_of_two_runs_flips_the_claims_that_compare_them(study, judged):
    names = {"exp1_1_L4_K32": "exp1_1_L2_K32", "exp1_1_L2_K32": "exp1_1_L4_K32"}
    after = judge([rename(result, names.get(result.name, result.name)) for result in study])
    assert judged["depth_helps_32_4_2"].finding.state is State.SUPPORTED
    assert after["depth_helps_32_4_2"].finding.state is State.CONTRADICTED
    untouched = [name for name, old in judged.items() if not set(old.runs) & set(names)]
    assert len(untouched) > 30
    for name in untouched:
        assert after[name].finding == judged[name].finding, name


def test_swapping_flips_every_supported_difference_of_two_runs(study, judged):
    decided = {
        name: old
        for name, old in judged.items()
        if old.finding.state is not State.UNDECIDED and " against " in old.finding.numbers
    }
    decided = {name: old for name, old in decided.items() if len(old.runs) == 2}
    assert len(decided) > 10
    opposite = {State.SUPPORTED: State.CONTRADICTED, State.CONTRADICTED: State.SUPPORTED}
    for name, old in decided.items():
        names = dict(zip(old.runs, reversed(old.runs), strict=True))
        swapped = [rename(result, names[result.name]) for result in study if result.name in names]
        assert state(swapped, name) is opposite[old.finding.state], name


def test_deleting_a_run_turns_every_claim_that_speaks_of_it_undecided(study, judged):
    for run in ("exp1_1_L16_K64", "exp1_4_L8_K32", "exp1_5_bn_L16_K32", "part2_dropout_0"):
        left = judge([x for x in study if x.name != run])
        concerned = [name for name, old in judged.items() if run in old.runs]
        assert concerned
        for name in concerned:
            assert left[name].finding.state is State.UNDECIDED, name
            assert "not run" in left[name].finding.numbers, name


def test_without_any_result_every_claim_is_undecided():
    assert {old.finding.state for old in judge([]).values()} == {State.UNDECIDED}


def test_claims_speak_of_runs_that_config_yaml_has(judged):
    runs = load_study(read_config(STUDY_FILE)).runs
    for name, old in judged.items():
        assert old.runs, name
        assert set(old.runs) <= set(runs), name


def test_names_are_unique_and_sentences_end():
    names = [entry.name for entry in CLAIMS]
    assert len(set(names)) == len(names)
    for entry in CLAIMS:
        assert "{" not in entry.sentence
        assert entry.sentence.rstrip(")").endswith("."), entry.sentence


def test_gradients_that_fall_off_support_that_they_vanish(judged):
    assert judged["gradient_vanishes_32"].finding.state is State.SUPPORTED
    assert judged["activation_shrinks_32"].finding.state is State.SUPPORTED


def test_a_result_without_a_record_of_layers_is_named():
    results = [
        build_result(f"exp1_1_L{depth}_K32", depth=depth, seed=seed, layers=None)
        for depth in (2, 16)
        for seed in (0, 1)
    ]
    finding = judge(results)["gradient_vanishes_32"].finding
    assert finding.state is State.UNDECIDED
    assert "no record of its layers: `exp1_1_L2_K32`" in finding.numbers


def test_trainability_is_judged_by_its_interval():
    def build(statuses):
        return [
            build_result(f"exp1_1_L16_K{width}", depth=16, seed=seed, status=status)
            for width in (32, 64)
            for seed, status in enumerate(statuses)
        ]

    assert state(build(["at_chance"] * 3), "great_depth_fails") is State.SUPPORTED
    assert state(build(["trained"] * 3), "great_depth_fails") is State.CONTRADICTED
    assert state(build(["trained", "at_chance"]), "great_depth_fails") is State.UNDECIDED
    assert state(build(["at_chance"]), "great_depth_fails") is State.UNDECIDED
