"""Shares: reference values of R, worked numbers, fast path = definition, invariants."""

from itertools import product

import numpy as np
import pytest
from reference_cases import differences, reference
from scipy.stats import binom, binomtest, fisher_exact
from statsmodels.stats.contingency_tables import StratifiedTable

from analysis_lib.shares import (
    cluster_bootstrap,
    cluster_law,
    day_clusters,
    difference_power,
    jeffreys,
    label_law,
    label_permutation,
    newcombe,
    one_of,
    share,
    share_difference,
    share_power,
    stratified_odds,
    tails,
    wilson,
)

CASES = reference("proportions")
ONE = [name for name, case in CASES.items() if set(case["data"]) == {"x", "n"} and isinstance(case["data"]["x"], int)]
TWO = [name for name, case in CASES.items() if "x1" in case["data"]]
SIDES = ("less", "greater", "two-sided")


@pytest.mark.parametrize("name", ONE)
def test_intervals_of_one_share_are_those_of_r(name):
    case = CASES[name]
    x, n = case["data"]["x"], case["data"]["n"]
    exact, bayes, score = share(x, n, 0.5), jeffreys(x, n, 0.5, "greater"), wilson(x, n)
    got = {
        "p": exact.estimate, "cp_low": exact.low, "cp_high": exact.high, "jeffreys_low": bayes.low,
        "jeffreys_high": bayes.high, "wilson_low": score.low, "wilson_high": score.high,
    }  # fmt: skip
    assert len(ONE) == 4
    assert not differences(got, case["expected"], case["tolerance"])


@pytest.mark.parametrize("name", TWO)
def test_differences_are_those_of_newcombe_and_r(name):
    case = CASES[name]
    x1, n1, x2, n2 = (case["data"][key] for key in ("x1", "n1", "x2", "n2"))
    found = share_difference(x1, n1, x2, n2)
    assert len(TWO) == 3
    got = {"diff": found.estimate, "newcombe10_low": found.low, "newcombe10_high": found.high}
    assert not differences(got, case["expected"], case["tolerance"])
    table = [[x1, n1 - x1], [x2, n2 - x2]]
    assert fisher_exact(table)[1] == pytest.approx(case["expected"]["fisher_p_two"], rel=1e-5)  # the same definition
    assert found.p_value == pytest.approx(fisher_exact(table, "greater")[1])


def rows_of(strata):
    """Outcome, group and stratum of every unit of 2 × 2 tables [[a, b], [c, d]]."""
    cells = [(y, f, s, four["abcd"[i]]) for s, four in enumerate(strata)
             for i, (f, y) in enumerate(product((True, False), (1, 0)))]  # fmt: skip
    return (np.repeat([c[k] for c in cells], [c[3] for c in cells]) for k in range(3))


def test_common_odds_ratio_is_that_of_r():
    case = CASES["sh-cmh-ucb"]
    found = stratified_odds(*rows_of(case["data"]["strata"]), "less", "departments")
    assert not differences({"common_or_mh": found.estimate}, case["expected"], case["tolerance"])
    assert 2 * found.p_value == pytest.approx(case["expected"]["p"], rel=1e-6)
    assert found.method.endswith("over 6 of 6 departments")


def test_strata_that_carry_nothing_leave_the_odds_ratio_alone():
    strata = CASES["sh-cmh-ucb"]["data"]["strata"]
    more = [*strata, {"a": 3, "b": 4, "c": 0, "d": 0}, {"a": 1, "b": 0, "c": 2, "d": 0}]
    both = [stratified_odds(*rows_of(s), "less", "strata") for s in (strata, more)]
    assert both[0].p_value == both[1].p_value
    assert "6 of 8" in both[1].method
    alone = stratified_odds(*rows_of(more[-2:]), "less", "strata")
    assert alone.p_value is None
    assert "no stratum" in alone.reason


def test_an_empty_cell_gives_an_infinite_ratio_with_a_finite_p():
    strata = [{"a": 5, "b": 0, "c": 2, "d": 4}]
    found = stratified_odds(*rows_of(strata), "greater", "strata")
    table = StratifiedTable([np.array([[5, 0], [2, 4]])])
    assert found.estimate == np.inf
    assert found.agrees
    assert found.p_value == pytest.approx(table.test_null_odds().pvalue / 2)


# ---- worked numbers --------------------------------------------------------------------------------------------------


def test_none_of_six_drones_still_allows_39_percent():
    assert share(0, 6, 0.1, "less").limit_high == pytest.approx(0.393, abs=5e-4)


def test_the_sample_sizes_of_the_method_notes():
    assert next(n for n in range(60, 75) if share_power(n, 0.5, "greater", 0.05, [0.65])[0] >= 0.8) == 69
    found = wilson(21, 43)
    assert (found.high - found.low) / 2 == pytest.approx(0.15, abs=0.01)


