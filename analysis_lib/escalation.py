"""Escalation: the designs of growth, shrinking gaps, one break in a rate, and a share that rises beside a total."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from analysis_lib import trends
from analysis_lib.claims import Rule, Spec
from analysis_lib.design import Design, Null, Test
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.rates import conditional_p, rate_ratio
from analysis_lib.regression import CHI2_95, dispersion, nb_slope
from analysis_lib.sensitivity import PValues, events_and_dates
from analysis_lib.series import Series, exposure, filters, select, series_of
from analysis_lib.shares import share_difference
from analysis_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from analysis_lib.sources.bundled import Tables


@dataclass(frozen=True)
class Sample:
    """The population's rows, their dates, 1 where a row lists a drone, the frame's series, the window of a break.

    `tested` is the series that tests of a rise see: for a progress curve, which starts with an event, from that on.
    """

    rows: pd.DataFrame
    dates: np.ndarray
    drone: np.ndarray
    series: Series
    tested: Series
    frame: Window
    window: Window | None

    @property
    def watched(self) -> np.ndarray:
        """The frame's watched days, datetime64[D]: the clock counts them."""
        return self.series.days[self.series.observed]

    @property
    def breaks(self) -> np.ndarray:
        """Watched days before each watched day of the window, none of them 0."""
        return np.unique(np.maximum(np.flatnonzero(self.window.mask(self.watched)), 1))

    def clock(self, dates: np.ndarray) -> np.ndarray:
        """Place of dates on the clock, NaN for dates that do not count."""
        return np.where(self.series.positions(dates)[1], np.searchsorted(self.watched, dates), np.nan)

    def halves(self, drone: int | None = None) -> tuple[int, int, int, int]:
        """Events and watched days of the frame's second half, then of its first; with a drone (1), without (0)."""
        dates = self.dates if drone is None else self.dates[self.drone == drone]
        second = Window(self.watched[(self.watched.size + 1) // 2].item(), self.frame.end)
        return series_of(dates, self.series.observed, self.frame).split(second)


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample with what was known on `as_of`; InputMissing: not yet observed, BadInput: no row, too few days."""
    known, frame = tables.as_of(as_of), spec.frame.until(as_of)
    window = spec.window.until(as_of) if spec.test == "change_point" else None
    if frame is None or (spec.test == "change_point" and window is None):
        raise InputMissing(f"not yet observed: frame or window starts after {as_of}")
    if select(tables.events, spec).empty:
        raise BadInput(f"no row of events.csv matches {filters(spec)}; allowed: filters that some row passes")
    rows = select(known.events, spec)
    dates = rows["date"].to_numpy().astype("datetime64[D]")
    drone = np.array(["drone" in cell.split(";") for cell in rows["weapons"]], dtype=float)
    series = series_of(dates, exposure(known.coverage, spec, frame), frame)
    tested = trends.from_first_use(series) if spec.test == "progress_curve" else series
    sample = Sample(rows, dates, drone, series, tested, frame, window)
    if sample.watched.size < 2 * trends.BLOCK or (window and not sample.breaks.size):
        raise BadInput(f"{frame}: too few watched days; allowed: 28 in coverage.csv, one in the window; move the dates")
    return sample


def _trend(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return trends.trend(sample.series, rule.claimed_effect, rule.alpha)


def _progress(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return trends.progress_curve(sample.series.event_days, rule.claimed_effect, rule.alpha, seed=seed, draws=spec.draws)


def _break(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Rate from the window's likeliest day on over the rate before; the p pays for every day of the frame."""
    days, total, breaks = sample.series.event_days, sample.watched.size, sample.breaks
    method = "one break in a Poisson rate, likelihood ratio beside the best day of as many uniform events"
    if days.size < 2:
        return trends.of_z("change_point", method, 0.0, days.size, 2)
    t0 = int(breaks[np.argmax(trends.break_statistics(days[None], breaks, total)[0])])
    found = rate_ratio(int((days >= t0).sum()), total - t0, int((days < t0).sum()), t0, "greater")
    all_last = np.full(days.size, total - 1)
    p, best = trends.break_p(np.vstack([days, all_last]), breaks, total, seed, spec.draws).tolist()
    return replace(found, quantity="change_point", method=method, reason="", p_value=p, seed=seed, draws=spec.draws,
                   p_two_sided=min(1.0, 2 * min(p, 1 - p)), attainable_p=best,
                   notes=(f"likeliest day of the window {sample.watched[t0]}", *found.notes))  # fmt: skip


def _share(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Rise of the drone share over the frame, a straight line through the days."""
    (drone, day, span), method = _attacks(sample), "Cochran–Armitage test over days, straight line, robust interval"
    gaps = np.linspace(0.01, 1, 100)
    power = _share_power(sample, spec, rule, gaps)
    if power is None:
        return trends.of_z("share_rise", method, np.nan, drone.size, 3)
    z, slope, error = trends.armitage(drone, day)
    low, high, limit_low, limit_high = (float(np.clip((slope + error * q) * span, -1, 1)) for q in trends.ENDS)
    return trends.of_z(
        "share_rise", method, float(z), drone.size, 3, estimate=float(slope * span), low=low, high=high, null_value=0.0,
        limit_low=limit_low, limit_high=limit_high, exposure=float(sample.watched.size),
        attainable_p=float(ndtr(-trends.armitage(np.sort(drone), day)[0])),
        power=float(np.interp(rule.claimed_effect, gaps, power)) if rule.claimed_effect else None,
        mde=float(np.interp(0.8, power, gaps)) if power[-1] >= 0.8 else None,
        notes=(f"{drone.sum():.0f} of {drone.size} attacks with a drone",),
    )  # fmt: skip


def _attacks(sample: Sample) -> tuple[np.ndarray, np.ndarray, int]:
    """Drone (1 or 0) and day on the clock of each attack of the frame, and days from the frame's first to its last."""
    day = sample.clock(sample.dates)
    return sample.drone[np.isfinite(day)], day[np.isfinite(day)], sample.watched.size - 1


def _share_power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    """Power at each rise of the share, by the normal law with the variance of no rise; None without both kinds."""
    drone, day, span = _attacks(sample)
    if np.unique(drone).size < 2 or np.unique(day).size < 2:
        return None
    root = np.sqrt(((day - day.mean()) ** 2).sum() / (drone.mean() * (1 - drone.mean()))) / span
    return ndtr(effects * root - ndtri(1 - rule.alpha))


def _monthly_shares(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    drone, day, _ = _attacks(sample)
    _, place = np.unique(sample.watched[day.astype(int)].astype("datetime64[M]"), return_inverse=True)
    return trends.mann_kendall(np.bincount(place, drone) / np.bincount(place), "drone shares of months with an attack")


def _share_halves(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    (x1, _, x0, _), (n1, _, n0, _) = sample.halves(1), sample.halves()
    return replace(share_difference(x1, n1, x0, n0), quantity="share_halves")


def _total(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Is the total the same in both halves? Two one-sided exact tests against the margin (Schuirmann 1987)."""
    x1, t1, x0, t0 = sample.halves()
    n, k = x1 + x0, np.arange(x1 + x0 + 1)
    high, same, low = (ratio * t1 / (ratio * t1 + t0) for ratio in (rule.margin, 1.0, 1 / rule.margin))
    p = np.maximum(conditional_p(k, n, high)[0], conditional_p(k, n, low)[1])
    chance = np.diff(conditional_p(k, n, same)[0], prepend=0.0)
    method = f"rate in the second half over the first, two one-sided tests against a factor of {rule.margin:g}"
    return [replace(rate_ratio(x1, t1, x0, t0, "two-sided"), quantity="total_ratio", role="joint", method=method,
                    p_value=float(p[x1]), p_two_sided=None, attainable_p=float(p.min()),
                    power=float(chance[p <= rule.alpha].sum()))]  # fmt: skip


def _joint_null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null | None:
    which, values = 2 * (spec.test == "progress_curve"), trends.joint_null(sample.tested, seed, spec.draws)
    label = f"largest of U, beta and b on random attack days, standard units (line: {trends.JOINT[which].split()[-1]})"
    return None if values is None else Null(values[1:].max(axis=1), float(values[0, which]), label)


def _joint(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """The claim's statistic beside the largest of three on random attack days, single step (Westfall, Young 1993)."""
    which, values = 2 * (spec.test == "progress_curve"), trends.joint_null(sample.tested, seed, spec.draws)
    n, size = np.unique(sample.series.event_days).size, spec.draws + 1
    method = f"{trends.JOINT[which]} beside the largest of three statistics on random attack days"
    if values is None:
        return trends.of_z("joint_null", method, np.nan, n, 5)
    own, null = values[0], values[1:] + 1e-9
    p = (1 + (null.max(axis=1)[:, None] >= own).sum(axis=0)) / size
    two = (1 + (np.abs(null).max(axis=1) >= abs(own[which])).sum()) / size
    notes = ("; ".join(f"{name}: p = {q:.3g}" for name, q in zip(trends.JOINT, p, strict=True)),)
    return Finding("joint_null", method, estimate=float(own[which]), p_value=float(p[which]), p_two_sided=float(two),
                   attainable_p=1 / size, alternative="greater", null_value=0.0, n=n, seed=seed, draws=spec.draws,
                   notes=notes)  # fmt: skip


def _break_places(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    """Largest likelihood ratio of a rise in every window with as many watched days as the claim's, its own included."""
    days, total, own = sample.series.event_days, sample.watched.size, sample.breaks
    values = trends.break_statistics(days[None], np.append(own, np.arange(1, total)), total)[0][0]
    every = np.lib.stride_tricks.sliding_window_view(values[own.size :], own.size).max(axis=1)
    return Null(every, float(values[: own.size].max()), f"likelihood ratio of a rise, best of {own.size} days")


def _permuted_days(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null | None:
    """Slope of the drone share with the attack days in random order, the attacks of a day together."""
    drone, day, _ = _attacks(sample)
    days, place = np.unique(day, return_inverse=True)
    if days.size < 5 or np.ptp(drone) == 0:
        return None
    n, x = np.bincount(place), np.bincount(place, drone)
    order = np.argsort(np.random.default_rng(seed).random((spec.draws, days.size)), axis=1)
    t = days[np.vstack([np.arange(days.size), order])]
    t -= (t @ n / n.sum())[:, None]
    slopes = t @ x / (t**2 @ n)
    return Null(slopes[1:], float(slopes[0]), "rise of the drone share a day, attack days in random order")


def _beside(quantity: str, method: str, null_of: Callable[..., Null | None], own: int) -> Test:
    """The test that reads a null: add-one for drawn values (`own` 1), exact where it lists every place (`own` 0)."""

    def test(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
        null = null_of(sample, spec, rule, seed)
        if null is None:
            return trends.of_z(quantity, method, np.nan, np.unique(sample.series.event_days).size, 5)
        size = null.values.size + own
        p, less = ((own + (side * (null.values - null.observed) >= -1e-9).sum()) / size for side in (1, -1))
        # of all places, every window that holds the best day ties with it
        best, drawn = (1, {"seed": seed, "draws": spec.draws}) if own else (sample.breaks.size, {})
        return Finding(quantity, method, estimate=null.observed, null_value=float(null.values.mean()), p_value=float(p),
                       p_two_sided=float(min(1.0, 2 * min(p, less))), attainable_p=best / size, n=null.values.size,
                       alternative="greater", **drawn)  # fmt: skip

    return test


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any single event, with dates moved within their precision, and the rival that would look the same."""

    def p_values_of(kept: np.ndarray) -> PValues:
        total, draws, drone = sample.watched.size, spec.draws, sample.drone[kept]
        p = {
            "trend": lambda clock: ndtr(-trends.laplace(trends.inner_times(clock, total - 2), total - 2)),
            "progress_curve": lambda clock: trends.progress_p(clock, seed, draws)[0],
            "change_point": lambda clock: trends.break_p(clock, sample.breaks, total, seed, draws),
            "joint_share_total": lambda clock: ndtr(-trends.armitage(drone, clock)[0]),
        }[spec.test]
        return lambda dates: np.nan_to_num(p(sample.clock(dates)), nan=1.0)

    found = events_and_dates(p_values_of, sample.rows, sample.frame, "greater", seed=seed, draws=spec.draws)
    if spec.test == "trend":
        found.append(replace(trends.trend(trends.from_first_use(sample.series)), quantity="growth_from_first_use",
                             role="rival", method="a first use with no growth after it"))  # fmt: skip
    if spec.test == "joint_share_total":
        found.append(replace(rate_ratio(*sample.halves(0), "less"), quantity="ratio_without_drones", role="rival",
                             method="drones that came on top of other attacks, which did not fall"))  # fmt: skip
    return found


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Shown, not counted: the likeliest break of the frame, drones by half, the power law behind b, Poisson checks."""
    days, total, found = sample.series.event_days, sample.watched.size, dispersion(sample.series)
    if spec.test == "joint_share_total":
        found.insert(0, replace(rate_ratio(*sample.halves(1), "greater"), quantity="ratio_of_drones"))
    if spec.test == "progress_curve" and days.size > 1:
        beta = trends.crow_amsaa(sample.tested)
        b, low, high = (None if v is None else 1 - 1 / v for v in (beta.estimate, beta.low, beta.high))
        found.insert(0, replace(beta, quantity="progress_power_law", estimate=b, low=low, high=high, null_value=0.0,
                                method="b = 1 - 1 / beta of the power-law process from the first use on"))  # fmt: skip
    if days.size:
        ratio = np.abs(trends.break_statistics(days[None], np.arange(1, total), total)[0][0])
        near = sample.watched[1:][ratio >= ratio.max() - CHI2_95]
        found.insert(0, Finding("likeliest_break", f"one break in a Poisson rate, {sample.watched[1:][ratio.argmax()]}",
                                estimate=float(ratio.max()), null_value=0.0, n=days.size,
                                notes=(f"likelihood ratio; 95 % set within {near[0]} to {near[-1]}",)))  # fmt: skip
    return found


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    """Power of the Laplace test, of the progress curve by the law of b; none for a break, whose claim has no size."""
    if spec.test == "trend":
        times, span = trends.inner(sample.series)
        return trends.trend_power(times.size, span, effects, rule.alpha)
    n = np.unique(sample.series.event_days).size - 1
    if spec.test == "change_point" or n < 2:
        return None
    null = trends.exponent_null(n, 0, spec.draws)
    return 1 - np.searchsorted(null, np.quantile(null, 1 - rule.alpha) - effects) / null.size


_RISES = {
    name: lambda sample, *_, test=test: test(sample.tested)
    for name, test in (
        ("trend", trends.trend), ("crow_amsaa", trends.crow_amsaa), ("lewis_robinson", trends.lewis_robinson),
        ("mann_kendall", lambda series: trends.mann_kendall(trends.block_counts(series), "14-day counts")),
        ("nb_slope", nb_slope),
    )
}  # fmt: skip
_PLACES = _beside("placebo_breaks", "windows of this length at every place of the frame, exact", _break_places, own=0)
_DAYS = _beside("day_permutation", "slope of the drone share, attack days exchanged", _permuted_days, own=1)
_SHARES = {"share_halves": _share_halves, "day_permutation": _DAYS, "mann_kendall": _monthly_shares}
_REST = (_sensitivity, _shown)
DESIGNS = {
    "trend": Design(take_sample, _trend, _joint, _RISES, *_REST, _joint_null, _power),
    "progress_curve": Design(take_sample, _progress, _joint, _RISES, *_REST, _joint_null, _power),
    "change_point": Design(take_sample, _break, _PLACES, _RISES, *_REST, _break_places, _power),
    "joint_share_total": Design(take_sample, _share, _DAYS, _SHARES, *_REST, _permuted_days, _share_power, _total),
}
