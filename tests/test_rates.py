"""Two Poisson rates: reference cases, the worked numbers, the definition behind each fast path."""

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from reference_cases import differences, reference
from scipy import stats

from analysis_lib.rates import (
    conditional_p,
    detectable,
    mid_p,
    none_expected,
    poisson_rate,
    rate_power,
    rate_ratio,
    ratio_limits,
    tipping_point,
    with_power,
)

CASES = reference("poisson")
ONE, TWO, POWER = ([c for c in CASES if c.startswith(f"sh-{kind}-")] for kind in ("poisson1", "poisson2", "power"))


# ---- reference cases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ONE)
def test_one_rate_and_its_interval(case):
    case = CASES[case]
    found = poisson_rate(case["data"]["x"], case["data"]["T"])
    got = {"rate": found.estimate, "ci95_garwood_low": found.low, "ci95_garwood_high": found.high}
    assert differences(got, case["expected"], case["tolerance"]) == []


@pytest.mark.parametrize("case", TWO)
def test_ratio_of_two_rates(case):
    case = CASES[case]
    x1, t1, x2, t2 = (case["data"][key] for key in ("x1", "t1", "x2", "t2"))
    less, greater, both = (rate_ratio(x1, t1, x2, t2, side) for side in ("less", "greater", "two-sided"))
    midp = mid_p(x1, x1 + x2, t1 / (t1 + t2))
    got = {
        "rate_ratio": less.estimate,
        "p_less": less.p_value,
        "p_greater": greater.p_value,
        "p_two_central": both.p_value,
        "midp_less": midp[0],
        "p_two_midp": 2 * min(midp),
        "ci95_exact_low": both.low,
        "ci95_exact_high": both.high,
    }
    assert differences(got, case["expected"], case["tolerance"]) == []
    assert less.p_two_sided == greater.p_two_sided == both.p_value


@pytest.mark.parametrize("case", POWER)
def test_power_of_the_exact_test(case):
    case = CASES[case]
    data = case["data"]
    means = data["rate1"] * data["t1"], data["rate2"] * data["t2"]
    got = {"power": rate_power(*means, data["t1"], data["t2"], data["alpha"])}
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_the_cases_are_there():
    assert (len(ONE), len(TWO), len(POWER)) == (3, 3, 2)


# ---- the worked numbers of the methods, by item ----------------------------------------------------------------------


def test_1_literal_window():
    """12 of 53 days, 1 of 3 events."""
    found = rate_ratio(1, 12, 2, 41)
    assert found.p_value == pytest.approx(0.869, abs=5e-4)
    assert found.estimate == pytest.approx(1.71, abs=5e-3)
    assert (found.low, found.high) == pytest.approx((0.029, 32.8), rel=2e-3)
    assert mid_p(1, 3, 12 / 53)[0] == pytest.approx(0.666, abs=5e-4)


@pytest.mark.parametrize(
    ("window", "frame", "p"),
    [
        pytest.param(10, 53, 0.534, id="2 Harir moved out"),
        pytest.param(11, 57, 0.526, id="2 Harir moved out, 57-day frame"),
        pytest.param(24, 53, 0.164, id="3 the text's own window"),
    ],
)
def test_2_and_3_an_empty_window_of_three_events(window, frame, p):
    assert rate_ratio(0, window, 3, frame - window).p_value == pytest.approx(p, abs=5e-4)


def test_2_without_harir_the_interval_still_reaches_ten():
    assert rate_ratio(0, 10, 3, 43).high == pytest.approx(10.4, abs=0.05)
    assert mid_p(0, 3, 10 / 53)[0] == pytest.approx(0.267, abs=5e-4)


def test_4_expected_events_and_the_chance_of_none():
    expected = 11 * poisson_rate(3, 57).estimate
    assert expected == pytest.approx(0.579, abs=5e-4)
    assert none_expected(expected) == pytest.approx(0.560, abs=6e-4)


@pytest.mark.parametrize(("window", "frame", "needed"), [(11, 57, 14), (12, 57, 13), (10, 53, 15)])
def test_7_events_that_an_empty_window_needs(window, frame, needed):
    def reachable(n):
        return rate_ratio(0, window, n, frame - window).attainable_p

    assert reachable(needed) <= 0.05 < reachable(needed - 1)


def test_7_three_events_need_a_window_of_63_percent():
    assert rate_ratio(0, 33, 3, 20).attainable_p > 0.05 > rate_ratio(0, 34, 3, 19).attainable_p


