"""Waiting times: the law of the longest gap, the gap that is still open, gap models with the last gap censored."""

from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import comb

import numpy as np
from scipy.special import gammainc, gammaincc

from analysis_lib.finding import Alternative, Finding
from analysis_lib.series import Series
from analysis_lib.shares import both_tails
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
    points = np.concatenate([[0], days[edge:], [series.observed.sum()]])
    return points[:-1], points[1:], edge


def longest_gap(series: Series, window: Window, alternative: Alternative = "less") -> Finding:
    """The longest gap that touches the window and lies not mostly before it, beside the law of the frame's longest gap.

    A gap whose middle is before the window is no pause in it and is left out. H0: given their number, the events are
    uniform on the frame; the p-value is for a gap at least this long *anywhere*, which pays for having looked for it.
    `alternative` is the claim's (less = fewer events = a longer gap). Misleads when events come in salvos: then long
    gaps are common without any pause.
    """
    (start, end, edge), inside, exposure = spacings(series), series.clock(window), int(series.observed.sum())
    n = len(start) - 1
    found = Finding("longest_gap", "law of the longest of n + 1 uniform spacings", n=n, exposure=exposure)
    if inside.size == 0 or n == 0:
        return replace(found, reason="no event in the frame" if inside.size else "no observed day in the window")
    touching = (start <= inside[-1]) & ((start + end) / 2 >= inside[0])
    if not touching.any():
        return replace(found, reason="the gap that holds the window lies mostly before it")
    gap = float((end - start)[touching].max())
    p = longest_gap_p(n, gap, exposure)
    p, side = (p, "greater") if alternative == "less" else (1 - p, "less")  # fewer events, longer gaps
    return replace(found, estimate=gap, null_value=longest_gap_mean(n, exposure), p_value=p, alternative=side,
                   notes=("the first event lies on the frame's edge and counts as the edge",) * edge)  # fmt: skip


def scan(series: Series, window: Window, *, seed: int = 0, draws: int = 9999) -> Finding:
    """The window's count beside the fullest window of its length anywhere in the frame: the scan statistic.

    H0: given their number, the events are uniform on the frame's watched days; p is the chance that *some* window of
    so many days holds at least the observed count, by `draws` random histories, add-one: it pays for having noticed
    the busy spell. Naus 1965, doi 10.1080/01621459.1965.10480810. Misleads when events come in salvos: then some
    window is always full.
    """
    x1, length, x0, t0 = series.split(window)
    n, total = x1 + x0, length + t0
    found = Finding("scan", "fullest window of this length, events uniform on the frame", alternative="greater", n=n,
                    exposure=total)  # fmt: skip
    if not n or not length:
        return replace(found, reason="no event in the frame" if length else "no observed day in the window")
    days = np.sort(np.random.default_rng(seed).integers(0, total, (draws, n)), axis=1)
    # one row after the other on one axis, further apart than a window reaches
    flat = (days + (total + length) * np.arange(draws)[:, None]).ravel()
    most = (np.searchsorted(flat, flat + length) - np.arange(flat.size)).reshape(draws, n).max(axis=1)
    return replace(found, estimate=float(x1), null_value=float(most.mean()), seed=seed, draws=draws,
                   p_value=(1 + int((most >= x1).sum())) / (draws + 1), attainable_p=1 / (draws + 1))  # fmt: skip


def running_gap(series: Series, window: Window, alternative: Alternative = "less", alpha: float = 0.05) -> Finding:
    """Rate in a gap that is still open at the end of `window`, divided by the rate before it.

    With k completed gaps of total length s and an open gap of g days, H0 (one exponential law) gives
    P(next gap >= g) = (s / (s + g))^k, exact with the rate unknown. The gap is right-censored: its length at the
    window's end is used, never its final length. `attainable_p` takes k gaps of one day each in this frame; `power` is
    at a full stop after the last event, for this open gap and Gamma(k) completed ones. Misleads because a text on a gap
    is written while the gap is long: the p-value does not pay for that. It is the F law of a ratio of
    exponential waiting times: Cox and Lewis 1966, The Statistical Analysis of Series of Events.
    """
    n = int(series.event_days.size)
    found = Finding("running_gap", "exact law of an open gap after completed ones", alternative=alternative, n=n)
    if not n or not series.clock(window).size:
        return replace(found, reason="no observed day in the window" if n else "no event in the frame")
    k, s, g = open_gap(series, window)
    span = s + g
    found = replace(found, attainable_p=float(running_gap_p(k, min(k, span), max(span - k, 0))), exposure=span)
    if k == 0 or g <= 0:
        reason = "an event on the last day: no gap is open" if k else "no completed gap before the open one"
        return replace(found, p_value=1.0, p_two_sided=1.0, reason=reason)
    p, power = float(running_gap_p(k, s, g)), float(running_gap_power(k, s, g, alpha, 0.0))
    high, limit = ((s / g) * (tail ** (-1 / k) - 1) for tail in (0.025, 0.05))
    return replace(found, estimate=0.0, low=0.0, high=high, limit_low=0.0, limit_high=limit, power=power,
                   **both_tails(p, 1 - p, alternative),
                   notes=(f"{k} completed gaps of {s:g} days in all, then {g:g} days without an event",))  # fmt: skip


