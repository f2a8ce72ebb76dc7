"""Self- and cross-exciting point processes with an exponential kernel: likelihood, fit, simulation, tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis_lib.finding import Finding

FEWEST = 10  # events; fewer say nothing of a decay
DECAYS = np.geomspace(1 / 30, 4.0, 12)  # per day: excitement that lasts from a month down to six hours


def excitement(at: np.ndarray, source: np.ndarray, beta: float) -> np.ndarray:
    """Sum of exp(-beta (t - s)) over the events s < t of `source` (sorted), at each t of `at`: shape of `at`.

    The usual recursion over events, run as a cumulative sum of logarithms, so that no long history overflows.
    """
    before = np.searchsorted(source, at, side="left")
    some, total = before > 0, np.zeros(np.shape(at))
    if some.any():
        grown = np.logaddexp.accumulate(beta * np.asarray(source, dtype=float))
        total[some] = np.exp(grown[before[some] - 1] - beta * at[some])
    return total


def parts(at: np.ndarray, sources: Sequence[np.ndarray], beta: float) -> tuple[np.ndarray, np.ndarray]:
    """What the parameters multiply in the intensity and in its integral at the times `at`: each (times, 1 + sources).

    With theta = (mu, alpha for each source) the intensity is `parts[0] @ theta`, the compensator `parts[1] @ theta`.
    """
    waves = [excitement(at, source, beta) for source in sources]
    past = [(np.searchsorted(source, at) - wave) / beta for source, wave in zip(sources, waves, strict=True)]
    return np.column_stack([np.ones(at.size), *waves]), np.column_stack([at, *past])


def log_likelihood(
    target: np.ndarray, sources: Sequence[np.ndarray], end: float, theta: np.ndarray, beta: float
) -> float:
    """Sum of log intensity at the events of `target` less the compensator at `end`, kernel alpha exp(-beta s).

    One component of a multivariate process; the whole is the sum over its components. Hawkes 1971,
    doi 10.1093/biomet/58.1.83; Ogata 1988, doi 10.1080/01621459.1988.10478560.

    >>> t = np.array([1, 1.5, 4, 4.2, 8])
    >>> round(log_likelihood(t, [t], 10, np.array([0.25, 0.5]), 1.0), 4)
    -9.7012
    """
    rate, total = parts(target, sources, beta)[0] @ theta, parts(np.array([end]), sources, beta)[1][0] @ theta
    return float(np.log(rate).sum() - total)


def fit(target: np.ndarray, sources: Sequence[np.ndarray], end: float, beta: float) -> tuple[np.ndarray, float]:
    """Maximum likelihood theta >= 0 at a fixed decay, and its log likelihood: a concave problem (SLSQP, scipy)."""
    from scipy.optimize import minimize

    rate, total = parts(target, sources, beta)[0], parts(np.array([end]), sources, beta)[1][0]
    rate, size = rate / total, total.size  # in units of expected events, which sum to their number at the maximum

    def loss(share: np.ndarray) -> tuple[float, np.ndarray]:
        at = rate @ share
        return share.sum() - np.log(at).sum(), 1 - (1 / at) @ rate

    bounds = [(1e-9, None)] + [(0.0, None)] * (size - 1)
    start = np.full(size, target.size / size)
    # not L-BFGS-B: that of scipy calls threaded LAPACK, which crawls where cores are shared
    best = minimize(loss, start, jac=True, method="SLSQP", bounds=bounds, options={"ftol": 1e-9})
    return best.x / total, -float(best.fun)


def simulate(mu: np.ndarray, alpha: np.ndarray, beta: float, end: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Event times of each component on (0, end), by generations: immigrants, their children, and so on.

    `alpha[i, j]` is the effect of component j on i; the branching matrix alpha / beta must have all roots below 1.
    """
    times = young = [rng.uniform(0, end, rng.poisson(rate * end)) for rate in mu]
    while sum(t.size for t in young):
        born = []
        for row in alpha:
            litters = [np.repeat(t, rng.poisson(a / beta, t.size)) for a, t in zip(row, young, strict=True)]
            parents = np.concatenate(litters)
            children = parents + rng.exponential(1 / beta, parents.size)
            born.append(children[children < end])
        young = born
        times = [np.concatenate(pair) for pair in zip(times, young, strict=True)]
    return [np.sort(t) for t in times]


