import re

import pytest
from result_documents import build_part_2, build_result, build_results, tabulate

from hw2core.analysis import claims, findings
from hw2core.analysis.text import format_change


@pytest.fixture(scope="module")
def results():
    return build_results(seeds=(0, 2, 3), epochs=3)


@pytest.fixture(scope="module")
def judged(results):
    return claims.judge(tabulate(results))


def swap(results, first, second):
    """Return the results of two runs under each other's configuration."""
    configs = {(x.name, x.seed): x.config for x in results}
    names = {first: second, second: first}
    return [
        x.model_copy(update={"config": configs[names.get(x.name, x.name), x.seed]}) for x in results
    ]


@pytest.mark.parametrize(
    "results",
    [
        [],
        build_results(epochs=3),  # one seed
        [  # without the assignment's experiments
            build_result(f"mine_L{d}_K8", experiment="mine", depth=d, seed=s)
            for d in (2, 4)
            for s in (0, 1)
        ],
    ],
    ids=["none", "one seed", "of one's own"],
)
def test_what_decides_nothing_makes_no_claim(results):
    judged = claims.judge(tabulate(results))
    assert judged.empty
    assert list(judged) == claims.COLUMNS


def test_every_claim_says_how_many_seeds_decide_it(judged):
    assert set(judged["verdict"]) <= {"yes", "the opposite", claims.NOT_SEPARATED}
    assert (judged["n"] >= 2).all()
    assert (judged["p_holm"] >= judged["p"]).all()
    assert judged["difference"].between(judged["low"], judged["high"]).all()
    # Both plain networks of L = 16 never train: nothing can be said of their accuracy.
    assert not judged["claim"].str.contains("exp1_1_L16").any()


def test_a_difference_is_the_mean_over_paired_seeds(results, judged):
    tests = {(x.name, x.seed): x.test.accuracy for x in results}
    pairs = [tests["exp1_1_L4_K32", s] - tests["exp1_1_L2_K32", s] for s in (0, 2, 3)]
    row = judged.set_index("claim").loc["`exp1_1_L4_K32` is better than `exp1_1_L2_K32`"]
    assert row["difference"] == pytest.approx(sum(pairs) / 3)
    assert row["n"] == 3


def test_swapped_results_turn_decided_verdicts_round(results, judged):
    paired = judged[judged["claim"].str.contains("is better than")].set_index("claim")
    decided = paired[paired["verdict"] != claims.NOT_SEPARATED].groupby("family").head(1)
    assert len(decided) >= 3
    for claim, old in decided.iterrows():
        _, first, _, second, _ = claim.split("`")
        new = claims.judge(tabulate(swap(results, first, second))).set_index("claim").loc[claim]
        assert new["difference"] == pytest.approx(-old["difference"])
        assert new["verdict"] != old["verdict"], claim


def test_a_run_without_result_is_in_no_claim(results, judged):
    removed = {"exp1_1_L4_K32", "exp1_4_L8_K32", "exp2_ablation_full_L3_K32-64-128"}
    left = claims.judge(tabulate([x for x in results if x.name not in removed]))
    for run in removed:
        assert judged["claim"].str.contains(f"`{run}`", regex=False).any()
        assert not left["claim"].str.contains(f"`{run}`", regex=False).any()


def test_remedies_are_judged_by_the_share_that_trains(judged):
    shares = judged[judged["family"] == "Remedies against none (1.5)"].set_index("claim")
    he = shares.loc["More runs train with `he` (12 of 12 against 6 of 12)"]
    assert (he["difference"], he["n"]) == (50.0, 12)
    assert he["p"] == pytest.approx(0.013730, abs=1e-6)
    assert he["p_holm"] == pytest.approx(4 * 0.013730, abs=1e-5)  # four remedies are a family


@pytest.mark.parametrize("difference", [[3.0, 3.1, 3.2, 3.0, 3.1], [0.2, 2.5, 1.0, 1.6, 0.9]])
def test_the_text_agrees_with_the_claims_corrected_by_holm(difference):
    options = {"experiment": "part2_optim", "model": "mlp", "widths": None, "epochs": 3}
    noise = {"vanilla": [0.0] * 5, "momentum": [-2.0, 3.0, -1.0, 2.0, -2.5], "rmsprop": difference}
    results = [
        build_result(
            f"part2_optim_{name}",
            seed=seed,
            test_accuracy=40.0 + extra,
            best_validation=40.0 + 10 * (name == "rmsprop"),
            training={"optimizer": name, "momentum": 0.9 * (name == "momentum")},
            **options,
        )
        for name, extras in noise.items()
        for seed, extra in enumerate(extras)
    ]
    study = tabulate(results)
    rows = claims.judge(study).set_index("claim")
    row = rows.loc["`part2_optim_vanilla` is better than `part2_optim_rmsprop`"]
    assert row["high"] < 0
    (said,) = re.findall(r"with SGD at 0.05 \((.*?)\)", findings.answer("part2_optim", study))
    significant = row["verdict"] != claims.NOT_SEPARATED
    assert significant == ("not significant after Holm's correction" not in said)
    assert significant == (difference[0] == 3.0)
    # A bracket after an optimizer is its accuracy minus that of the other.
    row = rows.loc["`part2_optim_vanilla` is better than `part2_optim_momentum`"]
    uses = f"SGD uses 0.05 ({format_change(row['difference'])} points,"
    assert uses in findings.answer("part2_optim", study)


def test_only_networks_of_equal_size_are_compared(judged):
    claimed = judged.loc[judged["family"].str.startswith("Residual"), "claim"]
    assert "`exp1_4_L8_K32` is better than `exp1_1_L8_K32`" in set(claimed)
    assert "`exp1_4_L2_K64-128-256` is better than `exp1_3_L2_K64-128-256`" in set(claimed)
    assert not claimed.str.contains("L32_K32").any()  # no plain network has 32 convolutions
    widths = claimed.str.extract(r"_K([\d-]+)` is .*_K([\d-]+)`").dropna()
    assert list(widths[0]) == list(widths[1])


def test_families_are_corrected_apart():
    part_2 = build_part_2(seeds=range(5), epochs=3)
    both = claims.judge(tabulate([*part_2, *build_results("exp1_2", seeds=(0, 2), epochs=3)]))
    both = both[both["family"].str.contains("part 2")]
    assert list(both["p_holm"]) == pytest.approx(list(claims.judge(tabulate(part_2))["p_holm"]))


def test_a_run_of_the_ablation_with_the_settings_of_the_full_network_makes_no_claim(results):
    full, part = (f"exp2_ablation_{x}_L3_K32-64-128" for x in ("full", "no_cutout"))
    configs = {x.seed: x.config for x in results if x.name == full}
    same = [
        x.model_copy(update={"config": configs[x.seed] | {"name": part}}) if x.name == part else x
        for x in results
    ]
    claimed = claims.judge(tabulate(same))["claim"]
    assert not claimed.str.contains(f"`{part}`", regex=False).any()
    assert claimed.str.contains("exp2_ablation_no_scaling").any()