def test_one_sided_power_exceeds_the_two_sided_one_of_the_method_notes():
    """20 drone and 60 rocket attacks at 5 % two-sided: 0.50 for 0.3 against 0.1, 0.40 for 0.1 against 0.3."""
    up = difference_power(20, 60, 0.1, "greater", 0.05, [0.2])[0]
    down = difference_power(20, 60, 0.3, "less", 0.05, [-0.2])[0]
    assert (up, down) == pytest.approx((0.537, 0.493), abs=1e-3)
    assert up > 0.50
    assert down > 0.40


def test_the_best_p_of_an_equivalence_with_margin_15_percent_needs_19_attacks():
    p = [share(0, n, 0.15, "less").attainable_p for n in (18, 19)]
    assert p == pytest.approx([0.85**18, 0.85**19])
    assert p[0] > 0.05 > p[1]


# ---- fast path = definition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["less", "greater"])
@pytest.mark.parametrize(("x", "n", "against"), [(0, 1, 0.5), (3, 20, 0.1), (20, 20, 0.5), (7, 33, 0.1), (0, 4, 0.15)])
def test_the_exact_p_is_that_of_scipy(x, n, against, side):
    found = share(x, n, against, side)
    assert found.p_value == pytest.approx(binomtest(x, n, against, side).pvalue)
    assert found.p_two_sided == pytest.approx(
        min(1, 2 * min(binomtest(x, n, against, s).pvalue for s in ("less", "greater")))
    )
    assert found.attainable_p == pytest.approx(min(binomtest(k, n, against, side).pvalue for k in range(n + 1)))


def test_power_is_the_sum_over_rejected_outcomes():
    n = 23
    rejected = [k for k in range(n + 1) if binomtest(k, n, 0.3, "less").pvalue <= 0.05]
    expected = binom.pmf(rejected, n, 0.1).sum()
    assert share_power(n, 0.3, "less", 0.05, [0.1])[0] == pytest.approx(expected)
    assert share(5, n, 0.3, "less", claimed=0.1).power == pytest.approx(expected)


@pytest.mark.parametrize("side", ["less", "greater"])
def test_power_of_fishers_test_by_a_double_loop(side):
    n1, n0, base, gap = 6, 9, 0.4, {"less": -0.35, "greater": 0.5}[side]
    total = sum(
        binom.pmf(i, n1, base + gap) * binom.pmf(j, n0, base)
        for i, j in product(range(n1 + 1), range(n0 + 1))
        if fisher_exact([[i, n1 - i], [j, n0 - j]], side)[1] <= 0.05
    )
    assert difference_power(n1, n0, base, side, 0.05, [gap])[0] == pytest.approx(total)


def test_the_detectable_share_is_the_nearest_with_80_percent_power():
    found = share(8, 69, 0.5)
    assert found.mde == pytest.approx(0.65, abs=0.002)
    assert share(0, 6, 0.1, "less").mde is None


@pytest.mark.parametrize("side", SIDES)
def test_day_clusters_list_every_assignment_of_days(side):
    days, against = np.array([1, 1, 1, 2, 3, 3]), 0.3
    outcome = np.array([1, 1, 0, 0, 0, 1])
    sums, weights = [], []
    for fate in product((0, 1), repeat=3):
        sums.append(fate[0] * 3 + fate[1] + fate[2] * 2)
        weights.append(np.prod([against if f else 1 - against for f in fate]))
    less = sum(w for s, w in zip(sums, weights, strict=True) if s <= 3)
    greater = sum(w for s, w in zip(sums, weights, strict=True) if s >= 3)
    assert day_clusters(outcome, days, against, side).p_value == pytest.approx(one_of(less, greater, side))


def test_one_attack_a_day_is_the_binomial_test():
    outcome = np.array([1, 0, 0, 1, 0, 0, 0])
    clustered = day_clusters(outcome, np.arange(7), 0.5, "less")
    plain = share(2, 7, 0.5, "less")
    assert (clustered.p_value, clustered.attainable_p) == pytest.approx((plain.p_value, plain.attainable_p))
    assert clustered.null_value == pytest.approx(3.5)


def test_exchanged_labels_list_every_permutation():
    outcome = np.array([1, 0, 1, 1, 0, 1, 0])
    first = np.array([True, False, False, True, False, True, False])
    strata = np.array(["a", "a", "a", "b", "b", "b", "b"])
    law = np.zeros(4)
    for labels in product((True, False), repeat=7):
        labels = np.array(labels)
        if labels[:3].sum() == 1 and labels[3:].sum() == 2:
            law[outcome[labels].sum()] += 1
    assert label_law(outcome, first, strata) == pytest.approx(law / law.sum())
    found = label_permutation(outcome, first, strata, "greater", "strata")
    assert found.p_value == pytest.approx(law[3:].sum() / law.sum())
    assert found.null_value == pytest.approx(2 / 3 + 2 * 2 / 4)


