"""Sign flips, the pooled ratio, robust regression and forecasts: reference cases, definitions, hand cases."""

from itertools import product

import numpy as np
import pytest
from reference_cases import differences, reference

from analysis_lib.answers import SIMULATED, answer_power, pooled_ratio
from analysis_lib.finding import Finding
from analysis_lib.hawkes import ahead
from analysis_lib.placebo import sign_flips
from analysis_lib.rates import rate_power
from analysis_lib.regression import count_family, moment_theta, robust_fit, wald
from analysis_lib.series import sum_before

PAIRS = np.array([[6, 2], [5, 3], [4, 1], [7, 4], [3, 2], [5, 0]])


# ---- sign flips ------------------------------------------------------------------------------------------------------


def test_the_reference_case_of_sign_flips():
    case = reference("events")["sh-signflip"]
    d = np.array(case["data"]["d"])
    less, greater = sign_flips(d)
    got = {
        "mean": d.mean(), "p_greater": greater, "p_less": less, "p_two": 2 * min(less, greater), "n_perm": 2**d.size,
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


@pytest.mark.parametrize("m", [0, 1, 2, 7, 10])
def test_sign_flips_are_those_of_all_flips(m):
    sets = np.random.default_rng(m).integers(-6, 7, (5, m))
    signs = np.array(list(product((1, -1), repeat=m)), dtype=int).reshape(2**m, m)
    less, greater = sign_flips(sets)
    for d, lower, upper in zip(sets, less, greater, strict=True):
        sums = signs @ d
        assert (lower, upper) == pytest.approx(((sums <= d.sum()).mean(), (sums >= d.sum()).mean()))


def test_turning_every_sign_exchanges_the_tails_and_zeros_change_nothing():
    d = np.array([3, -1, 4, 1, -5, 9])
    assert sign_flips(-d) == pytest.approx(sign_flips(d)[::-1])
    assert sign_flips(np.append(d, [0, 0])) == pytest.approx(sign_flips(d))


def test_no_p_is_below_what_the_flips_can_give():
    assert sign_flips(np.full(40, -3))[0] == pytest.approx(0.5**40, rel=1e-3)


# ---- the pooled ratio ------------------------------------------------------------------------------------------------


def test_the_pooled_ratio_is_that_of_conditional_poisson():
    from statsmodels.discrete.conditional_models import ConditionalPoisson

    after = np.tile([0.0, 1.0], len(PAIRS))[:, None]
    fit = ConditionalPoisson(PAIRS.ravel(), after, groups=np.repeat(np.arange(len(PAIRS)), 2)).fit(disp=0)
    assert pooled_ratio(PAIRS).estimate == pytest.approx(np.exp(fit.params[0]), rel=1e-5) == 12 / 30


def test_before_and_after_exchanged_invert_the_ratio_and_exchange_the_tails():
    found, turned = pooled_ratio(PAIRS, "less"), pooled_ratio(PAIRS[:, ::-1], "greater")
    assert turned.estimate == pytest.approx(1 / found.estimate)
    assert turned.p_value == pytest.approx(found.p_value) == 1 / 64
    assert (turned.low, turned.high) == pytest.approx((1 / found.high, 1 / found.low), rel=0.05)


def test_the_interval_takes_the_spread_between_responses():
    """The same sums, once alike in every response and once in opposite ways: only the second is uncertain."""
    alike, mixed = np.tile([20, 10], (6, 1)), np.array([[40, 0], [40, 0], [10, 30], [10, 30], [10, 0], [10, 0]])
    calm, wild = pooled_ratio(alike), pooled_ratio(mixed)
    assert calm.estimate == wild.estimate == 0.5
    poisson = 0.5 * np.exp(1.959964 * np.sqrt(1 / 120 + 1 / 60))
    assert calm.high == pytest.approx(poisson, rel=1e-5)
    assert wild.high > 2 * poisson


@pytest.mark.parametrize(
    ("pairs", "estimate", "attainable"),
    [([[4, 0], [3, 0]], 0.0, 0.25), ([[0, 2]], np.inf, 0.5), ([[0, 0], [0, 0]], None, 1.0), ([[5, 2]], 0.4, 0.5)],
)
def test_empty_sides_and_single_responses_are_no_accident(pairs, estimate, attainable):
    found = pooled_ratio(np.array(pairs))
    assert (found.estimate, found.attainable_p) == (estimate, attainable)
    assert found.p_value >= attainable


def test_power_needs_five_responses_and_grows_with_effect_and_counts():
    assert answer_power(np.full(4, 50.0), np.array([0.0]), 0.05, "less", 1) == [0.0]
    few, many = (answer_power(np.full(m, 6.0), np.array([1.0, 0.7, 0.4, 0.1]), 0.05, "less", 1) for m in (6, 15))
    assert (np.diff(few) >= 0).all()
    assert (many[1:] > few[1:]).all()
    assert many[0] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / SIMULATED)