@pytest.mark.parametrize(
    ("per_57_days", "power"), [(3, 3e-7), (6, 0.0005), (10, 0.036), (14, 0.25), (20, 0.74), (21, 0.80)]
)
def test_8_power_for_a_full_pause_of_11_days(per_57_days, power):
    assert rate_power(0, per_57_days * 46 / 57, 11, 46) == pytest.approx(power, rel=0.12)


def test_8_other_baselines():
    assert rate_power(0, 17.4 / 57 * 300, 11, 300) == pytest.approx(0.80, abs=0.002)  # 300 days
    assert none_expected(11 * 15.6 / 57) < 0.05 < none_expected(11 * 15.5 / 57)  # a known rate
    assert none_expected(57 * 3 / 57) < 0.05 < none_expected(56 * 3 / 57)  # the pause that three strikes could show


@pytest.mark.parametrize(("days", "expected", "none"), [(10, 2.48, 0.083), (11, 2.73, 0.065), (12, 2.98, 0.051)])
def test_11_all_attacks(days, expected, none):
    mean = days * poisson_rate(39, 157).estimate
    assert mean == pytest.approx(expected, abs=6e-3)
    assert none_expected(mean) == pytest.approx(none, abs=6e-4)


def test_11_base_attacks_and_one_event_in_the_war():
    assert rate_ratio(0, 12, 39, 145).p_value == pytest.approx(0.045, abs=5e-4)
    assert none_expected(2.98) * (1 + 2.98) == pytest.approx(0.2, abs=0.01)
    assert rate_ratio(1, 12, 38, 145).p_value == pytest.approx(0.19, abs=5e-3)


@pytest.mark.parametrize(("inside", "outside", "p"), [(0, 73, 4.4e-6), (0, 66, 1.4e-5), (1, 73, 5.4e-5)])
def test_truce_of_november_2023_by_the_press_totals(inside, outside, p):
    assert rate_ratio(inside, 7, outside, 38).p_value == pytest.approx(p, rel=0.02)


def test_onset_of_2023_by_the_press_totals():
    found = rate_ratio(73, 48, 0, 90)
    assert found.low == pytest.approx(36, abs=0.5)
    assert found.estimate == np.inf
    assert found.reason == "no event outside: no finite ratio"


# ---- the fast path equals the definition -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 17, 60])
@pytest.mark.parametrize("share", [0.01, 12 / 53, 0.5, 0.99])
def test_conditional_p_is_the_binomial_sum(n, share):
    x = np.arange(n + 1)
    less, greater = conditional_p(x, n, share)
    np.testing.assert_allclose(less, stats.binom.cdf(x, n, share), rtol=1e-10)
    np.testing.assert_allclose(greater, stats.binom.sf(x - 1, n, share), rtol=1e-10)


def test_no_event_gives_no_evidence():
    assert [float(p) for p in conditional_p(0, 0, 0.3)] == [1.0, 1.0]
    found = rate_ratio(0, 10, 0, 40)
    assert (found.p_value, found.attainable_p, found.estimate) == (1.0, 1.0, None)
    assert found.reason == "no event in the frame"


def test_small_p_values_keep_their_digits():
    """A tail taken as 1 minus the other is 0 or noise here."""
    assert rate_ratio(47, 48, 0, 90, "greater").p_value == pytest.approx((48 / 138) ** 47, rel=1e-9)
    assert rate_ratio(0, 48, 200, 90, "less").p_value == pytest.approx((90 / 138) ** 200, rel=1e-9)


@pytest.mark.parametrize(("x1", "t1", "x0", "t0"), [(1, 12, 2, 41), (0, 10, 3, 43), (5, 5, 0, 9), (11, 80, 21, 301)])
def test_the_limits_are_where_the_tail_reaches_its_level(x1, t1, x0, t0):
    """At the upper limit P(X <= x1) is 2.5 %, at the lower P(X >= x1); the one-sided limits leave 5 %."""
    found, n = rate_ratio(x1, t1, x0, t0), x1 + x0

    def share(ratio):
        return ratio * t1 / (ratio * t1 + t0)

    for low, high, tail in ((found.low, found.high, 0.025), (found.limit_low, found.limit_high, 0.05)):
        if x1:
            assert stats.binom.sf(x1 - 1, n, share(low)) == pytest.approx(tail, rel=1e-6)
        else:
            assert low == 0
        if x0:
            assert stats.binom.cdf(x1, n, share(high)) == pytest.approx(tail, rel=1e-6)
        else:
            assert high == np.inf


