"""Do two daily series move together? Coincidences under every circular shift, Granger's test, days with many sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import bdtrc, comb, fdtrc, gammaincinv, gammaln, pdtr, pdtrc, xlogy

from analysis_lib.finding import Finding

APART = 14  # days: a smaller shift leaves the alignment nearly as it was
DONGES = "event coincidence analysis (Donges et al. 2016)"


def event_coincidence(
    a: np.ndarray, b: np.ndarray, total: float, reach: float, lag: float = 0.0, *, daily: bool = False
) -> tuple[Finding, Finding]:
    """Share of events of A with one of B before them (precursor), and of B with one of A after them (trigger).

    `a`, `b`: days, shapes (n,), (m,), within `total` days. They coincide when 0 <= (a - lag) - b <= `reach`; in
    `daily` steps the reach holds a day more. H0: independent Poisson series; `null_value` is the chance of one
    coincidence, the p-value its binomial upper tail. Misleads when events cluster or come in salvos: the p is then far
    too small, so that it serves as a check of the shifted dates only. Donges et al. 2016,
    doi 10.1140/epjst/e2015-50233-y; Odenweller and Donner 2020, doi 10.1103/PhysRevE.101.052213.

    >>> event_coincidence(np.array([4, 11.5, 26, 40.2, 58]), np.array([3, 10, 35, 39.9]), 60, 2)[0].sentence()
    'precursor 0.6, p = 0.0167, n = 5'
    """
    behind = np.subtract.outer(np.asarray(a) - lag, b)
    hit = (behind >= 0) & (behind <= reach)
    found = []
    for name, hits, other in (("precursor", hit.any(axis=1), len(b)), ("trigger", hit.any(axis=0), len(a))):
        chance = 1 - (1 - (reach + daily) / (total - lag)) ** other
        if not hits.size or not other:
            found.append(Finding(name, DONGES, n=hits.size, reason="one of the two series is empty"))
            continue
        p = float(_tail(hits.sum(), np.array(hits.size), chance))
        found.append(Finding(name, f"{DONGES}, closed form", estimate=hits.mean(), p_value=p, null_value=chance,
                             alternative="greater", n=hits.size, exposure=total))  # fmt: skip
    return found[0], found[1]


# ---- every circular shift at once ------------------------------------------------------------------------------------


def shift_counts(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sum of y[t] x[t - s] over a circle of days, for every shift s: int, shape (…, days), by FFT.

    `y`, `x`: whole numbers, shapes (…, days) that broadcast. Element s is also the count of pairs at a lag of s days.

    >>> shift_counts(np.array([0, 2, 0, 1]), np.array([1, 0, 0, 0])).tolist()
    [0, 2, 0, 1]
    """
    spectrum = np.fft.rfft(y) * np.conj(np.fft.rfft(x))
    return np.rint(np.fft.irfft(spectrum, np.shape(y)[-1])).astype(np.int64)


def shift_law(y: np.ndarray, x: np.ndarray, strata: np.ndarray | None = None, apart: int = 0) -> np.ndarray:
    """Exact law of the events on open days when the open days are shifted: shape (events + 1,), sums to 1.

    `y` counts, `x` open days (bool), `strata` labels, all of shape (days,). Every shift counts once. With strata each
    is a circle of its own and their laws are convolved: differences of level between strata then prove nothing.
    `apart` leaves out shifts by fewer days, the identity excepted, as is often done; but these are the shifts that
    look like the data, and the p of long wars then comes out too small: show such a p, do not judge by it. Misleads
    where a trend runs through a stratum.
    """
    law = np.ones(1)
    for label in [None] if strata is None else np.unique(strata):
        part = slice(None) if label is None else strata == label
        counts = shift_counts(y[part], x[part])
        shift = np.arange(counts.size)
        counts = counts[(shift == 0) | (np.minimum(shift, counts.size - shift) >= apart)]
        law = np.convolve(law, np.bincount(counts, minlength=int(y[part].sum()) + 1) / counts.size)
    return law