def test_one_stratum_is_fishers_test():
    found = share_difference(7, 9, 3, 11)
    assert found.p_value == pytest.approx(fisher_exact([[7, 2], [3, 8]], "greater")[1])
    best = fisher_exact([[9, 0], [1, 10]], "greater")[1]
    assert found.attainable_p == pytest.approx(best)


def test_nearly_all_with_the_outcome_leave_no_small_p():
    """39 of 40 among both groups together: no exchange of labels can reach 5 %."""
    assert share_difference(10, 10, 29, 30).attainable_p == pytest.approx(30 / 40)


@pytest.mark.parametrize(("x1", "x0"), [(9, 3), (3, 9), (6, 6), (10, 0), (0, 10)])
def test_newcombes_p_is_where_its_limit_meets_zero(x1, x0):
    found = newcombe(x1, 10, x0, 10, "greater")
    sure = found.limit_low > 0
    assert (found.p_value < 0.05) == sure
    assert found.p_value + newcombe(x1, 10, x0, 10, "less").p_value == pytest.approx(1)
    assert 0 < found.p_value < 1


def test_newcombe_stays_finite_for_groups_that_cannot_be_further_apart():
    found = newcombe(400, 400, 0, 400, "greater")
    assert 0 < found.p_value <= 1e-15


def test_the_bootstrap_resamples_whole_clusters():
    outcome, days = np.array([1, 1, 1, 0, 0, 0, 1, 0]), np.array([1, 1, 1, 2, 2, 2, 3, 4])
    found = cluster_bootstrap(outcome, days, 0.5, "less", seed=3, draws=4000)
    apart = cluster_bootstrap(outcome, np.arange(8), 0.5, "less", seed=3, draws=4000)
    assert found.estimate == apart.estimate == 0.5
    assert found.high - found.low > apart.high - apart.low
    assert found == cluster_bootstrap(outcome, days, 0.5, "less", seed=3, draws=4000)


def test_the_bootstrap_says_nothing_about_outcomes_that_do_not_vary():
    found = cluster_bootstrap(np.zeros(5, dtype=int), np.arange(5), 0.1, "less", seed=1, draws=99)
    assert found.p_value is None
    assert found.agrees
    assert "do not vary" in found.reason


def test_weights_give_every_stratum_the_same_say():
    outcome, strata = np.array([1, 1, 1, 1, 0]), np.array([1, 1, 1, 1, 2])
    weights = 1 / np.bincount(strata)[strata]
    found = cluster_bootstrap(outcome, strata, 0.9, "less", seed=1, draws=999, weights=weights)
    assert found.estimate == 0.5


# ---- invariants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "n"), [(0, 5), (2, 9), (9, 9), (30, 81)])
def test_counting_the_opposite_outcome_mirrors_everything(x, n):
    a, b = share(x, n, 0.3, "greater", claimed=0.6), share(n - x, n, 0.7, "less", claimed=0.4)
    for left, right in ((a.p_value, b.p_value), (a.power, b.power), (a.attainable_p, b.attainable_p),
                        (a.low, 1 - b.high), (a.limit_high, 1 - b.limit_low)):  # fmt: skip
        assert left == pytest.approx(right, abs=1e-12)
    bayes = jeffreys(x, n, 0.3, "greater"), jeffreys(n - x, n, 0.7, "less")
    assert bayes[0].p_value == pytest.approx(bayes[1].p_value)


def test_swapping_the_groups_mirrors_the_difference():
    a, b = share_difference(7, 20, 3, 30, "greater"), share_difference(3, 30, 7, 20, "less")
    assert (a.estimate, a.low, a.p_value) == pytest.approx((-b.estimate, -b.high, b.p_value))


def test_limits_and_p_agree_on_every_outcome():
    for x in range(31):
        found = share(x, 30, 0.15, "less")
        assert (found.p_value <= 0.05) == (found.limit_high <= 0.15)


@pytest.mark.parametrize("law", [cluster_law(np.array([1, 1, 2, 3]), 0.2), binom.pmf(np.arange(9), 8, 0.4)])
def test_a_law_sums_to_one_and_its_tails_meet(law):
    assert law.sum() == pytest.approx(1)
    assert tails(law, "less") + tails(law, "greater") - law == pytest.approx(np.ones(law.size))


def test_an_empty_group_is_a_reason_and_no_error():
    assert share_difference(0, 0, 3, 9).reason == "one of the two groups is empty"
