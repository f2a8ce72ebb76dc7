"""Count regression: reference cases, the likelihood ratio by hand, what over-dispersion does."""

import numpy as np
import pytest
import statsmodels.api as sm
from reference_cases import differences, reference
from scipy import stats
from worlds import FRAME, WAR, YEAR, poisson_days, salvo_days, steady_days, without

from analysis_lib import Series, Window
from analysis_lib.regression import (
    THETAS,
    _beside,
    _profile,
    cameron_trivedi,
    dispersion,
    estimable,
    fit_nb,
    loglike,
    nb_window,
    theta_grid,
)
from analysis_lib.series import series_of

CASES = reference("regression")
DENSE = poisson_days(YEAR, 2.0, seed=8, ratio=0.3)


def watched(dates, frame: Window = FRAME) -> Series:
    return series_of(dates, np.ones(frame.days, dtype=bool), frame)


def strikes(*days: str) -> Series:
    return watched(np.array(days, dtype="datetime64[D]"))


THREE = strikes("2021-04-14", "2021-05-08", "2021-05-11")


# ---- reference cases -------------------------------------------------------------------------------------------------


def warpbreaks(case):
    data = case["data"]
    columns = [data[name] for name in ("woolB", "tM", "tH")]
    return np.array(data["y"]), np.column_stack([np.ones(len(data["y"])), *columns])