def test_power_of_many_responses_nears_that_of_two_poisson_counts():
    flips = answer_power(np.full(30, 3.0), np.array([0.6]), 0.05, "less", 2)[0]
    assert flips == pytest.approx(rate_power(54, 90, 1, 1, 0.05, "less"), abs=0.06)


# ---- regression ------------------------------------------------------------------------------------------------------


def test_the_reference_case_of_an_interrupted_series():
    case = reference("regression")["sh-its"]
    y, t = np.array(case["data"]["y"]), np.arange(16)
    after = (t >= 8).astype(float)
    design = np.column_stack([np.ones(16), t, after, after * (t - 8)])
    coef, _ = robust_fit(y, design, count_family(np.inf), 0)
    got = {"coef": dict(zip(("(Intercept)", "t", "post", "tp"), coef, strict=True))}
    assert differences(got, case["expected"], case["tolerance"]) == []


@pytest.mark.parametrize(("key", "lags"), [("se_hc0", 0), ("se_newey_west", 3)])
def test_the_reference_case_of_robust_errors(key, lags):
    case = reference("regression")["sh-poisrob-warpbreaks"]
    names = ("woolB", "tM", "tH")
    y = np.array(case["data"]["y"])
    design = np.column_stack([np.ones(y.size), *(case["data"][name] for name in names)])
    coef, covariance = robust_fit(y, design, count_family(np.inf), lags)
    for name, values in (("coef", coef), (key, np.sqrt(np.diag(covariance)))):
        got = {name: dict(zip(("(Intercept)", *names), values, strict=True))}
        assert differences(got, case["expected"], case["tolerance"]) == []
    one_group = robust_fit(y, design, count_family(np.inf), lags, np.zeros(y.size, dtype=int))[1]
    assert one_group == pytest.approx(covariance)


def test_groups_count_as_independent():
    """Two copies of a series as two groups: the variance halves, which lags across their border would not give."""
    y = np.random.default_rng(3).poisson(2, 40)
    design = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    _, alone = robust_fit(y, design, count_family(np.inf), 5, np.zeros(40, dtype=int))
    twice = (np.tile(y, 2), np.tile(design, (2, 1)), count_family(np.inf), 5, np.repeat([0, 1], 40))
    assert robust_fit(*twice)[1] == pytest.approx(alone / 2)


def test_moment_theta_finds_the_planted_one_and_none_in_poisson_counts():
    rng, ones = np.random.default_rng(4), np.ones((4000, 1))
    assert moment_theta(rng.poisson(3 * rng.gamma(2, 0.5, 4000)), ones) == pytest.approx(2, rel=0.15)
    assert moment_theta(np.tile([2, 3, 4], 100), ones[:300]) == np.inf


def test_wald_gives_the_ratio_its_limits_and_tails():
    found = wald(Finding("x", "y"), np.log(2), 0.25**2, "greater")
    assert (found.estimate, found.low, found.high) == pytest.approx((2, 2 * np.exp(-0.49), 2 * np.exp(0.49)), rel=1e-4)
    assert found.p_value == pytest.approx(0.00278, abs=1e-5)
    assert found.p_two_sided == pytest.approx(2 * found.p_value)


def test_sum_before_is_a_loop_over_the_days_before():
    x = np.random.default_rng(5).integers(0, 9, 30)
    assert sum_before(x, 7).tolist() == [x[max(0, t - 7) : t].sum() for t in range(30)]


# ---- futures of a self-exciting process ------------------------------------------------------------------------------


@pytest.mark.parametrize("branching", [0.0, 0.5, 0.9])
def test_futures_have_the_mean_of_the_closed_form(branching):
    """E[N(0, T)] of an exponential kernel: excitement h decays at rate (1 - n) beta, and immigrants mu keep it up."""
    mu, beta, end, past = 0.4, 0.7, 10.0, np.array([-3.0, -0.5, -0.1])
    heat, slow = branching * beta * np.exp(beta * past).sum(), (1 - branching) * beta
    grown = (1 - np.exp(-slow * end)) / slow
    mean = mu * end + branching * beta * mu * (end - grown) / slow + heat * grown
    draws = ahead(past, mu, branching, beta, end, 40_000, np.random.default_rng(6))
    assert draws.mean() == pytest.approx(mean, abs=5 * draws.std() / 200)
    if not branching:
        assert draws.var() == pytest.approx(mu * end, rel=0.05)