def exceedance(law: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The chance of `count` or more events on open days over the true ratio, by enumeration: two of shape (300,).

    The model behind interval and power: a random shift puts K events on open days (`law`); then single events move onto
    open days, or off them, until `ratio` times as many are expected there. At the ratio 1 it is the shifts' own law.
    """
    k, n = np.flatnonzero(law > 0), law.size - 1
    mean = law[k] @ k
    less, more = np.linspace(0, 1, 100), np.linspace(1, n / mean, 201)[1:]
    moved = np.minimum((more - 1) * mean / (n - mean), 1.0)
    tails = np.vstack([_tail(count, k, less[:, None]), _tail(count - k, n - k, moved[:, None])])
    return np.append(less, more), tails @ law[k]


def _tail(count: np.ndarray | int, n: np.ndarray, p: np.ndarray | float) -> np.ndarray:
    """P(Binomial(n, p) >= count), also where count is no possible value."""
    inner = bdtrc(np.maximum(np.asarray(count) - 1, 0), np.maximum(n, 1), p)
    return np.where(np.asarray(count) <= 0, 1.0, np.where(np.asarray(count) > n, 0.0, inner))


def scan(
    pairs: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]], lags: int = 15, *, seed: int, draws: int = 9999
) -> dict[tuple[str, str], tuple[int, float, float, float]]:
    """Strongest lag of every pair, its z, its p over `lags` lags (0, 1, … days), its p over lags and pairs.

    `pairs`: (after, before) → their daily counts, both of shape (days,), each pair on its own days. z compares the
    events of `after` at a lag behind `before` with all shifts; the largest |z| of the lags pays for the search,
    exactly, over every shift. Over pairs the smallest such p pays, so that each pair weighs the same (Westfall and
    Young 1993): each series gets `draws` random places on the circle, one for all its pairs. H0: no pair is aligned.
    """
    names = sorted({name for pair in pairs for name in pair})
    place = dict(zip(names, np.random.default_rng(seed).random((len(names), draws)), strict=True))
    found, smallest = {}, np.ones(draws)
    for (after, before), (y, x) in pairs.items():
        counts = shift_counts(y, x)
        z = (counts - counts.mean()) / (counts.std() or 1.0)
        largest = np.abs(sliding_window_view(np.append(z, z[: lags - 1]), lags)).max(axis=1)
        p = 1 - np.searchsorted(np.sort(largest), largest - 1e-9) / z.size
        lag = int(np.abs(z[:lags]).argmax())
        found[after, before] = lag, float(z[lag]), float(p[0])
        np.minimum(smallest, p[((place[after] - place[before]) % 1 * z.size).astype(int)], out=smallest)
    return {pair: (*row, (1 + int((smallest <= row[2]).sum())) / (1 + draws)) for pair, row in found.items()}


def granger(target: np.ndarray, driver: np.ndarray, order: int | None = None, *, trend: bool = False) -> Finding:
    """F test: do the last `order` values of `driver` help to predict `target` beside its own? Shapes (days,).

    H0: all coefficients of the driver are 0. The estimate is their sum; the p-value is of the joint F test, which has
    no direction. `order` None: the one of 1 to 7 with the smallest BIC. Equal to `ssr_ftest` of statsmodels. Misleads
    with counts near zero, with shared trends (`trend` adds a line) and where a third cause moves both.
    Granger 1969, doi 10.2307/1912791.
    """
    y, x = np.asarray(target, dtype=float), np.asarray(driver, dtype=float)
    if y.size < 40 or np.ptp(y) == 0 or np.ptp(x) == 0:
        reason = "a series is constant or shorter than 40 days"
        return Finding("granger", "Granger F test", n=y.size, null_value=0.0, reason=reason)

    def fit(k: int, drop: int, *columns: np.ndarray) -> tuple[float, np.ndarray]:
        past = [z[drop - i : z.size - i] for z in columns for i in range(1, k + 1)]
        time = [np.arange(y.size - drop) / y.size] if trend else []
        design = np.column_stack([np.ones(y.size - drop), *time, *past])
        coef = np.linalg.lstsq(design, y[drop:], rcond=None)[0]
        return float(((y[drop:] - design @ coef) ** 2).sum()), coef

    m = y.size - 7
    bic = [m * np.log(fit(k, 7, y, x)[0] / m) + 2 * k * np.log(m) for k in range(1, 8)] if order is None else []
    k = order or int(np.argmin(bic)) + 1
    (without, _), (full, coef) = fit(k, k, y), fit(k, k, y, x)
    df = y.size - k - coef.size
    f = (without - full) / k / (full / df)
    p, note = float(fdtrc(k, df, f)), f"order {k}, F = {f:.6g} on {k} and {df} degrees of freedom"
    return Finding("granger", "Granger F test", estimate=float(coef[-k:].sum()), p_value=p, p_two_sided=p,
                   null_value=0.0, n=y.size, notes=(note,))  # fmt: skip


# ---- several sites on one day ----------------------------------------------------------------------------------------


def site_law(nights: Sequence[int], days: int) -> np.ndarray:
    """Exact law of the number of days with two or more sites hit: probabilities, shape (most + 1,).

    `nights`: nights hit of each site within `days` days. H0: each site's nights lie on days drawn without replacement,
    independently of the other sites; how often each is hit stays fixed.

    >>> site_law([1, 1], 4).tolist()
    [0.75, 0.25]
    """
    total = int(sum(nights))
    p = np.zeros((total + 1, total // 2 + 1))  # days with one site, days with more
    p[0, 0] = 1.0
    for d in nights:
        one, more = np.nonzero(p)
        now, p = p[one, more], np.zeros_like(p)
        for free, single in ((i, j) for i in range(d + 1) for j in range(d + 1 - i)):
            ways = comb(days - one - more, free) * comb(one, single) * comb(more, d - free - single) / comb(days, d)
            some = ways > 0
            p[one[some] + free - single, more[some] + single] += (ways * now)[some]
    return p.sum(axis=0)


def equivalence(count: int, expected: float, margin: float, claimed: float, alpha: float = 0.05) -> Finding:
    """Is a count within 1/margin to margin times what is expected? Two one-sided exact Poisson tests (TOST).

    H0: the true ratio lies outside the margin; the p-value is the larger of the two, the interval Garwood's. `power` is
    at the ratio `claimed`. Misleads where the count varies more than Poisson. Schuirmann 1987, doi 10.1007/BF01068419.

    >>> equivalence(30, 30.0, 2.0, 1.0).sentence()
    'equivalence 1 (95 % interval 0.675 to 1.43), p < 0.001'
    """
    method, note = "two one-sided exact Poisson tests", f"{count} days with several sites hit, {expected:.3g} expected"
    if not expected:
        return Finding("equivalence", method, notes=(note,), reason="nothing could coincide: no two sites in one block")
    k = np.arange(int(10 * margin * expected) + 50)
    too_few = np.where(k > 0, pdtrc(np.maximum(k - 1, 0), expected / margin), 1.0)
    p, weight = np.maximum(too_few, pdtr(k, expected * margin)), np.exp(xlogy(k, claimed * expected) - gammaln(k + 1))
    low, limit_low = (gammaincinv(count, [0.025, 0.05]) / expected).tolist() if count else (0.0, 0.0)
    high, limit_high = (gammaincinv(count + 1, [0.975, 0.95]) / expected).tolist()
    return Finding("equivalence", method, estimate=count / expected, low=low, high=high, limit_low=limit_low,
                   limit_high=limit_high, p_value=float(p[count]), attainable_p=float(p.min()), notes=(note,),
                   power=float(weight[p <= alpha].sum() * np.exp(-claimed * expected)))  # fmt: skip
