"""Waiting times: the law of the longest gap, the gap that is still open, gap models with the last gap censored."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
from scipy.special import gammainc, gammaincc

from analysis_lib.finding import Alternative, Finding
from analysis_lib.series import Series
from analysis_lib.windows import Window


def longest_gap_p(n: int, gap: float, total: float) -> float:
    """P(longest of the n + 1 spacings >= gap) for n events uniform on (0, total).

    Sum over j of (-1)^(j+1) C(n+1, j) (1 - j gap / total)^n (Fisher 1929, Stevens 1939), in exact rational
    arithmetic: the alternating sum loses every digit of a float for a few dozen events.

    >>> round(longest_gap_p(2, 26, 53), 3)
    0.778
    """
    if gap <= 0:
        return 1.0
    gap, total = Fraction(gap), Fraction(total)
    terms = range(1, min(n + 1, int(total / gap)) + 1)
    return float(sum((-1) ** (j + 1) * comb(n + 1, j) * (1 - j * gap / total) ** n for j in terms))


def longest_gap_mean(n: int, total: float) -> float:
    """Expected longest of the n + 1 spacings of n uniform events on (0, total).

    >>> round(longest_gap_mean(3, 57), 1)
    29.7
    """
    return total / (n + 1) * sum(1 / k for k in range(1, n + 2))


def spacings(series: Series) -> tuple[np.ndarray, np.ndarray, bool]:
    """Start and end of every spacing on the clock of observed days, edges of the frame included.

    An event on the frame's first day defines that edge, so it counts as the edge and not as an event (`True`).
    """
    days = series.event_days
    edge = bool(days.size and days[0] == 0)
    points = np.concatenate([[0], days[1:] if edge else days, [series.observed.sum()]])
    return points[:-1], points[1:], edge


def longest_gap(series: Series, window: Window, alternative: Alternative = "less") -> Finding:
    """The longest gap that touches the window and is not over by its middle, beside the law of the frame's longest gap.

    A gap that lies mostly before the window is no pause in it and is left out. H0: given their number, the events are
    uniform on the frame; the p-value is for a gap at least this long *anywhere*, which pays for having looked for it.
    `alternative` is the claim's (less = fewer events = a longer gap). Misleads when events come in salvos: then long
    gaps are common without any pause.
    """
    start, end, edge = spacings(series)
    clock = np.cumsum(series.observed) - 1
    inside = clock[window.mask(series.days) & series.observed]
    n, exposure = len(start) - 1, int(series.observed.sum())
    method = "law of the longest of n + 1 uniform spacings"
    if inside.size == 0 or n == 0:
        return Finding(
            "longest_gap",
            method,
            n=n,
            exposure=exposure,
            reason="no observed day in the window" if not inside.size else "no event in the frame",
        )
    touching = (start <= inside[-1]) & ((start + end) / 2 >= inside[0])
    if not touching.any():
        reason = "the gap that holds the window lies mostly before it"
        return Finding("longest_gap", method, n=n, exposure=exposure, reason=reason)
    gap = float((end - start)[touching].max())
    p = longest_gap_p(n, gap, exposure)
    notes = ("the first event lies on the frame's edge and counts as the edge",) if edge else ()
    return Finding(
        "longest_gap", method, estimate=gap, null_value=longest_gap_mean(n, exposure),
        p_value=p if alternative == "less" else 1 - p, alternative="greater" if alternative == "less" else "less", n=n,
        exposure=exposure, notes=notes,
    )  # fmt: skip


def scan(series: Series, window: Window, *, seed: int = 0, draws: int = 9999) -> Finding:
    """The window's count beside the fullest window of its length anywhere in the frame: the scan statistic.

    H0: given their number, the events are uniform on the frame's watched days; p is the chance that *some* window of
    so many days holds at least the observed count, by `draws` random histories, add-one: it pays for having noticed
    the busy spell. Naus 1965, doi 10.1080/01621459.1965.10480810. Misleads when events come in salvos: then some
    window is always full.
    """
    x1, length, x0, t0 = series.split(window)
    n, total, method = x1 + x0, length + t0, "fullest window of this length, events uniform on the frame"
    if not n or not length:
        reason = "no event in the frame" if length else "no observed day in the window"
        return Finding("scan", method, alternative="greater", n=n, exposure=total, reason=reason)
    days = np.sort(np.random.default_rng(seed).integers(0, total, (draws, n)), axis=1)
    # one row after the other on one axis, further apart than a window reaches
    flat = (days + (total + length) * np.arange(draws)[:, None]).ravel()
    most = (np.searchsorted(flat, flat + length) - np.arange(flat.size)).reshape(draws, n).max(axis=1)
    p = (1 + int((most >= x1).sum())) / (draws + 1)
    return Finding("scan", method, estimate=float(x1), null_value=float(most.mean()), p_value=p, alternative="greater",
                   attainable_p=1 / (draws + 1), n=n, exposure=total, seed=seed, draws=draws)  # fmt: skip


def running_gap(series: Series, window: Window, alternative: Alternative = "less", alpha: float = 0.05) -> Finding:
    """Rate in a gap that is still open at the end of `window`, divided by the rate before it.

    With k completed gaps of total length s and an open gap of g days, H0 (one exponential law) gives
    P(next gap >= g) = (s / (s + g))^k, exact with the rate unknown. The gap is right-censored: its length at the
    window's end is used, never its final length. `attainable_p` takes k gaps of one day each in this frame; `power` is
    at a full stop after the last event, for this open gap and Gamma(k) completed ones. Misleads because a text on a gap
    is written while the gap is long: the p-value does not pay for that. Jarrett 1979, doi 10.1093/biomet/66.1.191.
    """
    method, events = "exact law of an open gap after completed ones", series.event_days
    if not events.size or not (window.mask(series.days) & series.observed).any():
        reason = "no event in the frame" if not events.size else "no observed day in the window"
        return Finding("running_gap", method, alternative=alternative, n=int(events.size), reason=reason)
    k, s, g = open_gap(series, window)
    span = s + g
    p = float(running_gap_p(k, s, g)) if k else 1.0
    best = float(running_gap_p(k, min(k, span), max(span - k, 0)))
    if k == 0 or g <= 0:
        reason = "no completed gap before the open one" if k == 0 else "an event on the last day: no gap is open"
        return Finding("running_gap", method, p_value=1.0, p_two_sided=1.0, attainable_p=best, alternative=alternative,
                       n=int(events.size), exposure=span, reason=reason)  # fmt: skip
    high, limit = ((s / g) * (tail ** (-1 / k) - 1) for tail in (0.025, 0.05))
    return Finding(
        "running_gap", method, estimate=0.0, low=0.0, high=high, p_value=p if alternative == "less" else 1 - p,
        p_two_sided=min(1.0, 2 * min(p, 1 - p)), attainable_p=best,
        power=float(running_gap_power(k, s, g, alpha, np.zeros(1))[0]), alternative=alternative, limit_low=0.0,
        limit_high=limit, n=int(events.size), exposure=span,
        notes=(f"{k} completed gaps of {s:g} days in all, then {g:g} days without an event",),
    )  # fmt: skip


def open_gap(series: Series, window: Window) -> tuple[int, float, float]:
    """Completed gaps, their total length and the length of the gap open on the window's last watched day, in days.

    An event on the frame's first day is the edge of the first gap.
    """
    events, clock = series.event_days, np.cumsum(series.observed) - 1
    last = clock[window.mask(series.days) & series.observed][-1]
    return int(events.size - (events[0] == 0)), float(events[-1]), float(last - events[-1])


def running_gap_power(k: int, s: float, g: float, alpha: float, ratios: np.ndarray) -> np.ndarray:
    """Probability that a gap is open for g days and found, when the rate falls to each of `ratios` of what it was.

    The k completed gaps are Gamma(k) at their observed mean rate k / s; 0 where they have no length.
    """
    if not s or not k:
        return np.zeros(np.shape(ratios))
    short = alpha ** (1 / k) / (1 - alpha ** (1 / k))  # p <= alpha when s / g is at most this
    return gammainc(k, k / s * g * short) * np.exp(-np.asarray(ratios) * k / s * g)


def running_gap_p(k, s, g):
    """(s / (s + g))^k, arrays broadcast; 1 where nothing precedes the gap or no gap is open."""
    k, s, g = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (k, s, g)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((k > 0) & (g > 0), (s / (s + g)) ** k, 1.0)


def gap_model(series: Series, window: Window) -> list[Finding]:
    """Exponential and Weibull models of the waiting times, the last one censored at the window's end.

    Gaps between *days* with an event, so that salvos give no zero gap. `weibull_shape` tests shape = 1 (likelihood
    ratio): below 1 events cluster and long gaps are common. `gap_exceedance` is P(a gap lasts at least as long as the
    open one) under the exponential model; `length_biased_gap` is the same for the gap that runs on a random day, whose
    mean is twice the mean gap. Raftery and Akman 1986, doi 10.1093/biomet/73.1.85.
    """
    clock = np.cumsum(series.observed) - 1
    last = clock[window.mask(series.days) & series.observed]
    days = np.unique(series.event_days)
    days = days[days <= last[-1]] if last.size else days[:0]
    names = ("weibull_shape", "gap_exceedance", "length_biased_gap")
    if days.size < 3:
        reason = "fewer than two completed gaps before the window's end"
        return [Finding(name, "waiting-time model", n=int(days.size), reason=reason) for name in names]
    waiting = float(last[-1] - days[-1])
    times = np.append(np.diff(days).astype(float), [waiting] if waiting else [])
    status = np.append(np.ones(days.size - 1), [0] if waiting else [])
    rate, ll_exp = exponential(times, status)
    n, exposure = int(status.sum()), float(times.sum())
    method = "Weibull model of gaps between attack days, the open gap censored"
    if np.ptp(times[status == 1]) == 0 and waiting <= times[0]:
        reason = "all gaps are equal: the shape has no finite estimate"
        weibull_shape = Finding("weibull_shape", method, n=n, exposure=exposure, reason=reason)
    else:
        shape, scale, ll = weibull(times, status)
        lr = max(0.0, 2 * (ll - ll_exp))
        weibull_shape = Finding("weibull_shape", method, estimate=shape, p_value=float(gammaincc(0.5, lr / 2)), n=n,
                                exposure=exposure, notes=(f"scale {scale:.3g} days",))  # fmt: skip
    at, survival = kaplan_meier(times, status)
    km = survival[at < waiting].min(initial=1.0)
    return [
        weibull_shape,
        Finding("gap_exceedance", "P(gap >= the open gap), exponential model", estimate=float(np.exp(-rate * waiting)),
                n=n, exposure=exposure, notes=(f"open gap {waiting:g} days", f"by Kaplan–Meier {km:.3g}")),
        Finding("length_biased_gap", "P(the gap running on a random day is at least this long), exponential model",
                estimate=float((1 + rate * waiting) * np.exp(-rate * waiting)), n=n, exposure=exposure),
    ]  # fmt: skip


def exponential(times: np.ndarray, status: np.ndarray) -> tuple[float, float]:
    """Maximum likelihood rate and log likelihood; `status` 1 = event, 0 = censored, shapes (n,)."""
    rate = status.sum() / times.sum()
    return float(rate), float(status.sum() * np.log(rate) - rate * times.sum())


def weibull(times: np.ndarray, status: np.ndarray) -> tuple[float, float, float]:
    """Maximum likelihood shape, scale and log likelihood of S(t) = exp(-(t / scale)^shape), right-censored (scipy)."""
    from scipy.optimize import minimize
    from scipy.stats import CensoredData, weibull_min

    data = CensoredData.right_censored(times, status == 0)

    def tight(func, start, args=(), disp=0):
        return minimize(func, start, args=args, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x

    shape, _, scale = weibull_min.fit(data, 1.0, floc=0, scale=times.mean(), optimizer=tight)
    ll = (
        weibull_min.logpdf(times[status == 1], shape, 0, scale).sum()
        + weibull_min.logsf(times[status == 0], shape, 0, scale).sum()
    )
    return float(shape), float(scale), float(ll)


def kaplan_meier(times: np.ndarray, status: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and survival of the Kaplan–Meier estimate (statsmodels), for the picture of the gap law."""
    from statsmodels.duration.survfunc import SurvfuncRight

    curve = SurvfuncRight(times, status)
    return curve.surv_times, curve.surv_prob