def open_gap(series: Series, window: Window) -> tuple[int, float, float]:
    """Completed gaps, their total length and the length of the gap open on the window's last watched day, in days.

    An event on the frame's first day is the edge of the first gap.
    """
    events = series.event_days
    return int(events.size - (events[0] == 0)), float(events[-1]), float(series.clock(window)[-1] - events[-1])


def running_gap_power(k: int, s: float, g: float, alpha: float, ratios: np.ndarray | float) -> np.ndarray:
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
    return np.divide(s, s + g, out=np.ones(k.shape), where=(k > 0) & (g > 0)) ** k


def gap_model(series: Series, window: Window) -> list[Finding]:
    """Exponential and Weibull models of the waiting times, the last one censored at the window's end.

    Gaps between *days* with an event, so that salvos give no zero gap. `weibull_shape` tests shape = 1 (likelihood
    ratio): below 1 events cluster and long gaps are common. `gap_exceedance` is P(a gap lasts at least as long as the
    open one) under the exponential model; `length_biased_gap` is the same for the gap that runs on a random day, whose
    mean is twice the mean gap (Cox 1962, Renewal Theory). Misleads where the rate drifts: that too looks like clusters.
    """
    last, days = series.clock(window).max(initial=-1), np.unique(series.event_days)
    days = days[days <= last]
    if days.size < 3:
        cells = {"n": days.size, "reason": "fewer than two completed gaps before the window's end"}
        names = ("weibull_shape", "gap_exceedance", "length_biased_gap")
        return [Finding(name, "waiting-time model", **cells) for name in names]
    gaps, waiting = np.diff(days), float(last - days[-1])
    times = np.append(gaps, [waiting] if waiting else []).astype(float)
    status = (np.arange(times.size) < gaps.size).astype(float)
    (rate, ll_exp), (at, survival) = exponential(times, status), kaplan_meier(times, status)
    counts = {"n": gaps.size, "exposure": float(times.sum())}
    shape = Finding("weibull_shape", "Weibull model of gaps between attack days, the open gap censored", **counts)
    if np.ptp(gaps) == 0 and waiting <= gaps[0]:
        shape = replace(shape, reason="all gaps are equal: the shape has no finite estimate")
    else:
        estimate, scale, ll = weibull(times, status)
        p = float(gammaincc(0.5, max(0.0, ll - ll_exp)))
        shape = replace(shape, estimate=estimate, p_value=p, notes=(f"scale {scale:.3g} days",))
    km, longer = survival[at < waiting].min(initial=1.0), float(np.exp(-rate * waiting))
    return [
        shape,
        Finding("gap_exceedance", "P(gap >= the open gap), exponential model", estimate=longer,
                notes=(f"open gap {waiting:g} days", f"by Kaplan–Meier {km:.3g}"), **counts),
        Finding("length_biased_gap", "P(the gap running on a random day is at least this long), exponential model",
                estimate=(1 + rate * waiting) * longer, **counts),
    ]  # fmt: skip


def exponential(times: np.ndarray, status: np.ndarray) -> tuple[float, float]:
    """Maximum likelihood rate and log likelihood; `status` 1 = event, 0 = censored, shapes (n,)."""
    rate = status.sum() / times.sum()
    return float(rate), float(status.sum() * np.log(rate) - rate * times.sum())


def weibull(times: np.ndarray, status: np.ndarray) -> tuple[float, float, float]:
    """Maximum likelihood shape, scale and log likelihood of S(t) = exp(-(t / scale)^shape), right-censored (scipy)."""
    from scipy.optimize import fmin
    from scipy.stats import CensoredData, weibull_min

    data, tight = CensoredData.right_censored(times, status == 0), partial(fmin, xtol=1e-8, ftol=1e-10)
    shape, _, scale = weibull_min.fit(data, 1.0, floc=0, scale=times.mean(), optimizer=tight)
    law = weibull_min(shape, scale=scale)
    return float(shape), float(scale), float(np.where(status == 1, law.logpdf(times), law.logsf(times)).sum())


def kaplan_meier(times: np.ndarray, status: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and survival of the Kaplan–Meier estimate (statsmodels)."""
    from statsmodels.duration.survfunc import SurvfuncRight

    curve = SurvfuncRight(times, status)
    return curve.surv_times, curve.surv_prob