@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
@pytest.mark.parametrize(("x1", "t1", "x0", "t0"), [(1, 12, 2, 41), (3, 30, 9, 23)])
def test_the_attainable_p_is_the_smallest_over_all_splits(alternative, x1, t1, x0, t0):
    n = x1 + x0
    every = [rate_ratio(x, t1, n - x, t0, alternative).p_value for x in range(n + 1)]
    assert rate_ratio(x1, t1, x0, t0, alternative).attainable_p == pytest.approx(min(every))


@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
@pytest.mark.parametrize(("mean1", "mean0", "t1", "t0"), [(0, 6, 10, 40), (2.5, 12, 12, 41), (9, 4, 20, 20)])
def test_power_is_the_sum_over_all_pairs_of_counts(alternative, mean1, mean0, t1, t0):
    slow = 0.0
    for x1, x0 in product(range(45), range(45)):
        if x1 + x0 and rate_ratio(x1, t1, x0, t0, alternative).p_value <= 0.05:
            slow += stats.poisson.pmf(x1, mean1) * stats.poisson.pmf(x0, mean0)
    assert rate_power(mean1, mean0, t1, t0, 0.05, alternative) == pytest.approx(slow, abs=1e-9)


def test_a_p_value_exactly_at_alpha_rejects():
    """One event, half the days outside: p = 0.5 for an empty window."""
    assert rate_power(0, 1.0, 1, 1, alpha=0.5) == pytest.approx(1 - np.exp(-1))


def test_power_takes_means_of_thousands():
    assert rate_power(2000, 4000, 10, 10) == pytest.approx(1.0)


def test_the_detectable_ratio_is_the_one_nearest_to_1():
    for side, worse in (("less", 1.01), ("greater", 0.99)):
        ratio = detectable(60, 12, 41, 0.05, side)

        def power(r, side=side):
            return rate_power(r * 60 / 41 * 12, 60, 12, 41, 0.05, side)

        assert power(ratio) >= 0.8 > power(ratio * worse)


@pytest.mark.parametrize(("x0", "side"), [(3, "less"), (0, "less"), (60, "two-sided")])
def test_where_nothing_can_be_detected_the_answer_is_none(x0, side):
    assert detectable(x0, 12, 41, 0.05, side) is None


def test_power_is_at_the_ratio_that_the_claim_states():
    found = with_power(rate_ratio(1, 6, 60, 39), 60, 6, 39, 0.0, 0.05)
    assert found.power == pytest.approx(rate_power(0, 60, 6, 39))
    assert with_power(found, 60, 6, 39, 0.5, 0.05).power == pytest.approx(rate_power(0.5 * 60 / 39 * 6, 60, 6, 39))
    assert with_power(found, 60, 6, 39, None, 0.05).power is None


# ---- what must hold for any counts -----------------------------------------------------------------------------------

COUNTS = [(1, 12, 2, 41), (4, 10, 5, 45), (7, 3, 9, 3), (30, 100, 12, 20)]


@pytest.mark.parametrize(("x1", "t1", "x0", "t0"), COUNTS)
def test_swapping_the_two_periods_inverts_the_ratio_and_exchanges_the_tails(x1, t1, x0, t0):
    here, there = rate_ratio(x1, t1, x0, t0, "less"), rate_ratio(x0, t0, x1, t1, "greater")
    assert there.estimate == pytest.approx(1 / here.estimate)
    assert (there.low, there.high) == pytest.approx((1 / here.high, 1 / here.low))
    assert (there.limit_low, there.limit_high) == pytest.approx((1 / here.limit_high, 1 / here.limit_low))
    assert there.p_value == pytest.approx(here.p_value)
    assert there.p_two_sided == pytest.approx(here.p_two_sided)
    assert there.attainable_p == pytest.approx(here.attainable_p)


@pytest.mark.parametrize(("x1", "t1", "x0", "t0"), COUNTS)
def test_the_unit_of_time_does_not_matter(x1, t1, x0, t0):
    days, hours = rate_ratio(x1, t1, x0, t0), rate_ratio(x1, 24 * t1, x0, 24 * t0)
    assert (days.estimate, days.low, days.high, days.p_value) == pytest.approx(
        (hours.estimate, hours.low, hours.high, hours.p_value)
    )


