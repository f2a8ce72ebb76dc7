"""Trends: reference cases, the worked numbers, laws against simulation and enumeration, what an edge is."""

from itertools import combinations

import numpy as np
import pytest
from reference_cases import differences, reference
from scipy.special import gammainc, gammaincc, gammaincinv, ndtr
from scipy.stats import kendalltau
from worlds import YEAR

from analysis_lib import Series
from analysis_lib.trends import (
    armitage,
    block_counts,
    break_p,
    break_ratio,
    break_statistics,
    crow,
    crow_amsaa,
    exponent,
    exponent_null,
    from_first_use,
    inner,
    joint_null,
    kendall,
    laplace,
    lewis,
    lewis_robinson,
    mann_kendall,
    progress_curve,
    progress_p,
    trend,
    trend_power,
)  # fmt: skip

TIMES, SERIES, SHARES = reference("trend_events"), reference("time_series"), reference("proportions")
SPRING = np.array([103, 127, 130])  # 14 April, 8 May and 11 May 2021 on the days of that year


def on(days, total: int = 365, blind: tuple[int, ...] = ()) -> Series:
    """A series with one event on each of these days of `total`; the days `blind` were not watched."""
    observed = np.ones(total, dtype=bool)
    observed[list(blind)] = False
    return Series(YEAR.calendar()[0] + np.arange(total), np.bincount(days, minlength=total), observed)


def growing(n: int, span: float, ratio: float, rng: np.random.Generator, sets: int) -> np.ndarray:
    """Times of n events whose rate is multiplied by `ratio` over the span: (sets, n), sorted."""
    c = np.log(ratio)
    return np.sort(np.log1p(rng.random((sets, n)) * np.expm1(c)) / c * span, axis=1)


