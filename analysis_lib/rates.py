"""Two event rates compared: exact test, interval, smallest attainable p, power; posterior and Bayes factors."""

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.special import bdtr, bdtrc, betainccinv, betaincinv, gammaincinv, gammaln, pdtr, xlogy

from analysis_lib.finding import Alternative, Finding, number
from analysis_lib.shares import both_tails, one_of

METHOD = "exact conditional test of two Poisson rates (Przyborowski and Wilenski 1940)"
SHAPE, OTHER_SHAPES = 0.5, (0.1, 1.0, 2.0)  # of the gamma priors on a rate: Jeffreys', then for its sensitivity
RATIO_PRIORS = {  # in words, density, largest ratio
    "full_pause": ("no event can happen in the window", None, 0.0),
    "uniform_pause": ("ratio uniform on 0 to 1", lambda ratio: 1.0, 1.0),
    "exponential": ("ratio exponential with mean 1", lambda ratio: np.exp(-ratio), np.inf),
}


def poisson_rate(x: int, exposure: float) -> Finding:
    """Events per day with the exact interval of Garwood (1936, doi 10.1093/biomet/28.3-4.437).

    `x` events in `exposure` days. Misleads where events cluster: the interval assumes a Poisson count.

    >>> poisson_rate(3, 57).sentence()
    'rate 0.0526 (95 % interval 0.0109 to 0.154), n = 3'
    """
    low, high = gammaincinv(x, 0.025) if x else 0.0, gammaincinv(x + 1, 0.975)
    return Finding("rate", "Poisson rate, Garwood interval", estimate=x / exposure, low=low / exposure,
                   high=high / exposure, n=x, exposure=exposure)  # fmt: skip


def conditional_p(x1, n, share):
    """One-sided exact p-values of x1 ~ Binomial(n, share): (less, greater). Arrays broadcast; n = 0 gives 1, 1."""
    # bdtr wants k <= n, and bdtrc gives nan for k < 0; each tail is summed itself, since 1 - p loses small ones
    greater = np.where(np.greater(x1, 0), bdtrc(np.maximum(x1, 1) - 1, n, share), 1.0)
    return bdtr(np.minimum(x1, n), n, share), greater


def mid_p(x1: int, n: int, share: float) -> tuple[float, float]:
    """One-sided mid-p values (less, greater): half the probability of the outcome itself is left out (Lancaster).

    >>> f"{mid_p(60, 100, 0.1)[1]:.3g}"  # each tail is a mean of two tails: a difference from 1 would lose it
    '1.18e-34'
    """
    less, greater = np.nan_to_num(conditional_p(np.arange(x1 - 1, x1 + 2), n, share))  # scipy: nan for fewer than none
    return float(less[:2].mean()), float(greater[1:].mean())


def rate_ratio(x1: int, t1: float, x0: int, t0: float, alternative: Alternative = "less") -> Finding:
    """Rate inside a window divided by the rate outside it, by the exact conditional test.

    `x1` events in `t1` observed days inside, `x0` in `t0` outside. H0: the two rates are equal; given n = x1 + x0 the
    count inside is Binomial(n, t1 / (t1 + t0)). `p_two_sided` is twice the smaller tail, which fits the
    Clopper–Pearson interval; `attainable_p` is the smallest p that any split of these n events could give.
    Przyborowski and Wilenski 1940, doi 10.1093/biomet/31.3-4.313; Clopper and Pearson 1934,
    doi 10.1093/biomet/26.4.404. Misleads when the window was chosen after the gap was seen, when a frame edge is an
    event, and when events cluster: then the p-value is too small. Raises ValueError for an exposure that is not
    positive.

    >>> rate_ratio(1, 12, 2, 41).sentence()
    'rate ratio 1.71 (95 % interval 0.029 to 32.8), p = 0.869, n = 3'
    """
    if t1 <= 0 or t0 <= 0:
        raise ValueError(f"exposure must be positive on both sides: got {t1} and {t0} days")
    n, share = x1 + x0, t1 / (t1 + t0)
    (low, high), (limit_low, limit_high) = (ratio_limits(x1, t1, x0, t0, tail) for tail in (0.025, 0.05))
    return Finding(
        "rate_ratio", METHOD, estimate=(x1 / t1) / (x0 / t0) if x0 else np.inf if x1 else None, low=low, high=high,
        limit_low=limit_low, limit_high=limit_high, **both_tails(*conditional_p(x1, n, share), alternative), n=n,
        attainable_p=float(one_of((1 - share) ** n, share**n, alternative)), exposure=t1 + t0,
        notes=(f"{x1} in {t1:g} days inside, {x0} in {t0:g} days outside",),
        reason="" if x0 else "no event outside: no finite ratio" if x1 else "no event in the frame",
    )  # fmt: skip