def test_negative_binomial_regression_of_warpbreaks():
    case = CASES["sh-nb-warpbreaks"]
    y, design = warpbreaks(case)
    fit = fit_nb(y, design)
    got = {
        "coef": dict(zip(case["expected"]["coef"], fit.coef, strict=True)), "theta": fit.theta,
        "alpha_nb2": 1 / fit.theta, "two_loglik": 2 * fit.llf,
        "lr_vs_poisson": 2 * (fit.llf - loglike(y, design, np.inf)[0]),
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []
    assert fit.se_theta == pytest.approx(case["expected"]["se_theta"], rel=0.05)  # observed, not expected information


def test_poisson_regression_of_warpbreaks():
    case = CASES["sh-poisrob-warpbreaks"]
    llf, coef = loglike(*warpbreaks(case), np.inf)
    got = {"coef": dict(zip(case["expected"]["coef"], coef, strict=True)), "loglik": llf}
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_a_fixed_theta_gives_the_likelihood_of_the_fit_at_that_theta():
    y, design = warpbreaks(CASES["sh-nb-warpbreaks"])
    fit = fit_nb(y, design)
    llf, coef = loglike(y, design, fit.theta)
    assert llf == pytest.approx(fit.llf, abs=1e-6)
    np.testing.assert_allclose(coef, fit.coef, rtol=1e-4)


def small_counts() -> Series:
    y = np.array(CASES["sh-dispersion"]["data"]["y"])
    return Series(
        np.datetime64("2021-01-01") + np.arange(y.size).astype("timedelta64[D]"), y, np.ones(y.size, dtype=bool)
    )


def test_dispersion_of_daily_counts():
    case, series = CASES["sh-dispersion"], small_counts()
    found = {f.quantity: f for f in dispersion(series)}
    index, trivedi = found["dispersion_index"], found["cameron_trivedi"]
    df = case["expected"]["df"]
    got = {
        "D": index.estimate * df, "fano": index.estimate, "p_upper": index.p_value, "ct_z_nb1": trivedi.estimate,
        "mean": series.counts.mean(),
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []
    assert trivedi.p_value == pytest.approx(stats.norm.sf(trivedi.estimate))
    assert {f.role for f in found.values()} == {"check"}


def test_ljung_box_of_the_same_counts():
    """The case has 4 lags, the check 7: the first four autocorrelations are the case's, the sum is written out."""
    case, y = reference("time_series")["sh-ljungbox"], small_counts().counts
    centred = y - y.mean()
    acf = [float((centred[k:] * centred[:-k]).sum() / (centred**2).sum()) for k in range(1, 8)]
    assert differences({"acf": acf[:4]}, case["expected"], case["tolerance"]) == []
    q = y.size * (y.size + 2) * sum(r**2 / (y.size - k) for k, r in enumerate(acf, 1))
    found = next(f for f in dispersion(small_counts()) if f.quantity == "ljung_box")
    assert found.estimate == pytest.approx(q)
    assert found.p_value == pytest.approx(stats.chi2.sf(q, 7))


# ---- the window's likelihood ratio by hand ---------------------------------------------------------------------------


def by_hand(series: Series, window: Window, theta: float, trend: bool) -> tuple[float, float]:
    """Ratio and signed root of twice the log likelihood gained by the window's coefficient, by statsmodels' GLM."""
    inside = window.mask(series.days).astype(float)
    columns = [np.ones(inside.size), np.arange(inside.size)] if trend else [np.ones(inside.size)]
    null = np.column_stack(columns)
    family = sm.families.Poisson() if np.isinf(theta) else sm.families.NegativeBinomial(alpha=1 / theta)
    small = sm.GLM(series.counts, null, family=family).fit()
    large = sm.GLM(series.counts, np.column_stack([null, inside]), family=family).fit()
    root = np.sign(large.params[-1]) * np.sqrt(2 * (large.llf - small.llf))
    return float(np.exp(large.params[-1])), float(root)


@pytest.mark.parametrize("trend", [True, False], ids=["trend", "flat"])
@pytest.mark.parametrize("alternative", ["less", "greater"])
def test_the_p_value_at_the_estimated_theta(trend, alternative):
    counts = np.random.default_rng(4).negative_binomial(1, 0.35, FRAME.days)
    series = watched(np.repeat(FRAME.calendar(), counts))
    inside = WAR.mask(series.days)
    assert estimable(series.counts)
    columns = [np.ones(FRAME.days), np.arange(FRAME.days) / (FRAME.days - 1) - 0.5]
    theta = fit_nb(series.counts, np.column_stack(columns if trend else columns[:1])).theta
    assert theta < 3  # far from a Poisson law, so that the theta matters
    ratio, root = by_hand(series, WAR, theta, trend)
    found = nb_window(series, WAR, alternative, trend=trend)
    assert inside.any()
    assert found.estimate == pytest.approx(ratio, rel=1e-3)
    assert found.p_value == pytest.approx(stats.norm.cdf(root if alternative == "less" else -root), rel=1e-3)
    assert found.p_two_sided == pytest.approx(2 * stats.norm.sf(abs(root)), rel=1e-3)


@pytest.mark.parametrize("trend", [True, False], ids=["trend", "flat"])
@pytest.mark.parametrize("alternative", ["less", "greater"])
def test_with_few_events_the_largest_p_over_the_thetas_is_given(trend, alternative):
    roots = [by_hand(THREE, WAR, theta, trend)[1] for theta in THETAS]
    tails = [stats.norm.cdf(root if alternative == "less" else -root) for root in roots]
    found = nb_window(THREE, WAR, alternative, trend=trend)
    assert not estimable(THREE.counts)
    assert found.p_value == pytest.approx(max(tails), rel=1e-3)
    assert "theta cannot be estimated" in found.notes[0]


def test_the_grid_is_the_likelihood_ratio_at_each_theta():
    found = theta_grid(watched(DENSE), WAR, "less")
    for result, theta in zip(found, THETAS, strict=True):
        ratio, root = by_hand(watched(DENSE), WAR, theta, trend=False)
        assert result.estimate == pytest.approx(ratio, rel=1e-6)
        assert result.p_value == pytest.approx(stats.norm.cdf(root), rel=1e-5)


def test_over_dispersion_makes_a_low_window_weaker_evidence():
    p = [f.p_value for f in theta_grid(watched(DENSE), WAR, "less")]
    assert p == sorted(p, reverse=True)


def test_an_empty_window_has_the_ratio_0_and_the_limit_of_the_likelihood():
    """Poisson, no trend: twice the gain is 2 n log(frame / baseline)."""
    series = watched(without(DENSE, WAR))
    found = theta_grid(series, WAR, "less", (np.inf,))[0]
    root = -np.sqrt(2 * series.total[0] * np.log(53 / 41))
    assert found.estimate == 0
    assert found.p_value == pytest.approx(stats.norm.cdf(root), rel=1e-6)
    assert nb_window(series, WAR).low == 0
    assert 0 < nb_window(series, WAR).high < 0.5


@pytest.mark.parametrize("theta", [0.5, 2.0])
def test_an_empty_window_at_a_finite_theta(theta):
    """The window's days leave the fit: the rest has its own mean, under the same theta."""
    series = watched(without(DENSE, WAR))
    rest = series.counts[~WAR.mask(series.days)]

    def best(y):
        return stats.nbinom.logpmf(y, theta, theta / (theta + y.mean())).sum()

    (found,) = theta_grid(series, WAR, "less", (theta,))
    assert found.p_value == pytest.approx(stats.norm.cdf(-np.sqrt(2 * (best(rest) - best(series.counts)))), rel=1e-6)


def test_a_baseline_without_events_has_an_infinite_ratio():
    found = nb_window(watched(steady_days(WAR, 4)), WAR, "less")
    assert (found.estimate, found.high) == (np.inf, np.inf)
    assert found.low > 1
    assert found.p_value > 0.99


@pytest.mark.parametrize("theta", [0.2, 1.0, 2.0])
def test_a_mean_that_falls_to_zero_keeps_its_likelihood(theta):
    """Two attacks on the last of 90 days: a trend drives the early means to 0, where 0 log 0 is 0 and not nan."""
    y, day = np.array([0] * 89 + [2]), np.linspace(-0.5, 0.5, 90)
    llf, _ = loglike(y, np.column_stack([np.ones(90), day]), theta)
    best = stats.nbinom.logpmf(2, theta, theta / (theta + 2))  # two expected on that day, none on the others
    assert llf == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("theta", [1.0, np.inf])
def test_the_interval_is_where_the_profile_falls_by_the_quantile(theta, monkeypatch):
    """At each end twice the log likelihood is 3.84 below its maximum."""
    monkeypatch.setattr("analysis_lib.regression.estimable", lambda y: False)
    monkeypatch.setattr("analysis_lib.regression.THETAS", (theta,))
    series = watched(DENSE)
    found = nb_window(series, WAR, trend=False)
    inside, ones = WAR.mask(series.days), np.ones((FRAME.days, 1))
    best = loglike(series.counts, np.column_stack([ones, inside]), theta)[0]
    for end in (found.low, found.high):
        at = loglike(series.counts, ones, theta, offset=np.log(end) * inside)[0]
        assert 2 * (best - at) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-3)
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize("trend", [True, False], ids=["trend", "flat"])
def test_a_window_and_the_rest_of_the_frame_are_each_others_inverse(trend):
    """The first half against the second, and the second against the first."""
    series = watched(poisson_days(FRAME, 1.5, seed=3, window=Window(FRAME.start, FRAME.shift(-27).end), ratio=0.6))
    first = Window(FRAME.start, FRAME.shift(-27).end)
    second = Window(FRAME.shift(26).start, FRAME.end)
    assert first.days + second.days == FRAME.days
    here = nb_window(series, first, "less", trend=trend)
    there = nb_window(series, second, "greater", trend=trend)
    assert there.estimate == pytest.approx(1 / here.estimate, rel=1e-4)
    assert (there.low, there.high) == pytest.approx((1 / here.high, 1 / here.low), rel=1e-3)
    assert there.p_value == pytest.approx(here.p_value, rel=1e-4)


def test_a_trend_is_not_mistaken_for_a_pause():
    """Attacks that die out through the frame leave the window low for the whole frame's mean, not for its trend."""
    late = Window(FRAME.shift(35).start, FRAME.shift(46).start)
    falling = np.repeat(FRAME.calendar(), np.round(8 * np.exp(-np.arange(FRAME.days) / 25)).astype(int))
    flat, trend = (nb_window(watched(falling), late, "less", trend=t).p_value for t in (False, True))
    assert flat < 0.01
    assert trend > 0.05


@pytest.mark.parametrize(
    ("series", "window", "reason"),
    [
        (strikes(), WAR, "no event in the frame"),
        (THREE, FRAME, "the window fills the frame or lies outside it"),
        (THREE, WAR.shift(200), "the window fills the frame or lies outside it"),
    ],
)
def test_without_two_sides_or_events_there_is_a_reason_and_no_number(series, window, reason):
    found = nb_window(series, window)
    assert (found.estimate, found.p_value, found.reason) == (None, None, reason)
    assert {f.p_value for f in theta_grid(series, window, "less")} == {None}


# ---- can theta be estimated, is a Poisson law tenable ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "enough"),
    [([6] * 5, True), ([6, 6, 6, 6, 5], False), ([10, 10, 5, 5], False), ([30, 0, 0, 0, 0], False), ([1] * 30, True)],
)
def test_theta_needs_thirty_events_on_five_days(counts, enough):
    assert bool(estimable(np.array(counts + [0] * 20))) is enough


