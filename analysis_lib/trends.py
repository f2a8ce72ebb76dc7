"""Is something rising? A rate that grows, gaps that shrink, a break in a rate, a share that moves."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.special import gammainc, gammaincinv, ndtr, ndtri, xlogy

from analysis_lib.finding import Finding
from analysis_lib.series import Series

PER = 90.0  # days over which growth is stated as a rate ratio
BLOCK = 14  # days of one count for Mann–Kendall
ENDS = ndtri(np.array([0.025, 0.975, 0.05, 0.95]))  # two-sided interval, one-sided limits
JOINT = ("Laplace U", "Crow–AMSAA beta", "progress exponent b")


def of_z(quantity: str, method: str, z: float, n: int, least: int, **more: Any) -> Finding:
    """A finding for a rise from a standard normal statistic, or why there is none: fewer than `least` values, no z."""
    if n < least or not np.isfinite(z):
        reason = f"{n} where at least {least} are needed" if n < least else "all values are equal: nothing to compare"
        return Finding(quantity, method, alternative="greater", n=n, reason=reason)
    cells = {"estimate": z, "null_value": 0.0, "p_value": ndtr(-z), "p_two_sided": 2 * ndtr(-abs(z)), "n": n} | more
    return Finding(quantity, method, alternative="greater", **cells)


def at_ends(limits: Iterable[float]) -> dict[str, float]:
    """The cells of a finding for limits at ENDS."""
    return dict(zip(("low", "high", "limit_low", "limit_high"), limits, strict=True))


def inner_times(days: np.ndarray, span: int) -> np.ndarray:
    """Times on (0, span) of events on the watched days 1 to `span` of a frame; NaN for its first and its last day.

    A frame often starts or ends on a day because something happened on it. Events on these two days are therefore
    conditioned on, and the days with them: what lies between is uniform under H0 however the edges were chosen.
    """
    return np.where((days > 0) & (days <= span), days - 0.5, np.nan)


def inner(series: Series) -> tuple[np.ndarray, int]:
    """Times of the events between the frame's first and last watched day, in order, and the days between them."""
    span = int(series.observed.sum()) - 2
    times = inner_times(series.event_days, span)
    return times[np.isfinite(times)], span


def from_first_use(series: Series) -> Series:
    """The series from its first event on: that event is then the frame's edge, and what follows it is tested."""
    k = np.append(np.flatnonzero(series.counts * series.observed), 0)[0]
    return Series(series.days[k:], series.counts[k:], series.observed[k:])


def laplace(times: np.ndarray, span: float) -> np.ndarray:
    """Laplace's U = (sum t - n T / 2) / (T sqrt(n / 12)) of times (…, n) on (0, span); NaN stands for no event.

    >>> t = np.array([5, 40, 43, 175, 389, 712, 747, 795, 1299, 1478.0])  # NIST e-Handbook, section 8.4.5
    >>> round(float(laplace(t, 1500)), 3)
    -1.327
    """
    n = np.isfinite(times).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.nansum(times, axis=-1) - n * span / 2) / (span * np.sqrt(n / 12))


