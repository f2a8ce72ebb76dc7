"""Gamma–Poisson comparison of two rates: posterior of the ratio, Bayes factors and what the prior does to them."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincinv, xlogy

from analysis_lib.finding import Finding

SHAPE = 0.5  # of the gamma priors (Jeffreys)
RATIO_PRIORS = {
    "full_pause": ("no event can happen in the window", None),
    "uniform_pause": ("ratio uniform on 0 to 1", lambda ratio: np.ones_like(ratio)),
    "exponential": ("ratio exponential with mean 1", lambda ratio: np.exp(-ratio)),
}
SPAN = {"uniform_pause": 1.0, "exponential": np.inf}


def ratio_posterior(x1: int, t1: float, x0: int, t0: float, shape: float = SHAPE) -> Finding:
    """Posterior of the rate ratio under independent Gamma(shape, 0) priors on the two rates.

    `estimate` is the median, `low`…`high` the 95 % equal-tailed interval; the note gives P(ratio < 1), 0.5 where the
    data say nothing. Misleads with no event outside: the prior then decides.

    >>> ratio_posterior(1, 12, 2, 41).notes
    ('P(ratio < 1) = 0.294',)
    """
    a1, a0 = x1 + shape, x0 + shape
    share = betaincinv(a1, a0, np.array([0.5, 0.025, 0.975]))
    middle, low, high = (float(q) for q in share / (1 - share) * t0 / t1)
    below = float(betainc(a1, a0, t1 / (t1 + t0)))
    method = f"Gamma–Poisson posterior, independent Gamma({shape:g}, 0) priors"
    return Finding("posterior_ratio", method, estimate=middle, low=low, high=high, n=x1 + x0, exposure=t1 + t0,
                   notes=(f"P(ratio < 1) = {below:.3g}",))  # fmt: skip


def bayes_factor(x1: int, t1: float, x0: int, t0: float, prior: str, prior_days: float = 0.0) -> float:
    """Bayes factor of a prior on the ratio over ratio = 1, the common rate having a Gamma(0.5, prior_days) prior.

    Given the baseline, the rate has a Gamma(x0 + 0.5, t0 + prior_days) law and the window's count is negative binomial.
    Kass and Raftery 1995, doi 10.1080/01621459.1995.10476572. Misleads when read without its prior.

    >>> round(bayes_factor(0, 10, 3, 43, "full_pause"), 2), round(bayes_factor(1, 12, 2, 41, "uniform_pause", 10), 2)
    (2.08, 0.64)
    """
    from scipy.integrate import quad

    a, b = x0 + SHAPE, t0 + prior_days

    def relative(ratio: np.ndarray | float) -> np.ndarray | float:
        # negative binomial probability of the window's count at `ratio` times the baseline's gamma rate, over that at 1
        return np.exp(xlogy(x1, ratio) - (a + x1) * np.log((b + ratio * t1) / (b + t1)))

    _, density = RATIO_PRIORS[prior]
    if density is None:
        return float(relative(0.0))
    return float(quad(lambda r: relative(r) * density(r), 0, SPAN[prior], epsabs=0, limit=200)[0])


def bayes_factors(x1: int, t1: float, x0: int, t0: float) -> list[Finding]:
    """Every prior on the ratio, with a vague and a ten-day prior on the rate: the sensitivity is the answer."""
    if x0 == 0:
        reason = "no event outside the window: the prior would decide"
        return [
            Finding(f"bayes_factor_{prior}", "Bayes factor against no change", n=x1, reason=reason)
            for prior in RATIO_PRIORS
        ]
    found = []
    for prior, (words, _) in RATIO_PRIORS.items():
        vague, firm = (bayes_factor(x1, t1, x0, t0, prior, days) for days in (0.0, 10.0))
        found.append(Finding(f"bayes_factor_{prior}", f"Bayes factor, {words}, against no change", estimate=vague,
                             n=x1 + x0, exposure=t1 + t0,
                             notes=(f"{firm:.3g} with a Gamma(0.5, 10 days) prior on the rate",)))  # fmt: skip
    return found


def predictive(shape: float, rate: float, x: int, exposure: float, window: float) -> dict[str, float]:
    """Gamma–Poisson prediction: posterior mean rate, P(no event) and expected events in `window` days."""
    a, b = shape + x, rate + exposure
    return {"mean": a / b, "none": (b / (b + window)) ** a, "expected": a / b * window}
