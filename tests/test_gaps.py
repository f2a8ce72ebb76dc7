"""Waiting times: reference cases, the worked numbers, laws against simulation, and what a gap is."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from reference_cases import differences, reference
from scipy.special import gammaincc
from worlds import FRAME, WAR, YEAR, poisson_days, steady_days, without

from analysis_lib import Series, Window
from analysis_lib.gaps import (
    exponential,
    gap_model,
    kaplan_meier,
    longest_gap,
    longest_gap_mean,
    longest_gap_p,
    running_gap,
    running_gap_p,
    running_gap_power,
    spacings,
    weibull,
)
from analysis_lib.rates import none_expected, predictive
from analysis_lib.series import series_of

CASES = reference("gaps")
STRIKES = np.array(["2021-04-14", "2021-05-08", "2021-05-11"], dtype="datetime64[D]")


def watched(dates, frame: Window = FRAME) -> Series:
    return series_of(np.asarray(dates, dtype="datetime64[D]"), np.ones(frame.days, dtype=bool), frame)


def tiny(*counts: int, blind: tuple[int, ...] = ()) -> Series:
    """A series with these daily counts; the days at `blind` were not watched."""
    observed = np.ones(len(counts), dtype=bool)
    observed[list(blind)] = False
    return Series(
        np.datetime64("2021-01-01") + np.arange(len(counts)).astype("timedelta64[D]"), np.array(counts), observed
    )


def january(first: int, last: int) -> Window:
    return Window(date(2021, 1, first), date(2021, 1, last))


# ---- reference cases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith("sh-gaps-aml")])
def test_kaplan_meier_exponential_and_weibull(case):
    case = CASES[case]
    times, status = (np.array(case["data"][key], dtype=float) for key in ("time", "status"))
    km_time, km_surv = kaplan_meier(times, status)
    rate, exp_ll = exponential(times, status)
    shape, scale, ll = weibull(times, status)
    lr = 2 * (ll - exp_ll)
    steps = np.searchsorted(km_time, case["expected"]["km_time"], side="right") - 1  # the case lists censored times too
    got = {
        "km_surv": km_surv[steps], "km_median": km_time[np.argmax(km_surv <= 0.5)],
        "exp_rate": rate, "exp_loglik": exp_ll, "weibull_shape": shape, "weibull_scale": scale, "weibull_loglik": ll,
        "lr_shape1": lr, "p_shape1": gammaincc(0.5, lr / 2),
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith("sh-maxgap")])
def test_longest_of_the_spacings(case):
    case = CASES[case]
    got = {"p": longest_gap_p(case["data"]["n"], case["data"]["g"], case["data"]["T"])}
    assert differences(got, case["expected"], case["tolerance"]) == []


# ---- the worked numbers of the methods, by item ----------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "p"), [(3 / 57, 0.255), (3 / 53, 0.230), (2 / 27, 0.146)])
def test_5_chance_of_a_gap_of_26_days_at_a_known_rate(rate, p):
    assert none_expected(26 * rate) == pytest.approx(p, abs=1e-3)


@pytest.mark.parametrize(("open_days", "p"), [(26, 0.260), (24, 0.280), (25, 0.270)])
def test_5_chance_of_the_gap_with_the_rate_unknown(open_days, p):
    """Two gaps of 24 and 3 days came before: (27 / (27 + g))^2, which is also the gamma prediction."""
    assert float(running_gap_p(2, 27, open_days)) == pytest.approx(p, abs=5e-4)
    assert predictive(0, 0, 2, 27, open_days)["none"] == pytest.approx(p, abs=5e-4)


def test_5_the_open_gap_of_gap_2021():
    found = running_gap(watched(STRIKES), Window(date(2021, 5, 12), date(2021, 6, 5)))
    assert found.p_value == pytest.approx(0.270, abs=5e-4)
    assert found.notes == ("2 completed gaps of 27 days in all, then 25 days without an event",)


@pytest.mark.parametrize(
    ("n", "gap", "days", "p"), [(2, 26, 53, 0.778), (3, 26, 57, 0.639), (39, 13, 157, 0.84)],
    ids=["6 two events between the edges", "6 three events in 57 days", "11 all attacks"],
)  # fmt: skip
def test_6_and_11_longest_gap_anywhere(n, gap, days, p):
    assert longest_gap_p(n, gap, days) == pytest.approx(p, abs=5e-3 if n == 39 else 1e-3)


@pytest.mark.parametrize(("n", "days", "mean"), [(3, 57, 29.7), (39, 157, 16.8)])
def test_6_and_11_expected_longest_gap(n, days, mean):
    assert longest_gap_mean(n, days) == pytest.approx(mean, abs=0.05)


def test_6_the_gap_of_2021_is_shorter_than_the_longest_expected():
    found = longest_gap(watched(STRIKES), WAR)
    assert (found.estimate, found.n, found.exposure) == (26, 2, 53)
    assert found.p_value == pytest.approx(0.778, abs=1e-3)
    assert found.estimate < found.null_value
    assert not found.agrees


# ---- laws against simulation and small exact cases -------------------------------------------------------------------


@pytest.mark.parametrize(("n", "gap", "total"), [(1, 0.6, 1.0), (4, 30, 100), (9, 20, 60), (30, 8, 90)])
def test_the_longest_gap_law_is_that_of_uniform_points(n, gap, total):
    draws = 40_000
    points = np.sort(np.random.default_rng(7).uniform(0, total, (draws, n)), axis=1)
    edges = np.hstack([np.zeros((draws, 1)), points, np.full((draws, 1), total)])
    share = (np.diff(edges, axis=1).max(axis=1) >= gap).mean()
    p = longest_gap_p(n, gap, total)
    assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / draws)


@pytest.mark.parametrize(
    ("n", "gap", "p"),
    [
        (1, 0.5, 1.0),
        (1, 0.75, 0.5),
        (2, 1.0, 0.0),
        (2, 0.5, 0.75),
        (5, 0, 1.0),
        (0, 0.9, 1.0),
        (0, 1.0, 1.0),
        (3, 1.1, 0),
    ],
)
def test_the_longest_gap_law_in_closed_form(n, gap, p):
    """One point leaves max(u, 1 - u) >= g with probability 2 (1 - g); two leave 3 (1 - g)^2 for g >= 1/2."""
    assert longest_gap_p(n, gap, 1) == pytest.approx(p)


def test_the_law_keeps_its_digits_for_many_events():
    values = [longest_gap_p(200, g, 365) for g in range(1, 60)]
    assert all(0 <= b <= a <= 1 for a, b in pairwise(values))
    assert values[-1] == pytest.approx(201 * (1 - 59 / 365) ** 200, rel=1e-4)  # one long gap alone matters


@pytest.mark.parametrize(("n", "total"), [(0, 10.0), (1, 1.0), (6, 53.0)])
def test_the_mean_longest_gap_is_the_area_under_its_law(n, total):
    grid = np.linspace(0, total, 2001)
    area = np.trapezoid([longest_gap_p(n, g, total) for g in grid], grid)
    assert longest_gap_mean(n, total) == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize(("k", "ratio"), [(1, 1.0), (2, 25 / 27), (6, 0.5)])
def test_the_open_gap_law_is_that_of_exponential_gaps(k, ratio):
    """P(next gap >= ratio x the sum of k gaps), whatever their rate."""
    draws = 40_000
    gaps = np.random.default_rng(11).exponential(3.0, (draws, k + 1))
    share = (gaps[:, -1] >= ratio * gaps[:, :-1].sum(axis=1)).mean()
    p = float(running_gap_p(k, 1.0, ratio))
    assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / draws)


def test_the_open_gap_law_takes_arrays_and_says_1_where_nothing_is_open():
    assert running_gap_p([0, 2, 2], [5, 27, 27], [9, 0, 25]).tolist() == [1.0, 1.0, (27 / 52) ** 2]


def test_power_of_the_open_gap_is_the_share_of_histories_that_reach_alpha():
    """k gaps at the rate seen, then silence for the days that were silent."""
    found = running_gap(watched(STRIKES), Window(date(2021, 5, 12), date(2021, 6, 5)))
    sums = np.random.default_rng(3).exponential(27 / 2, (40_000, 2)).sum(axis=1)
    share = (running_gap_p(2, sums, 25) <= 0.05).mean()
    assert found.power == pytest.approx(share, abs=4 * np.sqrt(0.1 * 0.9 / 40_000))


def test_the_interval_of_the_open_gap_holds_the_ratios_that_the_gap_does_not_reject():
    found = running_gap(watched(STRIKES), Window(date(2021, 5, 12), date(2021, 6, 5)))
    for limit, tail in ((found.high, 0.025), (found.limit_high, 0.05)):
        assert float(running_gap_p(2, 27, limit * 25)) == pytest.approx(tail)


# ---- what a gap is ---------------------------------------------------------------------------------------------------


def test_spacings_run_from_edge_to_edge():
    start, end, edge = spacings(tiny(0, 0, 1, 0, 0, 2, 0, 0, 0, 0))
    assert (end - start).tolist() == [2, 3, 0, 5]
    assert not edge


def test_an_event_on_the_first_day_is_the_edge_and_no_event():
    start, end, edge = spacings(tiny(1, 0, 1, 0, 0))
    assert ((end - start).tolist(), edge) == ([2, 3], True)


def test_unwatched_days_make_no_gap_longer():
    start, end, _ = spacings(tiny(0, 1, 0, 0, 0, 1, 0, blind=(2, 3)))
    assert (end - start).tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    ("first", "last", "gap"),
    [
        (6, 9, 10),  # the long gap is that of 6 to 16 January
        (8, 12, 10),
        (16, 19, 5),  # the long gap is over when this window begins
        (13, 19, 5),  # and mostly over here: its middle lies before the window
        (2, 5, 5),
    ],
)
def test_the_gap_must_touch_the_window_and_not_be_over_by_its_middle(first, last, gap):
    series = tiny(*[int(day in (6, 16)) for day in range(1, 21)])
    assert longest_gap(series, january(first, last)).estimate == gap


def test_a_window_late_in_a_gap_that_outlasts_it_has_no_gap_of_its_own():
    series = tiny(*[int(day in (6, 16)) for day in range(1, 21)])
    found = longest_gap(series, january(12, 15))
    assert (found.estimate, found.p_value) == (None, None)
    assert found.reason == "the gap that holds the window lies mostly before it"


def test_a_longest_gap_cannot_be_judged_without_events_or_watched_days():
    assert longest_gap(tiny(*[0] * 20), january(3, 9)).reason == "no event in the frame"
    blind = tiny(1, *[0] * 9, blind=tuple(range(2, 9)))
    assert longest_gap(blind, january(3, 9)).reason == "no observed day in the window"


def test_a_rise_reads_the_law_from_the_other_side():
    less, greater = (longest_gap(watched(STRIKES), WAR, side) for side in ("less", "greater"))
    assert (less.alternative, greater.alternative) == ("greater", "less")
    assert less.p_value + greater.p_value == pytest.approx(1)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ((0, 0, 0, 0, 0, 0), "no event in the frame"),
        ((1, 0, 0, 0, 0, 0), "no completed gap before the open one"),
        ((1, 0, 1, 0, 0, 1), "an event on the last day: no gap is open"),
    ],
)
def test_an_open_gap_needs_a_completed_one_and_to_be_open(counts, reason):
    found = running_gap(tiny(*counts), january(4, 6))
    assert found.reason == reason
    assert found.estimate is None
    assert found.p_value in (None, 1.0)


def test_the_attainable_p_of_an_open_gap_is_that_of_gaps_of_one_day():
    found = running_gap(watched(STRIKES), Window(date(2021, 5, 12), date(2021, 6, 5)))
    assert found.attainable_p == pytest.approx((2 / 52) ** 2)


# ---- gap models ------------------------------------------------------------------------------------------------------


def test_gaps_are_between_days_with_an_event_and_the_last_is_censored():
    shape, exceedance, biased = gap_model(tiny(1, 0, 3, 0, 0, 1, 0, 0, 0, 0), january(7, 10))
    assert (shape.n, shape.exposure) == (2, 9.0)  # gaps of 2 and 3 days, then 4 open ones
    rate = 2 / 9
    assert exceedance.estimate == pytest.approx(np.exp(-4 * rate))
    assert biased.estimate == pytest.approx((1 + 4 * rate) * np.exp(-4 * rate))


def test_events_after_the_window_are_not_known_to_the_gap_model():
    early = gap_model(tiny(1, 0, 1, 0, 1, 0, 0, 0, 0, 1), january(6, 8))
    assert (early[0].n, early[1].notes) == (2, ("open gap 3 days", "by Kaplan–Meier 0.333"))


def test_fewer_than_two_completed_gaps_give_a_reason_and_no_number():
    for found in gap_model(tiny(1, 0, 1, 0, 0, 0), january(4, 6)):
        assert found.estimate is None
        assert "fewer than two completed gaps" in found.reason


def test_equal_gaps_have_no_finite_weibull_shape():
    """An attack a day: the likelihood grows without bound with the shape."""
    shape, exceedance, _ = gap_model(watched(steady_days(FRAME)), WAR)
    assert shape.estimate is None
    assert shape.reason == "all gaps are equal: the shape has no finite estimate"
    assert exceedance.estimate == 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_poisson_history_looks_exponential_and_a_clustered_one_does_not(seed):
    chance = gap_model(watched(poisson_days(YEAR, 0.1, seed), YEAR), YEAR)[0]
    assert chance.p_value > 0.05
    clusters = without(steady_days(YEAR), Window(date(2021, 2, 1), date(2021, 12, 1)))[seed::3]
    assert gap_model(watched(clusters, YEAR), YEAR)[0].estimate < 1


def test_power_of_the_open_gap_at_a_full_stop_and_on_the_way_to_it():
    """Two gaps of 27 days in all, then 25 open days: found when the first two are short enough, by simulation."""
    rng = np.random.default_rng(3)
    lengths = rng.gamma(2, 27 / 2, size=200_000)
    found = running_gap_p(2, lengths, 25.0) <= 0.05
    full, half = running_gap_power(2, 27.0, 25.0, 0.05, np.array([0.0, 0.5]))
    assert full == pytest.approx(found.mean(), abs=4 * np.sqrt(found.mean() / found.size))
    still_open = rng.exponential(27 / 2 / 0.5, size=found.size) >= 25.0
    assert half == pytest.approx((found & still_open).mean(), abs=0.002)