def _law(growth: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of an event's time when the log rate rises by `growth` from 0 to span."""
    c = np.where(np.abs(growth) < 1e-3, 1e-3, growth)
    return span * (-1 / np.expm1(-c) - 1 / c), span * np.sqrt(1 / c**2 - 0.25 / np.sinh(c / 2) ** 2)


def _growth(mean: float, n: int) -> np.ndarray:
    """Rise of the log rate over (0, 1) from the mean of n times: estimate, then limits at ENDS, nearly exact.

    By the modified signed root of the likelihood ratio (Barndorff-Nielsen 1986, doi 10.1093/biomet/73.2.307).
    """
    c = np.linspace(-60, 60, 12000)  # without 0
    means, sd = _law(c, 1.0)
    at, spread = np.interp(mean, means, c), np.interp(mean, means, sd)
    step, total = c - at, np.log(np.expm1(c) / c)  # the log of the integral of exp(c t)
    root = np.sign(step) * np.sqrt(2 * n * np.maximum(total - np.interp(at, c, total) - step * mean, 0))
    far = np.abs(root) > 0.1
    better = root[far] + np.log(step[far] * spread * np.sqrt(n) / root[far]) / root[far]
    return np.append(at, np.interp(ENDS, better, c[far]))


def trend_power(n: int, span: float, ratios: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Power of Laplace's test, n events, when the rate is multiplied by each of `ratios` every 90 days."""
    mean, sd = _law(np.log(ratios) * span / PER, span)
    return ndtr((np.sqrt(n) * (mean - span / 2) - ndtri(1 - alpha) * span / np.sqrt(12)) / sd)


def trend(series: Series, claimed: float | None = None, alpha: float = 0.05) -> Finding:
    """Growth of the rate as a rate ratio per 90 days: Laplace's test and the interval that belongs to it.

    H0: a constant rate; given n the times are uniform. Under exponential growth their sum is sufficient (Cox and Lewis
    1966), so that estimate and interval come from it too. Misleads where a first use late in the frame is all there is
    (test from it on as well), and where attacks come in salvos (see `lewis_robinson`). Power, `mde` and `attainable_p`
    (all events on the last day) by the normal law.
    """
    times, span = inner(series)
    n, ratios = times.size, np.geomspace(1.01, 1e4, 500)
    if not n:
        return of_z("growth_per_90_days", "Laplace test", 0.0, 0, 1)
    growth = _growth(times.mean() / span, n)
    estimate, *limits = np.exp(growth / span * PER)
    power = trend_power(n, span, ratios, alpha)
    note = f"doubling time {span * np.log(2) / growth[0]:.0f} days" if growth[0] > 0 else "no growth"
    return of_z("growth_per_90_days", "Laplace test; ratio of rates under exponential growth", laplace(times, span), n,
                1, estimate=estimate, null_value=1.0, notes=(note,), exposure=span, **at_ends(limits),
                attainable_p=ndtr(-np.sqrt(3 * n)), mde=np.interp(0.8, power, ratios) if power[-1] >= 0.8 else None,
                power=trend_power(n, span, claimed, alpha) if claimed else None)  # fmt: skip


def crow(times: np.ndarray, span: float, failure_truncated: bool = False) -> tuple[float, float, int]:
    """Crow–AMSAA: beta of N(t) ~ t^beta, its chi-squared (small: rising) and degrees of freedom."""
    total = np.log(span / times).sum()
    return times.size / total, 2 * total, 2 * (times.size - failure_truncated)


def crow_amsaa(series: Series) -> Finding:
    """Exponent of N(t) ~ t^beta, H0: 1 (Crow 1974). Misleads in a frame that starts long before a first use."""
    times, span = inner(series)
    beta, chi2, df = crow(times, span) if times.size else (np.nan, np.nan, 2)
    low, high = beta * gammaincinv(df / 2, [0.025, 0.975]) / max(times.size, 1)
    return of_z("crow_amsaa", "Crow–AMSAA power law, chi-squared", -ndtri(gammainc(df / 2, chi2 / 2)), times.size, 2,
                estimate=beta, low=low, high=high, null_value=1.0, exposure=span)  # fmt: skip


def lewis(times: np.ndarray, span: float) -> float:
    """Lewis and Robinson (1974): Laplace's U divided by the coefficient of variation of the gaps from 0."""
    gaps = np.diff(times, prepend=0.0)
    return laplace(times, span) * gaps.mean() / gaps.std(ddof=1) if np.unique(gaps).size > 1 else np.nan


def lewis_robinson(series: Series) -> Finding:
    """Does a renewal process, gaps of any law, get denser? Salvos are no trend; misleads with a handful of gaps."""
    times, span = inner(series)
    return of_z("lewis_robinson", "Lewis–Robinson test", lewis(times, span), times.size, 3, exposure=span)


def kendall(x: np.ndarray) -> tuple[float, float, float, float]:
    """Kendall's S, its variance with ties, the Hamed–Rao factor for it, the Theil–Sen slope per step; x (n,)."""
    n, (i, j) = x.size, np.triu_indices(x.size, 1)
    slope = np.median((x[j] - x[i]) / (j - i))
    ties = np.unique(x, return_counts=True)[1]
    variance = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    flat = x - slope * np.arange(n)
    ranks = np.sign(flat[:, None] - flat).sum(axis=1)
    rho = np.correlate(ranks, ranks, "full")[n:] / max(ranks @ ranks, 1e-12)
    left = n - np.arange(1, n)
    weight = left * (left - 1) * (left - 2) * (np.abs(rho) > 1.96 / np.sqrt(n))
    return np.sign(x[j] - x[i]).sum(), variance, 1 + 2 * weight @ rho / (n * (n - 1) * (n - 2)), slope


def mann_kendall(x: np.ndarray, what: str) -> Finding:
    """Do values in order of time tend to rise? x (n,). H0: no trend, any law; `estimate` is z.

    The variance is widened, never narrowed, by Hamed and Rao (1998, doi 10.1016/S0022-1694(97)00125-X) where ranks are
    autocorrelated. Mann 1945, doi 10.2307/1907187. Misleads with many ties at zero: power is low.
    """
    s, variance, factor, slope = kendall(x) if x.size > 3 else (0.0, np.nan, 1.0, np.nan)
    z = (s - np.sign(s)) / np.sqrt(variance * max(factor, 1.0)) if variance else np.nan
    note = f"Theil–Sen slope {slope:.3g} a step; variance x {max(factor, 1.0):.3g}"
    return of_z("mann_kendall", f"Mann–Kendall test of {what}", z, x.size, 4, notes=(note,))


def block_counts(series: Series) -> np.ndarray:
    """Counts of whole blocks of 14 watched days, the last one ending with the frame: (blocks,)."""
    y = series.counts[series.observed]
    return y[y.size % BLOCK :].reshape(-1, BLOCK).sum(axis=1)


def simulated_p(value: np.ndarray, n: np.ndarray, null: Callable[[int], np.ndarray]) -> np.ndarray:
    """Add-one p of each value beside the sorted null of its number of events; 1 where that is below 2. All (sets,)."""
    p = np.ones(value.size)
    for size in np.unique(n[n > 1]):
        law = null(int(size))
        p[n == size] = (1 + law.size - np.searchsorted(law, value[n == size] - 1e-9)) / (law.size + 1)
    return p


def exponent(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """b of gap n = first gap x n^-b by least squares on logarithms, and the number of gaps; gaps (…, N).

    Gaps of zero (two events on one day) and NaN are left out, so that gaps between attack *days* remain.

    >>> b, n = exponent(np.array([24, 3, 26.0]))  # the drone strikes of spring 2021
    >>> round(float(b), 2), int(n)
    (0.26, 3)
    """
    has = gaps > 0
    n, place = has.sum(axis=-1), np.log(np.where(has, has.cumsum(axis=-1), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(has, place - (place.sum(axis=-1) / n)[..., None], 0)
        return -(x * np.log(np.where(has, gaps, 1))).sum(axis=-1) / (x * x).sum(axis=-1), n


def exponent_null(n: int, seed: int, draws: int) -> np.ndarray:
    """b of n gaps under a constant rate, sorted: (draws,). Also the law of the error of b at any true exponent."""
    return np.sort(exponent(np.random.default_rng(seed).exponential(size=(draws, n)))[0])


def progress_p(days: np.ndarray, seed: int, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p for b > 0, b and the number of gaps of sets of days (sets, n), NaN = no event."""
    b, n = exponent(np.diff(np.sort(days, axis=-1), axis=-1))
    return simulated_p(b, n, lambda size: exponent_null(size, seed, draws)), b, n


def progress_curve(days: np.ndarray, claimed: float | None = None, alpha=0.05, *, seed: int, draws: int) -> Finding:
    """Exponent b of the progress curve, gap n = first gap x n^-b, of days (n,); b > 0: each attack comes sooner.

    H0: a constant rate, gaps exponential. Whatever the true b, its error has the law of b under H0, so that p, interval
    and power share one simulated law. Misleads since n starts with the first *recorded* event, since the open last gap
    is left out (b too large), and since whole days round short gaps. Johnson et al. 2011, doi 10.1126/science.1205068.
    """
    (p,), (b,), (n,) = progress_p(days[None].astype(float), seed, draws)
    method = "progress curve, least squares on logarithms; law of b under a constant rate"
    if n < 2:
        return of_z("progress_curve", method, 0.0, int(n), 2)
    null, least = exponent_null(int(n), seed, draws), 1 / (draws + 1)
    critical, fifth = np.quantile(null, [1 - alpha, 0.2])
    return Finding("progress_curve", method, estimate=b, p_value=p, p_two_sided=min(1, 2 * min(p, 1 - p + least)),
                   attainable_p=least, power=None if claimed is None else (null >= critical - claimed).mean(),
                   mde=critical - fifth, alternative="greater", null_value=0.0, n=int(n), exposure=np.ptp(days),
                   **at_ends(b - np.quantile(null, [0.975, 0.025, 0.95, 0.05])), seed=seed, draws=draws,
                   notes=(f"gaps between attack days; standard error {null.std():.2f}",))  # fmt: skip


def joint_null(series: Series, seed: int, draws: int) -> np.ndarray | None:
    """U, ln beta and b of the attack days, in the first row, and of as many random days: (1 + draws, 3), standardised.

    H0: given their number, the attack days are any days of the frame; salvos count once. Its first and last watched day
    stay as they are (see `inner_times`). None with fewer than three days to move, or no days to move them to.
    """
    days, span = np.unique(series.event_days), int(series.observed.sum()) - 2
    inside = (days > 0) & (days <= span)
    if not 3 <= (n := inside.sum()) < span:
        return None
    random, sets = np.random.default_rng(seed).random((draws, span), dtype=np.float32), np.tile(days, (draws + 1, 1))
    sets[1:, inside] = np.sort(np.argpartition(random, n, axis=1)[:, :n], axis=1) + 1
    times, b = sets[:, inside] - 0.5, exponent(np.diff(sets))[0]
    values = np.column_stack([laplace(times, span), -np.log(np.log(span / times).sum(axis=1)), b])
    return (values - values[1:].mean(axis=0)) / values[1:].std(axis=0)


def break_ratio(before: np.ndarray, t0: np.ndarray, n: np.ndarray, total: float) -> np.ndarray:
    """Likelihood ratio (2 ln L) of a break in a Poisson rate after t0 of `total` days; negative where it falls."""
    after, t1 = n - before, total - t0
    gain = 2 * (xlogy(before, before / t0) + xlogy(after, after / t1) - xlogy(n, n / total))
    return np.where(after * t0 >= before * t1, gain, -gain)


def break_statistics(days: np.ndarray, breaks: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Likelihood ratios of a rise at each of `breaks` (sets, breaks), and the largest on any day (sets,).

    `days` (sets, n) of the events, NaN = no event; a break is the number of days before it, 1 to total - 1.
    """
    days = np.sort(days, axis=-1)
    n, can = np.isfinite(days).sum(axis=-1)[:, None], days >= 1
    here = break_ratio((days[:, None] < breaks[:, None]).sum(axis=-1), breaks, n, total)
    place = np.where(can, np.arange(days.shape[-1]), 0)  # a rise is likeliest just before an event
    anywhere = np.where(can, break_ratio(place, np.where(can, days, 1), n, total), 0)
    return here, np.maximum(anywhere.max(axis=-1, initial=0), here.max(axis=-1))


def break_p(days: np.ndarray, breaks: np.ndarray, total: int, seed: int, draws: int) -> np.ndarray:
    """p of a rise at the best of `breaks`, beside the best day of all of as many uniform events: (sets,).

    H0: one rate; the p pays for every day that could have been named (Worsley 1986, doi 10.1093/biomet/73.1.91).
    Misleads where the rate rises slowly or several times: one break fits that too.
    """

    def null(n: int) -> np.ndarray:
        random = np.random.default_rng(seed).integers(0, total, (draws, n)).astype(float)
        return np.sort(break_statistics(random, breaks, total)[1])

    return simulated_p(break_statistics(days, breaks, total)[0].max(axis=-1), np.isfinite(days).sum(axis=-1), null)


def armitage(marked: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cochran–Armitage z, slope of the share per unit of score, its error robust to unequal variances.

    `marked` (n,) 0 or 1, `score` (…, n), NaN = row left out. Armitage 1955, doi 10.2307/3001775.
    """
    has = np.isfinite(score)
    n, y = has.sum(axis=-1), marked * has
    with np.errstate(divide="ignore", invalid="ignore"):
        share = y.sum(axis=-1) / n
        centred = np.where(has, score - (np.nansum(score, axis=-1) / n)[..., None], 0)
        spread = (centred**2).sum(axis=-1)
        slope = (centred * y).sum(axis=-1) / spread
        rest = has * (y - share[..., None] - slope[..., None] * centred)
        error = np.sqrt((centred**2 * rest**2).sum(axis=-1) * n / (n - 2)) / spread
        return slope * np.sqrt(spread / (share * (1 - share))), slope, error
