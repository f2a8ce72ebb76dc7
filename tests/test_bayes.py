"""Gamma–Poisson comparison: reference cases, the worked numbers, the integrals by hand."""

import numpy as np
import pytest
from reference_cases import differences, reference
from scipy import stats
from scipy.special import betainc

from analysis_lib.rates import RATIO_PRIORS, bayes_factor, bayes_factors, predictive, ratio_posterior

CASES = reference("bayes")


def below_1(found) -> float:
    return float(found.notes[0].removeprefix("P(ratio < 1) = "))


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith("sh-gammapoisson")])
def test_prediction(case):
    case = CASES[case]
    a, b, x, days, window = (case["data"][key] for key in ("a", "b", "x", "T", "w"))
    found = predictive(a, b, x, days, window)
    got = {"mean": found["mean"], "pred_p0": found["none"], "pred_mean": found["expected"]}
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_ratio_of_two_rates():
    case = CASES["sh-gp2-3_10_4_40"]
    data, expected = case["data"], case["expected"]
    found = ratio_posterior(data["x1"], data["t1"], data["x2"], data["t2"])
    got = {"ratio_median": found.estimate, "ratio_q025": found.low, "ratio_q975": found.high}
    assert differences(got, expected, case["tolerance"]) == []
    assert below_1(found) == pytest.approx(expected["p_ratio_lt_1"], rel=5e-3)  # printed with three digits


# ---- the worked numbers of the methods, by item ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "below", "median", "interval"),
    [
        pytest.param((1, 12, 2, 41), 0.29, 1.86, (0.14, 15.9), id="9 literal window"),
        pytest.param((0, 10, 3, 43), 0.76, 0.31, (0.0006, 5.0), id="9 Harir moved out"),
    ],
)
def test_9_posterior_of_the_ratio(counts, below, median, interval):
    found = ratio_posterior(*counts)
    assert below_1(found) == pytest.approx(below, abs=5e-3)
    assert found.estimate == pytest.approx(median, abs=5e-3)
    assert (found.low, found.high) == pytest.approx(interval, rel=0.08)  # printed with one digit


@pytest.mark.parametrize(
    ("counts", "prior", "prior_days", "factor"),
    [
        pytest.param((0, 10, 3, 43), "full_pause", 0, 2.08, id="the most that any pause can earn"),
        pytest.param((0, 10, 3, 43), "uniform_pause", 10, 1.36, id="some pause"),
        pytest.param((1, 12, 2, 41), "full_pause", 0, 0.0, id="literal window, full pause"),
        pytest.param((1, 12, 2, 41), "uniform_pause", 10, 0.64, id="literal window, some pause"),
        pytest.param((1, 12, 2, 41), "exponential", 10, 0.73, id="literal window, exponential"),
        pytest.param((0, 24, 3, 29), "full_pause", 0, 8.3, id="the text's own window"),
    ],
)
def test_9_bayes_factors(counts, prior, prior_days, factor):
    assert bayes_factor(*counts, prior, prior_days) == pytest.approx(factor, abs=0.05 if factor > 5 else 6e-3)


@pytest.mark.parametrize(("theta", "none"), [(0.5, 0.68), (0.2, 0.76)])
def test_10_over_dispersion_makes_an_empty_window_likelier(theta, none):
    """A negative binomial count of mean 0.579 is the prediction from Gamma(theta, theta / mean)."""
    assert predictive(theta, theta / 0.579, 0, 0, 1)["none"] == pytest.approx(none, abs=6e-3)


def test_11_over_dispersion_of_all_attacks():
    assert predictive(1, 1 / 2.73, 0, 0, 1)["none"] == pytest.approx(0.27, abs=5e-3)


# ---- the definition --------------------------------------------------------------------------------------------------


def test_the_posterior_is_the_ratio_of_two_gamma_draws():
    rng = np.random.default_rng(5)
    ratio = rng.gamma(1.5, 1 / 12, 200_000) / rng.gamma(2.5, 1 / 41, 200_000)
    found = ratio_posterior(1, 12, 2, 41)
    for value, quantile in ((found.low, 0.025), (found.estimate, 0.5), (found.high, 0.975)):
        assert (ratio < value).mean() == pytest.approx(quantile, abs=4 * np.sqrt(0.25 / 200_000))
    assert (ratio < 1).mean() == pytest.approx(below_1(found), abs=5e-3)
    assert below_1(found) == pytest.approx(betainc(1.5, 2.5, 12 / 53), abs=5e-4)


@pytest.mark.parametrize(("x1", "t1", "x0", "t0"), [(0, 10, 3, 43), (1, 12, 2, 41), (4, 20, 30, 60)])
@pytest.mark.parametrize("days", [0.0, 10.0])
def test_the_bayes_factor_is_a_ratio_of_averages_over_the_prior(x1, t1, x0, t0, days):
    """Window counts are negative binomial given the baseline; average over the prior on a grid."""
    size, rate = x0 + 0.5, t0 + days

    def marginal(ratio):
        return stats.nbinom.pmf(x1, size, rate / (rate + ratio * t1))

    uniform = (np.arange(20_000) + 0.5) / 20_000
    exponential = stats.expon.ppf(uniform)
    for prior, ratios in (("uniform_pause", uniform), ("exponential", exponential), ("full_pause", np.zeros(1))):
        slow = np.mean([marginal(r) for r in ratios[:: max(1, ratios.size // 4000)]]) / marginal(1.0)
        assert bayes_factor(x1, t1, x0, t0, prior, days) == pytest.approx(slow, rel=2e-3)


@pytest.mark.parametrize(("x1", "t1", "x0", "t0"), [(1, 12, 2, 41), (3, 10, 4, 40)])
def test_swapping_the_periods_inverts_the_posterior(x1, t1, x0, t0):
    here, there = ratio_posterior(x1, t1, x0, t0), ratio_posterior(x0, t0, x1, t1)
    assert there.estimate == pytest.approx(1 / here.estimate)
    assert (there.low, there.high) == pytest.approx((1 / here.high, 1 / here.low))
    assert below_1(here) + below_1(there) == pytest.approx(1, abs=2e-3)


def test_equal_data_say_nothing():
    assert below_1(ratio_posterior(0, 20, 0, 20)) == 0.5
    assert ratio_posterior(4, 20, 4, 20).estimate == pytest.approx(1)


def test_every_prior_is_shown_with_a_second_prior_on_the_rate():
    found = bayes_factors(1, 12, 2, 41)
    assert [f.quantity for f in found] == [f"bayes_factor_{prior}" for prior in RATIO_PRIORS]
    assert "0.641 with a Gamma(0.5, 10 days) prior" in found[1].notes[0]
    assert {f.role for f in found} == {"shown"}


def test_with_no_event_outside_the_prior_would_decide():
    for found in bayes_factors(3, 10, 0, 40):
        assert found.estimate is None
        assert found.reason == "no event outside the window: the prior would decide"


def test_many_events_neither_overflow_nor_take_the_sign():
    assert bayes_factor(90, 90, 43, 129, "exponential") > 1e3
    assert bayes_factor(30, 90, 129, 129, "uniform_pause") > 1e3


def test_other_shapes_of_the_prior_have_names_of_their_own_and_the_closed_form():
    for shape in (0.1, 1.0, 2.0):
        found = ratio_posterior(1, 12, 2, 41, shape)
        assert found.quantity == f"posterior_ratio_shape_{shape:g}"
        share = betainc(1 + shape, 2 + shape, 12 / 53)  # the ratio is below 1 where the beta share is below 12 / 53
        assert below_1(found) == pytest.approx(share, rel=5e-3)