def ratio_limits(x1: int, t1: float, x0: int, t0: float, tail: float) -> tuple[float, float]:
    """The ratios at which the lower and the upper tail of the exact test are `tail`: Clopper and Pearson's limits.

    >>> [round(limit, 3) for limit in ratio_limits(1, 12, 2, 41, 0.025)]
    [0.029, 32.815]
    """

    def lowest(x: int, t: float, y: int, s: float) -> float:  # betainccinv is one minus the quantile of the share
        return float(betaincinv(x, y + 1, tail) / betainccinv(y + 1, x, tail) * s / t) if x else 0.0

    high = lowest(x0, t0, x1, t1)
    return lowest(x1, t1, x0, t0), 1 / high if high else np.inf


def with_power(finding: Finding, x0: int, t1: float, t0: float, claimed: float | None, alpha: float) -> Finding:
    """The finding with its power at the claimed ratio and the smallest ratio found with 80 % power."""
    power = None if claimed is None else rate_power(claimed * x0 / t0 * t1, x0, t1, t0, alpha, finding.alternative)
    return replace(finding, power=power, mde=detectable(x0, t1, t0, alpha, finding.alternative))


def tipping_point(x1: int, t1: float, x0: int, t0: float, alpha: float, side: Literal["less", "greater"]) -> Finding:
    """How completely the window is seen, relative to the baseline, where the primary p is just `alpha`.

    The ratio of the counts is the true one times that completeness, so this is the one-sided limit of the ratio, by
    inverting the exact test. H0: the true rates are equal. Misleads where completeness changed within the window or
    the baseline. Rosenbaum 2002, doi 10.1007/978-1-4757-3692-2, asks the same of hidden bias.

    >>> tipping_point(1, 6, 60, 39, 0.05, "less").notes
    ('the effect is undone where the window is seen less than 0.53 times as completely as the baseline',)
    """
    found = Finding("tipping_point", "completeness of the window relative to the baseline at which primary p is alpha",
                    alternative=side, n=x1 + x0, exposure=t1 + t0)  # fmt: skip
    point = ratio_limits(x1, t1, x0, t0, alpha)[side == "less"]
    if not 0 < point < np.inf:
        return replace(found, reason="no completeness of the window would bring p down to alpha")
    change = "undone" if (point < 1) == (side == "less") else "created"
    times = f"{'less' if point < 1 else 'more'} than {number(point)} times as completely as the baseline"
    return replace(found, estimate=point, notes=(f"the effect is {change} where the window is seen {times}",))


def rate_power(
    mean1: float, mean0: float, t1: float, t0: float, alpha: float = 0.05, alternative: Alternative = "less"
) -> float:
    """Probability that the exact conditional test gives p <= alpha, by enumeration of both counts.

    `mean1`, `mean0`: Poisson means inside and outside. No event at all is no rejection.

    >>> f"{rate_power(0, 3 * 46 / 57, 11, 46):.0e}"  # three strikes in 57 days cannot show an 11-day pause
    '3e-07'
    """
    if alternative == "two-sided":
        return sum(rate_power(mean1, mean0, t1, t0, alpha / 2, side) for side in ("less", "greater"))
    if alternative == "greater":  # many inside are few outside
        mean1, mean0, t1, t0 = mean0, mean1, t0, t1
    (k1, _), (k0, weight) = map(_poisson_grid, (mean1, mean0))
    low, high = np.full(k0.shape, -1), np.full(k0.shape, k1[-1] + 1)
    while (high - low > 1).any():  # the largest count inside that rejects, by bisection for each count outside
        middle = (low + high) // 2
        rejects = bdtr(middle, middle + k0, t1 / (t1 + t0)) <= alpha
        low, high = np.where(rejects, middle, low), np.where(rejects, high, middle)
    return float(np.clip(weight @ np.where(low < 0, 0.0, pdtr(np.maximum(low, 0), mean1)), 0, 1))