def test_near_poisson_counts_give_no_theta():
    assert fit_nb(np.array([2, 2, 3, 2, 2, 3] * 8), np.ones((48, 1))) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_salvos_are_told_from_a_poisson_law(seed):
    chance = {f.quantity: f for f in dispersion(watched(poisson_days(FRAME, 0.8, seed)))}
    salvos = {f.quantity: f for f in dispersion(watched(salvo_days(FRAME, 6, 6, seed)))}
    for name in ("dispersion_index", "cameron_trivedi"):
        assert salvos[name].p_value < 0.01 < chance[name].p_value
    assert salvos["dispersion_index"].estimate > 2 > chance["dispersion_index"].estimate


def test_fano_factors_are_of_blocks_of_days():
    series = small_counts()
    found = {f.quantity: f.estimate for f in dispersion(series)}
    blocks = series.counts[:18].reshape(6, 3).sum(axis=1)
    assert found["fano_3d"] == pytest.approx(blocks.var(ddof=1) / blocks.mean())


def test_the_same_count_every_day_is_no_over_dispersion_and_no_warning():
    found = {f.quantity: f for f in dispersion(watched(steady_days(FRAME, 2)))}
    assert found["dispersion_index"].estimate == 0
    assert found["cameron_trivedi"].p_value == 1
    assert cameron_trivedi(np.ones(20)) == -np.inf
    assert found["ljung_box"].reason == "every day has the same count"


def test_fewer_than_two_events_are_not_judged():
    (found,) = dispersion(strikes("2021-05-01"))
    assert found.estimate is None


def test_the_limit_of_an_empty_window_is_found_however_far_it_lies():
    """Nearly three thousand events outside and none inside: the limit of the Poisson likelihood is below e^-6."""
    y, inside = np.where(WAR.mask(FRAME.calendar()), 0, 70), WAR.mask(FRAME.calendar())
    low, high = _profile(y, inside, np.ones((y.size, 1)), np.inf, *_beside(y, inside, np.ones((y.size, 1)), np.inf))
    assert low == 0
    # twice the fall of the log likelihood at a ratio r is 2 x0 log(1 + r t1 / t0)
    assert 2 * 70 * 41 * np.log1p(high * 12 / 41) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-3)
    assert high < np.exp(-6)
