"""Exact comparison of two event rates: test, interval, smallest attainable p, power."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import bdtr, bdtrc, betaincinv, gammaincinv, gammaln, pdtr, xlogy

from analysis_lib.finding import Alternative, Finding

METHOD = "exact conditional test of two Poisson rates (Przyborowski and Wilenski 1940)"


def poisson_rate(x: int, exposure: float, level: float = 0.95) -> Finding:
    """Events per day with the exact interval of Garwood (1936, doi 10.1093/biomet/28.3-4.437).

    `x` events in `exposure` days. Misleads where events cluster: the interval assumes a Poisson count.

    >>> poisson_rate(3, 57).sentence()
    'rate 0.0526 (95 % interval 0.0109 to 0.154), n = 3'
    """
    tail = (1 - level) / 2
    low = gammaincinv(x, tail) / exposure if x else 0.0
    high = gammaincinv(x + 1, 1 - tail) / exposure
    return Finding("rate", "Poisson rate, Garwood interval", estimate=x / exposure, low=low, high=high, level=level,
                   n=x, exposure=exposure)  # fmt: skip


def conditional_p(x1, n, share):
    """One-sided exact p-values of x1 ~ Binomial(n, share): (less, greater). Arrays broadcast; n = 0 gives 1, 1."""
    x1, n, share = np.broadcast_arrays(*map(np.asarray, (x1, n, share)))
    # bdtr wants k <= n, and bdtrc gives nan for k < 0; each tail is summed itself, since 1 - p loses small ones
    trials = np.maximum(n, 1)
    less = np.where(x1 >= n, 1.0, bdtr(np.minimum(x1, trials), trials, share))
    greater = np.where(x1 > 0, bdtrc(np.maximum(x1 - 1, 0), trials, share), 1.0)
    return less, greater


def mid_p(x1: int, n: int, share: float) -> tuple[float, float]:
    """One-sided mid-p values (less, greater): half the probability of the outcome itself is left out (Lancaster)."""
    less, greater = (float(p) for p in conditional_p(x1, n, share))
    point = less + greater - 1.0
    return less - point / 2, greater - point / 2


def ratio_limit(x1: int, t1: float, x0: int, t0: float, tail: float) -> tuple[float, float]:
    """Clopper–Pearson limits of the rate ratio, each with probability `tail` beyond it."""
    n = x1 + x0
    low = betaincinv(x1, n - x1 + 1, tail) if x1 else 0.0
    high = betaincinv(x1 + 1, n - x1, 1 - tail) if x1 < n else 1.0
    return low / (1 - low) * t0 / t1, high / (1 - high) * t0 / t1 if high < 1 else np.inf


def rate_ratio(
    x1: int, t1: float, x0: int, t0: float, alternative: Alternative = "less", level: float = 0.95
) -> Finding:
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
    less, greater = (float(p) for p in conditional_p(x1, n, share))
    two = min(1.0, 2 * min(less, greater))
    low, high = ratio_limit(x1, t1, x0, t0, (1 - level) / 2)
    limit_low, limit_high = ratio_limit(x1, t1, x0, t0, 0.05)
    estimate = (x1 / t1) / (x0 / t0) if x0 else (np.inf if x1 else None)
    attainable = {"less": (1 - share) ** n, "greater": share**n}
    reason = "no event in the frame" if not n else "" if x0 else "no event outside: no finite ratio"
    attainable["two-sided"] = min(1.0, 2 * min(attainable.values()))
    return Finding(
        "rate_ratio", METHOD, estimate=estimate, low=low, high=high, level=level,
        p_value={"less": less, "greater": greater, "two-sided": two}[alternative], p_two_sided=two,
        attainable_p=attainable[alternative], alternative=alternative, limit_low=limit_low, limit_high=limit_high,
        n=n, exposure=t1 + t0, reason=reason,
        notes=(f"{x1} in {t1:g} days inside, {x0} in {t0:g} days outside",),
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
    k1, w1 = _poisson_grid(mean1)
    k0, w0 = _poisson_grid(mean0)
    n = k1[:, None] + k0[None, :]
    less, greater = conditional_p(k1[:, None], n, t1 / (t1 + t0))
    p = {"less": less, "greater": greater, "two-sided": np.minimum(1, 2 * np.minimum(less, greater))}[alternative]
    return float(np.clip(w1 @ ((p <= alpha) & (n > 0)) @ w0, 0, 1))


def detectable(
    x0: float, t1: float, t0: float, alpha: float, alternative: Alternative, power: float = 0.8
) -> float | None:
    """The ratio nearest to 1 that the test finds with the wanted power, to three digits; None where none is found."""

    def found(ratio: float) -> bool:
        return rate_power(ratio * x0 / t0 * t1, x0, t1, t0, alpha, alternative) >= power

    if alternative == "two-sided" or x0 == 0:
        return None
    good, bad = (0.0, 1.0) if alternative == "less" else (1000.0, 1.0)
    if not found(good):
        return None
    while abs(good - bad) > 1e-3 * max(good, 0.1):
        middle = (good + bad) / 2 if alternative == "less" else float(np.sqrt(good * bad))
        good, bad = (middle, bad) if found(middle) else (good, middle)
    return good


def _poisson_grid(mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their Poisson weights, wide enough that what is left out is below 1e-12."""
    if mean <= 0:
        return np.zeros(1, dtype=int), np.ones(1)
    half = 8 * np.sqrt(mean) + 12
    k = np.arange(max(0, int(mean - half)), int(mean + half) + 1)
    return k, np.exp(xlogy(k, mean) - mean - gammaln(k + 1))


def none_expected(expected: float) -> float:
    """Probability of no event where `expected` are expected, H0: a Poisson count.

    >>> round(none_expected(11 * 3 / 57), 2)
    0.56
    """
    return float(pdtr(0, expected))