def _poisson_grid(mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their Poisson weights, wide enough that what is left out is below 1e-12."""
    reach = 8 * np.sqrt(mean) + 12
    k = np.arange(max(0, int(mean - reach)), int(mean + reach) + 1)
    return k, np.exp(xlogy(k, mean) - mean - gammaln(k + 1))


def detectable(x0: float, t1: float, t0: float, alpha: float, alternative: Alternative) -> float | None:
    """The ratio nearest to 1 that the test finds with 80 % power, to three digits; None where none is found."""

    def found(ratio: float) -> bool:
        return rate_power(ratio * x0 / t0 * t1, x0, t1, t0, alpha, alternative) >= 0.8

    good, bad = {"less": 0.0, "greater": 1000.0}.get(alternative), 1.0
    if good is None or x0 == 0 or not found(good):
        return None
    while abs(good - bad) > 1e-3 * max(good, 0.1):
        middle = (good + bad) / 2 if alternative == "less" else float(np.sqrt(good * bad))
        good, bad = (middle, bad) if found(middle) else (good, middle)
    return good


def none_expected(expected: float) -> float:
    """Probability of no event where `expected` are expected, H0: a Poisson count.

    >>> round(none_expected(11 * 3 / 57), 2)
    0.56
    """
    return float(np.exp(-expected))


# ---- Gamma–Poisson: what a prior makes of the same counts ------------------------------------------------------------


def ratio_posterior(x1: int, t1: float, x0: int, t0: float, shape: float = SHAPE) -> Finding:
    """Posterior of the rate ratio under independent Gamma(`shape`, 0) priors on the two rates.

    `estimate` is the median, `low`…`high` the 95 % equal-tailed interval; the note gives P(ratio < 1), 0.5 where the
    data say nothing. A shape other than 0.5 stands in the name. Misleads with no event outside: the prior then decides.

    >>> ratio_posterior(1, 12, 2, 41).notes
    ('P(ratio < 1) = 0.294',)
    """
    from scipy.stats import betaprime

    law = betaprime(x1 + shape, x0 + shape, scale=t0 / t1)
    low, middle, high = law.ppf([0.025, 0.5, 0.975]).tolist()
    name = "posterior_ratio" if shape == SHAPE else f"posterior_ratio_shape_{shape:g}"
    return Finding(name, f"Gamma–Poisson posterior, independent Gamma({shape:g}, 0) priors", estimate=middle, low=low,
                   high=high, n=x1 + x0, exposure=t1 + t0, notes=(f"P(ratio < 1) = {law.cdf(1):.3g}",))  # fmt: skip


def bayes_factor(x1: int, t1: float, x0: int, t0: float, prior: str, prior_days: float = 0.0) -> float:
    """Bayes factor of a prior on the ratio over ratio = 1, the common rate having a Gamma(0.5, prior_days) prior.

    Given the baseline, the rate has a Gamma(x0 + 0.5, t0 + prior_days) law and the window's count is negative binomial.
    Kass and Raftery 1995, doi 10.1080/01621459.1995.10476572. Misleads when read without its prior.

    >>> round(bayes_factor(0, 10, 3, 43, "full_pause"), 2), round(bayes_factor(1, 12, 2, 41, "uniform_pause", 10), 2)
    (2.08, 0.64)
    """
    from scipy.integrate import quad

    a, b, (_, density, top) = x0 + SHAPE, t0 + prior_days, RATIO_PRIORS[prior]

    def relative(ratio: float) -> float:
        # negative binomial probability of the window's count at `ratio` times the baseline's gamma rate, over that at 1
        return np.exp(xlogy(x1, ratio) - (a + x1) * np.log((b + ratio * t1) / (b + t1)))

    if density is None:
        return float(relative(0.0))
    return float(quad(lambda r: relative(r) * density(r), 0, top, epsabs=0, limit=200)[0])


def bayes_factors(x1: int, t1: float, x0: int, t0: float) -> list[Finding]:
    """Every prior on the ratio, with a vague and a ten-day prior on the rate: the sensitivity is the answer."""
    if not x0:
        cells = {"n": x1, "reason": "no event outside the window: the prior would decide"}
        return [Finding(f"bayes_factor_{prior}", "Bayes factor against no change", **cells) for prior in RATIO_PRIORS]
    found = []
    for prior, (words, *_) in RATIO_PRIORS.items():
        vague, firm = (bayes_factor(x1, t1, x0, t0, prior, days) for days in (0.0, 10.0))
        notes = (f"{firm:.3g} with a Gamma(0.5, 10 days) prior on the rate",)
        found.append(Finding(f"bayes_factor_{prior}", f"Bayes factor, {words}, against no change", estimate=vague,
                             n=x1 + x0, exposure=t1 + t0, notes=notes))  # fmt: skip
    return found


def predictive(shape: float, rate: float, x: int, exposure: float, window: float) -> dict[str, float]:
    """Gamma–Poisson prediction: posterior mean rate, P(no event) and expected events in `window` days."""
    a, b = shape + x, rate + exposure
    return {"mean": a / b, "none": (b / (b + window)) ** a, "expected": a / b * window}
