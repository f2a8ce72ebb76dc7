"""Two event rates compared: exact test, interval, smallest attainable p, power; posterior and Bayes factors."""

from dataclasses import replace

import numpy as np
from scipy.special import bdtr, bdtrc, gammaincinv, gammaln, xlogy

from analysis_lib.finding import Alternative, Finding
from analysis_lib.shares import both_tails, one_of

METHOD = "exact conditional test of two Poisson rates (Przyborowski and Wilenski 1940)"
SHAPE = 0.5  # of the gamma priors on a rate (Jeffreys)
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
    from scipy.stats import betaprime

    if t1 <= 0 or t0 <= 0:
        raise ValueError(f"exposure must be positive on both sides: got {t1} and {t0} days")
    n, share, tails = x1 + x0, t1 / (t1 + t0), [0.025, 0.05]
    low, limit_low = betaprime.ppf(tails, x1, x0 + 1, scale=t0 / t1).tolist() if x1 else (0.0, 0.0)
    high, limit_high = betaprime.isf(tails, x1 + 1, x0, scale=t0 / t1).tolist() if x0 else (np.inf, np.inf)
    return Finding(
        "rate_ratio", METHOD, estimate=(x1 / t1) / (x0 / t0) if x0 else np.inf if x1 else None, low=low, high=high,
        limit_low=limit_low, limit_high=limit_high, **both_tails(*conditional_p(x1, n, share), alternative), n=n,
        attainable_p=float(one_of((1 - share) ** n, share**n, alternative)), exposure=t1 + t0,
        notes=(f"{x1} in {t1:g} days inside, {x0} in {t0:g} days outside",),
        reason="" if x0 else "no event outside: no finite ratio" if x1 else "no event in the frame",
    )  # fmt: skip


def with_power(finding: Finding, x0: int, t1: float, t0: float, claimed: float | None, alpha: float) -> Finding:
    """The finding with its power at the claimed ratio and the smallest ratio found with 80 % power."""
    power = None if claimed is None else rate_power(claimed * x0 / t0 * t1, x0, t1, t0, alpha, finding.alternative)
    return replace(finding, power=power, mde=detectable(x0, t1, t0, alpha, finding.alternative))


def rate_power(
    mean1: float, mean0: float, t1: float, t0: float, alpha: float = 0.05, alternative: Alternative = "less"
) -> float:
    """Probability that the exact conditional test gives p <= alpha, by enumeration of both counts.

    `mean1`, `mean0`: Poisson means inside and outside. No event at all is no rejection.

    >>> f"{rate_power(0, 3 * 46 / 57, 11, 46):.0e}"  # three strikes in 57 days cannot show an 11-day pause
    '3e-07'
    """
    (k1, w1), (k0, w0) = map(_poisson_grid, (mean1, mean0))
    n = k1[:, None] + k0
    p = one_of(*conditional_p(k1[:, None], n, t1 / (t1 + t0)), alternative)
    return float(np.clip(w1 @ ((p <= alpha) & (n > 0)) @ w0, 0, 1))


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


def ratio_posterior(x1: int, t1: float, x0: int, t0: float) -> Finding:
    """Posterior of the rate ratio under independent Gamma(0.5, 0) priors on the two rates.

    `estimate` is the median, `low`…`high` the 95 % equal-tailed interval; the note gives P(ratio < 1), 0.5 where the
    data say nothing. Misleads with no event outside: the prior then decides.

    >>> ratio_posterior(1, 12, 2, 41).notes
    ('P(ratio < 1) = 0.294',)
    """
    from scipy.stats import betaprime

    law = betaprime(x1 + SHAPE, x0 + SHAPE, scale=t0 / t1)
    low, middle, high = law.ppf([0.025, 0.5, 0.975]).tolist()
    method = f"Gamma–Poisson posterior, independent Gamma({SHAPE:g}, 0) priors"
    return Finding("posterior_ratio", method, estimate=middle, low=low, high=high, n=x1 + x0, exposure=t1 + t0,
                   notes=(f"P(ratio < 1) = {law.cdf(1):.3g}",))  # fmt: skip


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