@pytest.mark.parametrize(("x1", "t1", "x0", "t0"), COUNTS)
def test_the_two_tails_share_the_outcome_itself_and_mid_p_halves_it(x1, t1, x0, t0):
    n, share = x1 + x0, t1 / (t1 + t0)
    less, greater = conditional_p(x1, n, share)
    assert less + greater - 1 == pytest.approx(stats.binom.pmf(x1, n, share))
    assert sum(mid_p(x1, n, share)) == pytest.approx(1)


@pytest.mark.parametrize(("x1", "n", "share"), [(60, 100, 0.1), (0, 400, 0.2), (0, 0, 0.3), (88, 88, 0.5), (5, 5, 0.2)])
def test_mid_p_keeps_tails_too_small_to_survive_a_difference_from_one(x1, n, share):
    law = [Fraction(comb(n, k)) * Fraction(share) ** k * (1 - Fraction(share)) ** (n - k) for k in range(n + 1)]
    half = law[x1] / 2
    exact = [float(sum(law[:x1]) + half), float(sum(law[x1 + 1 :]) + half)]
    assert mid_p(x1, n, share) == pytest.approx(exact, rel=1e-10, abs=0)


@pytest.mark.parametrize(("t1", "t0"), [(0, 10), (10, 0), (-1, 10)])
def test_exposure_must_be_positive(t1, t0):
    with pytest.raises(ValueError, match="exposure must be positive on both sides"):
        rate_ratio(1, t1, 1, t0)


# ---- limits, power and completeness by their definitions -------------------------------------------------------------


@pytest.mark.parametrize(("x1", "x0"), [(0, 5), (5, 0), (1, 2), (7, 7), (40, 3)])
def test_at_a_limit_of_the_ratio_the_tail_is_what_was_asked(x1, x0):
    t1, t0, tail = 12.0, 41.0, 0.05
    low, high = ratio_limits(x1, t1, x0, t0, tail)
    at = [ratio * t1 / (ratio * t1 + t0) for ratio in (low, high)]
    if x1:
        assert stats.binom.sf(x1 - 1, x1 + x0, at[0]) == pytest.approx(tail)
    else:
        assert low == 0
    if x0:
        assert stats.binom.cdf(x1, x1 + x0, at[1]) == pytest.approx(tail)
    else:
        assert high == np.inf


@pytest.mark.parametrize("side", ["less", "greater", "two-sided"])
@pytest.mark.parametrize(("mean1", "mean0", "t1", "t0"), [(0, 9, 12, 41), (3, 11.5, 12, 41), (30, 8, 30, 90)])
def test_power_is_the_weight_of_the_outcomes_that_reject(mean1, mean0, t1, t0, side):
    x1, x0 = np.arange(120)[:, None], np.arange(120)
    less, greater = conditional_p(x1, x1 + x0, t1 / (t1 + t0))
    p = {"less": less, "greater": greater, "two-sided": 2 * np.minimum(less, greater)}[side]
    weight = stats.poisson.pmf(x1, mean1) * stats.poisson.pmf(x0, mean0)
    expected = weight[(p <= 0.05) & (x1 + x0 > 0)].sum()
    assert rate_power(mean1, mean0, t1, t0, 0.05, side) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("counts", "side", "words"),
    [
        pytest.param((1, 6, 60, 39), "less", "undone where the window is seen less than 0.53 times", id="pause undone"),
        pytest.param((2, 12, 9, 41), "less", "created where the window is seen more than", id="pause created"),
        pytest.param((20, 10, 20, 40), "greater", "undone where the window is seen more than", id="surge undone"),
        pytest.param((6, 10, 20, 40), "greater", "created where the window is seen less than", id="surge created"),
    ],
)
def test_at_the_tipping_point_the_primary_p_is_alpha_and_beyond_it_the_effect_is_another(counts, side, words):
    x1, t1, x0, t0 = counts
    found = tipping_point(*counts, 0.05, side)
    assert words in found.notes[0]
    p = {seen: rate_ratio(x1, t1 * seen, x0, t0, side).p_value for seen in (found.estimate, 1)}
    assert p[found.estimate] == pytest.approx(0.05)
    assert (p[1] <= 0.05) == ("undone" in found.notes[0])
    beyond = found.estimate * (0.9 if "less than" in found.notes[0] else 1.1)
    assert (rate_ratio(x1, t1 * beyond, x0, t0, side).p_value <= 0.05) == ("created" in found.notes[0])


def test_no_completeness_makes_a_p_small_without_an_event_outside():
    found = tipping_point(3, 12, 0, 41, 0.05, "less")
    assert found.estimate is None
    assert "no completeness" in found.reason
