"""Self- and cross-exciting point processes with an exponential kernel: likelihood, fit, simulation, tests."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from analysis_lib.finding import Finding

FEWEST = 10  # events; fewer say nothing of a decay
DECAYS = np.geomspace(1 / 30, 4.0, 12)  # per day: excitement that lasts from a month down to six hours


def excitement(at: np.ndarray, source: np.ndarray, beta: float) -> np.ndarray:
    """Sum of exp(-beta (t - s)) over the events s < t of `source` (sorted), at each t of `at`: shape of `at`.

    The usual recursion over events, run as a cumulative sum of logarithms, so that no long history overflows.
    """
    grown = np.logaddexp.accumulate(np.append(-np.inf, beta * source))
    return np.exp(grown[np.searchsorted(source, at)] - beta * at)


def parts(at: np.ndarray, sources: list[np.ndarray], beta: float) -> tuple[np.ndarray, np.ndarray]:
    """What the parameters multiply in the intensity and in its integral at the times `at`: each (times, 1 + sources).

    With theta = (mu, alpha for each source) the intensity is `parts[0] @ theta`, the compensator `parts[1] @ theta`.
    """
    waves = [excitement(at, source, beta) for source in sources]
    past = [(np.searchsorted(source, at) - wave) / beta for source, wave in zip(sources, waves, strict=True)]
    return np.column_stack([np.ones(at.size), *waves]), np.column_stack([at, *past])


def log_likelihood(target: np.ndarray, sources: list[np.ndarray], end: float, theta: np.ndarray, beta: float) -> float:
    """Sum of log intensity at the events of `target` less the compensator at `end`, kernel alpha exp(-beta s).

    One component of a multivariate process; the whole is the sum over its components. Hawkes 1971,
    doi 10.1093/biomet/58.1.83; Ogata 1988, doi 10.1080/01621459.1988.10478560.

    >>> t = np.array([1, 1.5, 4, 4.2, 8])
    >>> round(log_likelihood(t, [t], 10, np.array([0.25, 0.5]), 1.0), 4)
    -9.7012
    """
    rate, total = parts(target, sources, beta)[0] @ theta, parts(np.array([end]), sources, beta)[1][0] @ theta
    return float(np.log(rate).sum() - total)


def fit(target: np.ndarray, sources: list[np.ndarray], end: float, beta: float) -> tuple[np.ndarray, float]:
    """Maximum likelihood theta >= 0 at a fixed decay, and its log likelihood: a concave problem (SLSQP, scipy)."""
    from scipy.optimize import minimize

    rate, total = parts(target, sources, beta)[0], parts(np.array([end]), sources, beta)[1][0]
    rate = rate / total  # in units of expected events, which sum to their number at the maximum

    def loss(share: np.ndarray) -> tuple[float, np.ndarray]:
        at = rate @ share
        return share.sum() - np.log(at).sum(), 1 - (1 / at) @ rate

    bounds = [(1e-9, None), *[(0.0, None)] * len(sources)]
    start = np.full(total.size, target.size / total.size)
    # not L-BFGS-B: that of scipy calls threaded LAPACK, which crawls where cores are shared
    best = minimize(loss, start, jac=True, method="SLSQP", bounds=bounds, options={"ftol": 1e-9})
    return best.x / total, -float(best.fun)


def descent(time: np.ndarray, kind: np.ndarray, brings: np.ndarray, beta: float, end: float, rng: Generator) -> list:
    """Events and all that descend from them before `end`: times, components and first ancestors, each of shape (all,).

    `time` and `kind`, the component of each event, have shape (n,); `brings[i, j]` events of component i are brought by
    one of j. The roots of `brings` must all be below 1. The first `n` are the events themselves, their own ancestors.
    """
    born = [(time, kind, np.arange(time.size))]
    while born[-1][0].size:
        time, kind, first = born[-1]
        litter = rng.poisson(brings[:, kind]).ravel()
        kind, parent = np.divmod(np.repeat(np.arange(litter.size), litter), time.size)
        time = time[parent] + rng.exponential(1 / beta, parent.size)
        born.append(tuple(values[time < end] for values in (time, kind, first[parent])))
    return [np.concatenate(values) for values in zip(*born, strict=True)]


def simulate(mu: np.ndarray, alpha: np.ndarray, beta: float, end: float, rng: Generator) -> list[np.ndarray]:
    """Event times of each component on (0, end): immigrants at the rates `mu`, and their descent.

    `alpha[i, j]` is the effect of component j on i; the branching matrix alpha / beta must have all roots below 1.
    """
    first = [rng.uniform(0, end, rng.poisson(rate * end)) for rate in mu]
    kind = np.repeat(np.arange(len(first)), [time.size for time in first])
    time, kind, _ = descent(np.concatenate(first), kind, alpha / beta, beta, end, rng)
    return [np.sort(time[kind == i]) for i in range(len(first))]


def ahead(past: np.ndarray, mu: float, branching: float, beta: float, end: float, draws: int, rng: Generator):
    """Number of events on (0, end) in each of `draws` futures of one series, given its events `past` (<= 0): (draws,).

    `branching` = alpha / beta, the events that each one brings.
    """
    soon = 1 - np.exp(-beta * end)  # share of a past event's remaining children that come before `end`
    fresh, kids = (rng.poisson(mean, draws) for mean in (mu * end, branching * np.exp(beta * past).sum() * soon))
    run = np.concatenate([np.repeat(np.arange(draws), size) for size in (fresh, kids)])
    first = -np.log1p(-soon * rng.random(kids.sum())) / beta
    time = np.concatenate([rng.uniform(0, end, fresh.sum()), first])
    _, _, ancestor = descent(time, np.zeros(time.size, dtype=int), np.array([[branching]]), beta, end, rng)
    return np.bincount(run[ancestor], minlength=draws)


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
        return replace(found, reason=f"fewer than {FEWEST} events" if source.size else "the other series has no event")
    fits = [(*fit(target, [target], end, beta), float(beta)) for beta in DECAYS]
    (mu, alpha), alone, beta = max(fits, key=lambda fitted: fitted[1])
    theta, ll = fit(target, [target, source], end, beta)
    rng, above = np.random.default_rng(seed), 0
    for _ in range(draws):
        [t] = simulate(np.array([mu]), np.array([[min(alpha, 0.95 * beta)]]), beta, end, rng)
        above += bool(t.size) and fit(t, [t, source], end, beta)[1] - fit(t, [t], end, beta)[1] >= ll - alone - 5e-7
    waits = np.diff(parts(target, [target, source], beta)[1] @ theta, prepend=0.0)
    notes = (f"each event brings {theta[1] / beta:.3g} of its own series, memory {1 / beta:.3g} days",
             f"rescaled waiting times: Kolmogorov–Smirnov p = {kstest(waits, 'expon').pvalue:.3g}")  # fmt: skip
    return replace(found, estimate=float((theta[2] / beta).round(9)), p_value=(1 + above) / (1 + draws), seed=seed,
                   draws=draws, notes=notes)  # fmt: skip