def ahead(
    past: np.ndarray, mu: float, branching: float, beta: float, end: float, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Number of events on (0, end) in each of `draws` futures of one series, given its events `past` (<= 0): (draws,).

    `branching` = alpha / beta, the events that each one brings.
    """
    soon = 1 - np.exp(-beta * end)  # share of a past event's remaining children that come before `end`
    fresh, kids = (rng.poisson(mean, draws) for mean in (mu * end, branching * np.exp(beta * past).sum() * soon))
    run = np.concatenate([np.repeat(np.arange(draws), size) for size in (fresh, kids)])
    first = -np.log1p(-soon * rng.random(kids.sum())) / beta
    time, total = np.concatenate([rng.uniform(0, end, fresh.sum()), first]), np.zeros(draws, dtype=int)
    while time.size:
        total += np.bincount(run, minlength=draws)
        litter = rng.poisson(branching, time.size)
        run, time = np.repeat(run, litter), np.repeat(time, litter) + rng.exponential(1 / beta, litter.sum())
        run, time = run[time < end], time[time < end]
    return total


def cross_excitation(target: np.ndarray, source: np.ndarray, end: float, *, seed: int, draws: int = 199) -> Finding:
    """Does each event of `source` bring further events of `target`? Likelihood ratio, parametric bootstrap.

    Times in days on (0, end), sorted. H0: the target excites only itself. The decay is the best of `DECAYS` without
    the cross term, and is held; `draws` histories simulated under H0 are fitted again, add-one p. The estimate is the
    number of target events that one source event brings. The note holds the Kolmogorov–Smirnov test of the rescaled
    waiting times, which are exponential if the model fits (Ogata 1988). Misleads where a common cause moves both and
    where the order within a day is not known: the caller draws times within a day. Effects below 0 cannot be shown.
    """
    from scipy.stats import kstest

    found = Finding("cross_excitation", "bivariate Hawkes process, likelihood ratio by parametric bootstrap",
                    null_value=0.0, alternative="greater", n=target.size, exposure=end)  # fmt: skip
    if target.size < FEWEST or not source.size:
        reason = f"fewer than {FEWEST} events" if source.size else "the other series has no event"
        return replace(found, reason=reason)
    alone = [fit(target, [target], end, beta) for beta in DECAYS]
    best = int(np.argmax([ll for _, ll in alone]))
    beta, (mu, alpha) = float(DECAYS[best]), alone[best][0]
    theta, ll = fit(target, [target, source], end, beta)
    ratio, rng, above = 2 * (ll - alone[best][1]), np.random.default_rng(seed), 0
    for _ in range(draws):
        [t] = simulate(np.array([mu]), np.array([[min(alpha, 0.95 * beta)]]), beta, end, rng)
        above += bool(t.size) and 2 * (fit(t, [t, source], end, beta)[1] - fit(t, [t], end, beta)[1]) >= ratio - 1e-6
    waits = np.diff(parts(target, [target, source], beta)[1] @ theta, prepend=0.0)
    note = f"each event brings {theta[1] / beta:.3g} of its own series, memory {1 / beta:.3g} days"
    fits = f"rescaled waiting times: Kolmogorov–Smirnov p = {kstest(waits, 'expon').pvalue:.3g}"
    return replace(found, estimate=float((theta[2] / beta).round(9)), p_value=(1 + above) / (1 + draws), seed=seed,
                   draws=draws, notes=(note, fits))  # fmt: skip
