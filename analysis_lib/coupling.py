"""Do two daily series move together? Coincidences under every circular shift, Granger's test, days with many sites."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import comb

from analysis_lib.finding import Finding

APART = 14  # days: a smaller shift leaves the alignment nearly as it was
DONGES = "event coincidence analysis (Donges et al. 2016)"


def event_coincidence(a, b, total: float, reach: float, lag: float = 0.0, *, daily: bool = False) -> list[Finding]:
    """Share of events of A with one of B before them (precursor), and of B with one of A after them (trigger).

    `a`, `b`: days, shapes (n,), (m,), within `total` days. They coincide when 0 <= (a - lag) - b <= `reach`; in
    `daily` steps the reach holds a day more. H0: independent Poisson series; `null_value` is the chance of one
    coincidence, the p-value its binomial upper tail. Misleads when events cluster or come in salvos: the p is then far
    too small, so that it serves as a check of the shifted dates only. Donges et al. 2016,
    doi 10.1140/epjst/e2015-50233-y; Odenweller and Donner 2020, doi 10.1103/PhysRevE.101.052213.

    >>> event_coincidence(np.array([4, 11.5, 26, 40.2, 58]), np.array([3, 10, 35, 39.9]), 60, 2)[0].sentence()
    'precursor 0.6, p = 0.0167, n = 5'
    """
    from scipy.stats import binom

    sides = {"precursor": (1, len(a), len(b)), "trigger": (0, len(b), len(a))}
    if not len(a) or not len(b):
        reason = "one of the two series is empty"
        return [Finding(name, DONGES, n=n, reason=reason) for name, (_, n, _) in sides.items()]
    behind, found = np.subtract.outer(np.asarray(a) - lag, b), []
    for name, (axis, n, other) in sides.items():
        hits = ((behind >= 0) & (behind <= reach)).any(axis=axis)
        chance = 1 - (1 - (reach + daily) / (total - lag)) ** other
        p = float(binom.sf(hits.sum() - 1, n, chance))
        found.append(Finding(name, f"{DONGES}, closed form", estimate=hits.mean(), p_value=p, null_value=chance,
                             alternative="greater", n=n, exposure=total))  # fmt: skip
    return found


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
    law, strata = np.ones(1), np.zeros(y.size) if strata is None else strata
    for part in (strata == label for label in np.unique(strata)):
        counts = shift_counts(y[part], x[part])
        shift = np.arange(counts.size)
        counts = counts[(shift == 0) | (np.minimum(shift, counts.size - shift) >= apart)]
        law = np.convolve(law, np.bincount(counts, minlength=int(y[part].sum()) + 1) / counts.size)
    return law


def rate_ratio(count: int, expected: float, n: int) -> float:
    """Events a day on open days over that on other days, divided by the same where `expected` of n lie on open days."""
    return count * (n - expected) / (expected * (n - count)) if count < n else np.inf


def exceedance(law: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The chance of `count` or more events on open days over the true rate ratio, by enumeration: two of shape (500,).

    The model behind interval and power: a random shift puts K events on open days (`law`); then single events move onto
    open days, or off them, until the ratio is as it should be. At the ratio 1 it is the shifts' own law.
    """
    from scipy.stats import binom

    k, n = np.flatnonzero(law > 0), law.size - 1
    mean = law[k] @ k
    ratio = np.append(np.linspace(0, 1, 100), np.geomspace(1, 1000, 401)[1:])
    share = ratio * mean / (n - mean + ratio * mean)  # of the events, on open days
    less, moved = np.minimum(share[:100] * n / mean, 1.0), (share[100:] * n - mean) / (n - mean)
    over = np.vstack([binom.sf(count - 1, k, less[:, None]), binom.sf(count - k - 1, n - k, moved[:, None])])
    return ratio, over @ law[k]


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
    from statsmodels.regression.linear_model import OLS

    y, x = np.asarray(target, dtype=float), np.asarray(driver, dtype=float)
    found = Finding("granger", "Granger F test", n=y.size, null_value=0.0)
    if y.size < 40 or np.ptp(y) == 0 or np.ptp(x) == 0:
        return replace(found, reason="a series is constant or shorter than 40 days")

    def fit(k: int, drop: int, *columns: np.ndarray):
        past = [z[drop - i : z.size - i] for z in columns for i in range(1, k + 1)]
        course = np.vander(np.arange(y.size) / y.size, 1 + trend)[drop:]
        return OLS(y[drop:], np.column_stack([course, *past])).fit()

    k = order or 1 + int(np.argmin([fit(k, 7, y, x).bic for k in range(1, 8)]))
    full = fit(k, k, y, x)
    f, p, _ = full.compare_f_test(fit(k, k, y))
    note = f"order {k}, F = {f:.6g} on {k} and {full.df_resid:.0f} degrees of freedom"
    return replace(found, estimate=float(full.params[-k:].sum()), p_value=float(p), p_two_sided=float(p), notes=(note,))


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


def equivalence(count: int, expected: float, margin: float, claimed, alpha: float = 0.05) -> Finding:
    """Is a count within 1/margin to margin times what is expected? Two one-sided exact Poisson tests (TOST).

    H0: the true ratio lies outside the margin; the p-value is the larger of the two, the interval Garwood's. `power` is
    at the ratio `claimed`, or at each of several. Misleads where the count varies more than Poisson. Schuirmann 1987,
    doi 10.1007/BF01068419.

    >>> equivalence(30, 30.0, 2.0, 1.0).sentence()
    'equivalence 1 (95 % interval 0.675 to 1.43), p < 0.001'
    """
    from scipy.stats import poisson
    from statsmodels.stats.rates import confint_poisson

    found = Finding("equivalence", "two one-sided exact Poisson tests",
                    notes=(f"{count} days with several sites hit, {expected:.3g} expected",))  # fmt: skip
    if not expected:
        return replace(found, reason="nothing could coincide: no two sites in one block")
    k = np.arange(int(10 * margin * expected) + 50)
    p = np.maximum(poisson.sf(k - 1, expected / margin), poisson.cdf(k, expected * margin))
    (low, high), (limit_low, limit_high) = (confint_poisson(count, expected, "exact-c", tail) for tail in (0.05, 0.1))
    power = poisson.pmf(k[p <= alpha], np.asarray(claimed)[..., None] * expected).sum(axis=-1)
    return replace(found, estimate=count / expected, low=low, high=high, limit_low=limit_low, limit_high=limit_high,
                   p_value=float(p[count]), attainable_p=float(p.min()), power=power)  # fmt: skip