# ---- reference cases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sh-crow-nist", "sh-crow-22"])
def test_crow_amsaa(name):
    case = TIMES[name]
    t, total, ends = np.array(case["data"]["t"]), case["data"]["T"], case["data"]["failure_truncated"]
    beta, chi2, df = crow(t, total, ends)
    low, high = beta * gammaincinv(df / 2, [0.05, 0.95]) / t.size
    got = {
        "n": t.size, "beta_mle": beta, "lambda_mle": t.size / total**beta, "milhdbk189_chi2": chi2,
        "milhdbk189_df": df, "p_growth_upper": gammaincc(df / 2, chi2 / 2),
        "p_worsening_lower": gammainc(df / 2, chi2 / 2), "beta_ci_low": low, "beta_ci_high": high,
        "expected_progress_exponent": 1 - 1 / beta,
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


@pytest.mark.parametrize("name", ["sh-laplace-nist", "sh-laplace-22"])
def test_laplace(name):
    case = TIMES[name]
    t = np.array(case["data"]["t"], dtype=float)
    u = float(laplace(t[:-1] if case["data"]["failure_truncated"] else t, case["data"]["T"]))
    got = {"U": u, "p_upper": ndtr(-u), "p_two": 2 * ndtr(-abs(u))}
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_lewis_robinson():
    case = TIMES["sh-lewis-robinson"]
    t, total = np.array(case["data"]["t"], dtype=float), case["data"]["T"]
    got = {"LR": lewis(t, total), "U": float(laplace(t, total))}
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_progress_curve_exponent():
    case = TIMES["sh-progress"]
    b, n = exponent(np.array(case["data"]["tau"], dtype=float))
    assert int(n) == len(case["data"]["tau"])
    assert differences({"b": float(b)}, case["expected"], case["tolerance"]) == []
    assert exponent_null(int(n), 1, 40_000).std() == pytest.approx(case["expected"]["se_b_null_poisson"], rel=0.02)


def test_mann_kendall():
    case = SERIES["sh-mk"]
    x = np.array(case["data"]["x"], dtype=float)
    s, variance, factor, slope = kendall(x)
    found = mann_kendall(x, "counts")
    got = {"S": s, "var_S": variance, "theil_sen": slope, "z": found.estimate, "p_two": found.p_two_sided}
    assert factor <= 1  # no autocorrelation worth widening for, so z is the reference's
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_one_break_in_a_rate():
    case = SERIES["sh-cp-continuous"]
    days = np.round(np.array(case["data"]["date"]) * 10).astype(int) - 1  # tenths of a day; the break follows its event
    breaks = np.arange(1, 1000)
    ratio = np.abs(break_statistics(days[None], breaks, 1000)[0][0])
    t0 = int(breaks[ratio.argmax()])
    before = int((days < t0).sum())
    got = {"tau_hat": t0 / 10, "n_before": before, "n_after": days.size - before, "lr_stat": ratio.max(),
           "rate_before": before / t0 * 10, "loglik_gain": ratio.max() / 2}  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_one_break_in_counts():
    case = SERIES["sh-cp-annual"]
    y = np.array(case["data"]["y"])
    days = np.repeat(np.arange(y.size), y)
    ratio = break_statistics(days[None], np.arange(1, y.size), y.size)[0][0]
    assert (ratio[4] < 0, np.abs(ratio).argmax() + 1) == (True, case["expected"]["k"])  # a fall
    assert differences({"lr_stat": -ratio[4]}, case["expected"], case["tolerance"]) == []


def test_cochran_armitage():
    case = SHARES["sh-cochran-armitage"]
    x, n = (np.array(case["data"][key]) for key in ("x", "n"))
    marked = np.concatenate([np.repeat([1.0, 0.0], [a, b - a]) for a, b in zip(x, n, strict=True)])
    z = float(armitage(marked, np.repeat(np.arange(1.0, 5.0), n))[0])
    assert differences({"chisq": z**2, "p": 2 * ndtr(-abs(z))}, case["expected"], case["tolerance"]) == []


# ---- the worked numbers of the methods -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "error"), [(3, 1.63), (5, 1.01), (10, 0.58), (20, 0.36)])
def test_error_of_the_exponent_under_a_constant_rate(n, error):
    null = exponent_null(n, 1, 40_000)
    assert null.std() == pytest.approx(error, rel=0.02)
    assert null.mean() == pytest.approx(0, abs=3 * error / 200)


def test_the_three_gaps_of_spring_2021_say_nothing():
    found = progress_curve(np.array([103, 127, 130, 156]), claimed=1.0, seed=1, draws=9999)
    assert found.estimate == pytest.approx(0.26, abs=0.005)
    assert found.low < -2 < 2 < found.high
    assert (found.p_value > 0.3, found.power < 0.2) == (True, True)


@pytest.mark.parametrize(("n", "rise"), [(10, 15.0), (20, 6.9), (40, 3.9)])
def test_rise_over_the_frame_that_is_found_with_80_percent_power(n, rise):
    assert trend_power(n, 90.0, rise) == pytest.approx(0.8, abs=0.06)
    times = growing(n, 90.0, rise, np.random.default_rng(1), 20_000)
    assert (ndtr(-laplace(times, 90.0)) <= 0.05).mean() == pytest.approx(trend_power(n, 90.0, rise), abs=0.02)


def test_a_power_law_of_time_is_a_power_law_of_gaps():
    n = np.arange(1, 4001)
    times = n**0.5  # N(t) = t^2: beta 2, b = 1 - 1 / beta
    assert crow(times, times[-1], True)[0] == pytest.approx(2.0, rel=2e-3)
    assert float(exponent(np.diff(times))[0]) == pytest.approx(0.5, rel=5e-3)


# ---- laws: simulation and enumeration --------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1.0001, 2.0, 8.0])
def test_limits_of_growth_miss_as_often_as_they_say(ratio):
    span, days = 90, np.random.default_rng(2)
    found = [trend(on(np.floor(t).astype(int) + 1, 92)) for t in growing(8, span, ratio, days, 1500)]
    for limit in ([f.limit_high < ratio for f in found], [f.limit_low > ratio for f in found]):
        assert np.mean(limit) == pytest.approx(0.05, abs=0.017)  # three standard errors
    assert np.mean([f.low <= ratio <= f.high for f in found]) == pytest.approx(0.95, abs=0.017)


def test_growth_is_the_maximum_of_the_likelihood():
    series = on(np.array([20, 60, 61, 80, 88]), 92)
    times, span = inner(series)
    slopes = np.linspace(-0.2, 0.2, 40_001)
    slopes = slopes[slopes != 0]
    loglike = slopes * times.sum() - times.size * np.log(np.expm1(slopes * span) / slopes)
    assert trend(series).estimate == pytest.approx(np.exp(slopes[loglike.argmax()] * 90), rel=1e-3)


def test_a_doubling_every_90_days_is_found_and_named():
    times = growing(400, 363.0, 2 ** (363 / 90), np.random.default_rng(3), 1)[0]
    found = trend(on(np.floor(times).astype(int) + 1), claimed=2.0)
    assert found.low < 2 < found.high
    assert found.p_value < 1e-6
    assert found.power > 0.99
    assert 75 < float(found.notes[0].split()[2]) < 110


def test_the_rise_tests_keep_their_size():
    rng, p = np.random.default_rng(4), []
    for _ in range(600):
        series = on(rng.integers(0, 140, 30), 140)
        found = (crow_amsaa(series), lewis_robinson(series), mann_kendall(block_counts(series), "counts"))
        p.append([f.p_value for f in found])
    share = (np.array(p) <= 0.05).mean(axis=0)
    assert (share < 0.08).all()
    assert (share[:2] > 0.03).all()


def test_the_error_of_the_exponent_does_not_depend_on_it():
    rng, n = np.random.default_rng(5), np.arange(1, 13)
    gaps = rng.exponential(size=(4000, 12)) * 30 * n**-0.8
    p, b, sizes = progress_p(np.cumsum(np.insert(gaps, 0, 0, axis=1), axis=1), 1, 4000)
    assert set(sizes) == {12}
    assert b.mean() == pytest.approx(0.8, abs=0.03)
    null = exponent_null(12, 1, 4000)
    power = progress_curve(np.cumsum(np.append(0, gaps[0])), claimed=0.8, seed=1, draws=4000).power
    assert (p <= 0.05).mean() == pytest.approx(power, abs=0.03)
    assert power == pytest.approx((null + 0.8 >= np.quantile(null, 0.95)).mean(), abs=1e-12)


def test_the_joint_null_is_every_choice_of_days():
    series = on(np.array([2, 5, 6]), 9)  # 7 days between the edges: 35 choices of three
    sets = np.array(list(combinations(range(1, 8), 3)))
    exact = np.column_stack([laplace(sets - 0.5, 7), -np.log(np.log(7 / (sets - 0.5)).sum(axis=1)),
                             exponent(np.diff(sets))[0]])  # fmt: skip
    values = joint_null(series, 1, 20_000)
    own = np.flatnonzero((sets == [2, 5, 6]).all(axis=1))[0]
    standard = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    assert values[0] == pytest.approx(standard[own], abs=0.03)
    for z in (0.5, 1.0, 1.5):
        assert (values[1:].max(axis=1) >= z).mean() == pytest.approx((standard.max(axis=1) >= z).mean(), abs=0.02)


def test_first_and_last_day_stay_in_the_joint_null():
    days = np.array([0, 4, 9, 15, 29])
    with_edges, without = joint_null(on(days, 30), 1, 500), joint_null(on(days[1:-1], 30), 1, 500)
    assert with_edges[:, :2] == pytest.approx(without[:, :2])
    assert not np.allclose(with_edges[:, 2], without[:, 2])  # the gaps from and to the edges count
    assert joint_null(on(days[:3], 30), 1, 99) is None
    assert joint_null(on(np.arange(30), 30), 1, 99) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_best_rise_anywhere_is_the_best_of_all_breaks(seed):
    days = np.random.default_rng(seed).integers(0, 60, (40, 6)).astype(float)
    days[::3, 4:] = np.nan
    here, anywhere = break_statistics(days, np.arange(1, 60), 60)
    assert anywhere == pytest.approx(np.maximum(here.max(axis=1), 0), abs=1e-9)


def test_break_p_keeps_its_size_and_finds_a_break():
    rng = np.random.default_rng(6)
    breaks = np.arange(1, 100)
    assert (break_p(rng.integers(0, 100, (1500, 12)), breaks, 100, 1, 999) <= 0.05).mean() == pytest.approx(
        0.05, abs=0.02
    )
    late = rng.integers(70, 100, (200, 12))
    assert (break_p(late, np.arange(68, 73), 100, 1, 999) <= 0.05).mean() > 0.95
    assert (break_p(late, np.arange(20, 25), 100, 1, 999) <= 0.05).mean() < 0.2  # the wrong window pays for it
    assert break_p(99 - late, breaks, 100, 1, 999).min() > 0.05  # a fall is no rise


def test_the_break_ratio_is_the_likelihood_ratio():
    def loglike(x, t):
        return x * np.log(x / t) - x

    expected = 2 * (loglike(3, 40) + loglike(7, 60) - loglike(10, 100))
    assert break_ratio(3, 40, 10, 100) == pytest.approx(expected)
    assert break_ratio(7, 60, 10, 100) == pytest.approx(-expected)
    assert break_ratio(4, 40, 10, 100) == pytest.approx(0, abs=1e-12)


# ---- edges, missing values, invariants -------------------------------------------------------------------------------


def test_events_on_the_edge_days_are_conditioned_on():
    times, span = inner(on(np.array([0, 0, 1, 200, 363, 364])))
    assert (times.tolist(), span) == ([0.5, 199.5, 362.5], 363)
    first = from_first_use(on(SPRING))
    assert (first.days.size, first.event_days.tolist()) == (262, [0, 24, 27])
    assert inner(first)[0].tolist() == [23.5, 26.5]
    assert from_first_use(on(np.array([], dtype=int))).days.size == 365


def test_no_window_starts_to_rise_because_it_starts_with_an_event():
    rng = np.random.default_rng(7)
    p = [trend(from_first_use(on(rng.integers(0, 200, 12), 200))).p_value for _ in range(1500)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.02)


def test_unwatched_days_are_no_quiet_days():
    blind = tuple(range(100, 200))
    with_hole, closed = on(np.array([20, 60, 90, 210, 300]), 365, blind), on(np.array([20, 60, 90, 110, 200]), 265)
    assert trend(with_hole).row() == trend(closed).row()
    assert crow_amsaa(with_hole).row() == crow_amsaa(closed).row()
    assert block_counts(with_hole).tolist() == block_counts(closed).tolist()


def test_time_backwards_turns_a_rise_into_a_fall():
    days = np.array([20, 90, 95, 160, 200, 260, 261, 300, 310, 340])
    forth, back = on(days), on(364 - days)
    counts = block_counts(forth)
    assert mann_kendall(counts, "").estimate == pytest.approx(-mann_kendall(counts[::-1], "").estimate)
    assert trend(forth).p_value + trend(back).p_value == pytest.approx(1)
    assert trend(forth).estimate * trend(back).estimate == pytest.approx(1, rel=1e-6)
    assert trend(forth).high * trend(back).low == pytest.approx(1, rel=1e-3)
    marked = np.array([0, 0, 1, 0, 1, 0, 1, 1, 0, 1.0])
    assert armitage(marked, 364.0 - days)[0] == pytest.approx(-armitage(marked, days.astype(float))[0])


def test_the_unit_of_time_does_not_matter():
    t = np.array([3.0, 20, 21, 55, 80, 81, 97])
    assert laplace(7 * t, 700) == pytest.approx(laplace(t, 100))
    assert crow(7 * t, 700)[0] == pytest.approx(crow(t, 100)[0])
    assert exponent(np.diff(7 * t))[0] == pytest.approx(exponent(np.diff(t))[0])


def test_missing_events_are_left_out():
    t = np.array([[3.0, 20, np.nan, 55], [3, 20, 40, 55]])
    assert laplace(t, 100)[0] == pytest.approx(laplace(np.array([3.0, 20, 55]), 100))
    assert exponent(np.array([24.0, np.nan, 3, 0, 26]))[0] == pytest.approx(exponent(np.array([24.0, 3, 26]))[0])
    marked, score = np.array([1, 0, 1.0, 0]), np.array([1, 2, np.nan, 5])
    kept = [0, 1, 3]
    assert np.array(armitage(marked, score)) == pytest.approx(
        np.array(armitage(marked[kept], score[kept])), nan_ok=True
    )


def test_autocorrelated_counts_widen_the_variance():
    wave = np.round(3 + 3 * np.sin(np.arange(60) / 4))
    s, variance, factor, _ = kendall(wave)
    assert factor > 1.5
    assert mann_kendall(wave, "counts").estimate == pytest.approx((s - np.sign(s)) / np.sqrt(variance * factor))
    rng = np.random.default_rng(8)
    alternating = np.arange(40) % 2 + rng.random(40) / 10
    assert mann_kendall(alternating, "counts").notes[0].endswith("variance x 1")  # never narrowed
    x = rng.random(25)
    pairs = 25 * 24 / 2
    assert kendall(x)[0] / pairs == pytest.approx(kendalltau(np.arange(25), x).statistic)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (trend(on(np.array([], dtype=int))), "0 where at least 1 are needed"),
        (crow_amsaa(on(np.array([7]))), "1 where at least 2 are needed"),
        (lewis_robinson(on(np.array([7, 9]))), "2 where at least 3 are needed"),
        (lewis_robinson(on(np.array([10, 20, 30]) + 0, 365, ())), ""),
        (mann_kendall(np.array([1.0, 2, 3]), "counts"), "3 where at least 4 are needed"),
        (mann_kendall(np.ones(9), "counts"), "all values are equal: nothing to compare"),
        (progress_curve(np.array([3, 9]), seed=1, draws=99), "1 where at least 2 are needed"),
    ],
)
def test_too_few_events_are_no_result(found, reason):
    assert found.reason == reason
    assert (found.p_value is None) == bool(reason)


def test_the_best_possible_outcome_gives_the_attainable_p():
    for n in (1, 4, 12):
        found = trend(on(np.full(n, 363)))
        assert found.p_value == pytest.approx(found.attainable_p, rel=0.15)
