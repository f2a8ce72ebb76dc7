"""Escalation: the designs of growth, shrinking gaps, one break in a rate, and a share that rises beside a total."""

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from analysis_lib import rates, regression, sensitivity, shares, trends
from analysis_lib.claims import Rule, Spec
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.series import Series, exposure, filters, select, series_of
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window


@dataclass(frozen=True)
class Sample:
    """The population's rows, the frame's series, the window of a break, and the attacks of the frame on a clock.

    `watched`, datetime64[D], are the watched days: the clock counts them. `days`, int (n,), are the attacks' places on
    it, in order, and `drone` is 1 where one of them has a drone, else 0. `tested` is the series that tests of a rise
    see: for a progress curve, which starts with an event, from that on. `breaks` counts the watched days before each
    watched day of the window, none of them 0.
    """

    rows: pd.DataFrame
    series: Series
    tested: Series
    frame: Window
    window: Window | None
    watched: np.ndarray
    days: np.ndarray
    drone: np.ndarray
    breaks: np.ndarray | None

    @cached_property
    def ratios(self) -> np.ndarray:
        """Likelihood ratios of one break after 1, 2, … watched days, negative where the rate falls: (watched - 1,)."""
        total = self.watched.size
        return trends.break_statistics(self.days[None], np.arange(1, total), total)[0][0]

    def clock(self, dates: np.ndarray) -> np.ndarray:
        """Place of dates on the clock, NaN for dates that do not count."""
        return np.where(self.series.positions(dates)[1], np.searchsorted(self.watched, dates), np.nan)

    def halves(self, drone: int | None = None) -> tuple[int, int, int, int]:
        """Events and watched days of the frame's second half, then of its first; with a drone (1), without (0)."""
        days = self.days if drone is None else self.days[self.drone == drone]
        return self.split(days, (self.watched.size + 1) // 2)

    def split(self, days: np.ndarray, at: int) -> tuple[int, int, int, int]:
        """Events and watched days from the place `at` of the clock on, then before it."""
        before = int((days < at).sum())
        return days.size - before, self.watched.size - at, before, at


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample with what was known on `as_of`; InputMissing: not yet observed, BadInput: no row, too few days."""
    known, frame, has_window = tables.as_of(as_of), spec.frame.until(as_of), spec.test == "change_point"
    window = spec.window.until(as_of) if has_window else None
    if frame is None or (has_window and window is None):
        raise InputMissing(f"not yet observed: frame or window starts after {as_of}")
    rows = select(known.events, spec)
    if rows.empty and select(tables.events, spec).empty:
        raise BadInput(f"no row of events.csv matches {filters(spec)}; allowed: filters that some row passes")
    dates = rows["date"].to_numpy().astype("datetime64[D]")
    series = series_of(dates, exposure(known.coverage, spec, frame), frame)
    tested = trends.from_first_use(series) if spec.test == "progress_curve" else series
    counted = series.positions(dates)[1]
    drone = rows["weapons"][counted].str.contains("drone").to_numpy(dtype=float)
    watched = series.days[series.observed]
    breaks = np.unique(np.maximum(np.flatnonzero(window.mask(watched)), 1)) if window else None
    if watched.size < 2 * trends.BLOCK or (window and not breaks.size):
        raise BadInput(f"{frame}: too few watched days; allowed: 28 in coverage.csv, one in the window; move the dates")
    return Sample(rows, series, tested, frame, window, watched, series.event_days, drone, breaks)


# ---- a rise: growth, gaps, one break ---------------------------------------------------------------------------------


def _trend(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return trends.trend(sample.series, rule.claimed_effect, rule.alpha)


def _progress(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return trends.progress_curve(sample.days, rule.claimed_effect, rule.alpha, seed=seed, draws=spec.draws)


def _break(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Rate from the window's likeliest day on over the rate before; the p pays for every day of the frame."""
    days, total, breaks = sample.days, sample.watched.size, sample.breaks
    method = "one break in a Poisson rate, likelihood ratio beside the best day of as many uniform events"
    if days.size < 2:
        return trends.of_z("change_point", method, 0.0, days.size, 2)
    t0 = int(breaks[sample.ratios[breaks - 1].argmax()])
    found, all_last = rates.rate_ratio(*sample.split(days, t0), "greater"), np.full(days.size, total - 1)
    p, best = trends.break_p(np.vstack([days, all_last]), breaks, total, seed, spec.draws)
    [fall] = trends.break_p(total - 1 - days[None], total - breaks, total, seed, spec.draws)  # time backwards
    return replace(found, quantity="change_point", method=method, reason="", p_value=p, attainable_p=best, seed=seed,
                   p_two_sided=min(1.0, 2 * min(p, fall)), draws=spec.draws,
                   notes=(f"likeliest day of the window {sample.watched[t0]}", *found.notes))  # fmt: skip


def _break_places(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    """Largest likelihood ratio of a rise in every window with as many watched days as the claim's, its own included."""
    own = sample.breaks
    every = np.lib.stride_tricks.sliding_window_view(sample.ratios, own.size).max(axis=1)
    return Null(every, sample.ratios[own - 1].max(), f"likelihood ratio of a rise, best of {own.size} days")


def _places(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    null, method = _break_places(sample, spec, rule, seed), "windows of this length at every place of the frame, exact"
    # of all places, every window that holds the best day ties with it
    best = sample.breaks.size / null.values.size
    return null.finding("placebo_breaks", method, own=0, attainable_p=best, null_value=null.values.mean())


def _joint_null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null | None:
    which, values = 2 * (spec.test == "progress_curve"), trends.joint_null(sample.tested, seed, spec.draws)
    label = f"largest of U, beta and b on random attack days, standard units (line: {trends.JOINT[which].split()[-1]})"
    return None if values is None else Null(values[1:].max(axis=1), values[0, which], label)


def _joint(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """The claim's statistic beside the largest of three on random attack days, single step (Westfall, Young 1993)."""
    which, values = 2 * (spec.test == "progress_curve"), trends.joint_null(sample.tested, seed, spec.draws)
    method = f"{trends.JOINT[which]} beside the largest of three statistics on random attack days"
    cells = {"n": np.unique(sample.days).size, "seed": seed, "draws": spec.draws}
    if values is None:
        return trends.of_z("joint_null", method, np.nan, cells["n"], 5)
    found = [Null(values[1:].max(axis=1), own, "").finding("joint_null", method, **cells) for own in values[0]]
    two = (1 + (np.abs(values[1:]).max(axis=1) >= abs(values[0, which]) - 1e-9).sum()) / (spec.draws + 1)
    notes = ("; ".join(f"{name}: p = {f.p_value:.3g}" for name, f in zip(trends.JOINT, found, strict=True)),)
    return replace(found[which], p_two_sided=two, notes=notes)


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    """Power of the Laplace test, of the progress curve by the law of b; none for a break, whose claim has no size."""
    if spec.test == "trend":
        times, span = trends.inner(sample.series)
        return trends.trend_power(times.size, span, effects, rule.alpha)
    gaps = np.unique(sample.days).size - 1
    if spec.test == "change_point" or gaps < 2:
        return None
    null = trends.exponent_null(gaps, 0, spec.draws)
    return 1 - np.searchsorted(null, np.quantile(null, 1 - rule.alpha) - effects) / null.size


# ---- a share that rises, and a total that stays ----------------------------------------------------------------------


def _share(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Rise of the drone share over the frame, a straight line through the days."""
    drone, days, span, gaps = sample.drone, sample.days, sample.watched.size - 1, np.linspace(0.01, 1, 100)
    method = "Cochran–Armitage test over days, straight line, robust interval"
    power = _share_power(sample, spec, rule, gaps)
    if power is None:
        return trends.of_z("share_rise", method, np.nan, drone.size, 3)
    z, slope, error = trends.armitage(drone, days)
    return trends.of_z("share_rise", method, z, drone.size, 3, estimate=slope * span, exposure=span + 1,
                       **trends.at_ends(np.clip((slope + error * trends.ENDS) * span, -1, 1)),
                       attainable_p=ndtr(-trends.armitage(np.sort(drone), days)[0]),
                       power=np.interp(rule.claimed_effect, gaps, power) if rule.claimed_effect else None,
                       mde=np.interp(0.8, power, gaps) if power[-1] >= 0.8 else None,
                       notes=(f"{drone.sum():.0f} of {drone.size} attacks with a drone",))  # fmt: skip


def _share_power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    """Power at each rise of the share, by the normal law with the variance of no rise; None without both kinds."""
    drone, days = sample.drone, sample.days
    if np.unique(drone).size < 2 or np.unique(days).size < 2:
        return None
    root = days.std() / drone.std() * np.sqrt(days.size) / (sample.watched.size - 1)
    return ndtr(effects * root - ndtri(1 - rule.alpha))


def _order_null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null | None:
    """Slope of the drone share with the attack days in random order, the attacks of a day together."""
    days, place, n = np.unique(sample.days, return_inverse=True, return_counts=True)
    if days.size < 5 or np.ptp(sample.drone) == 0:
        return None
    order = np.argsort(np.random.default_rng(seed).random((spec.draws, days.size)), axis=1)
    t = days[np.vstack([np.arange(days.size), order])]
    t = t - (t @ n / n.sum())[:, None]
    slopes = t @ np.bincount(place, sample.drone) / (t**2 @ n)
    return Null(slopes[1:], slopes[0], "rise of the drone share a day, attack days in random order")


def _permutation(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    null, name = _order_null(sample, spec, rule, seed), "day_permutation"
    method = "slope of the drone share, attack days exchanged"
    if null is None:
        return trends.of_z(name, method, np.nan, np.unique(sample.days).size, 5)
    return null.finding(name, method, null_value=null.values.mean(), seed=seed, draws=spec.draws)


def _monthly_shares(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    months = sample.watched[sample.days].astype("datetime64[M]")
    _, place, attacks = np.unique(months, return_inverse=True, return_counts=True)
    return trends.mann_kendall(np.bincount(place, sample.drone) / attacks, "drone shares of months with an attack")


def _share_halves(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    (x1, _, x0, _), (n1, _, n0, _) = sample.halves(1), sample.halves()
    return replace(shares.share_difference(x1, n1, x0, n0), quantity="share_halves")


def _total(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Is the total the same in both halves? Two one-sided exact tests against the margin (Schuirmann 1987)."""
    x1, t1, x0, t0 = sample.halves()
    shares = [ratio * t1 / (ratio * t1 + t0) for ratio in (1 / rule.margin, 1.0, rule.margin)]
    less, greater = rates.conditional_p(np.arange(x1 + x0 + 1), x1 + x0, np.array(shares)[:, None])
    p, chance = np.maximum(less[2], greater[0]), np.diff(less[1], prepend=0.0)
    method = f"rate in the second half over the first, two one-sided tests against a factor of {rule.margin:g}"
    return [replace(rates.rate_ratio(x1, t1, x0, t0, "two-sided"), quantity="total_ratio", role="joint", method=method,
                    p_value=p[x1], p_two_sided=None, attainable_p=p.min(),
                    power=chance[p <= rule.alpha].sum())]  # fmt: skip


# ---- what every design has -------------------------------------------------------------------------------------------


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any single event, with dates moved within their precision, and the rival that would look the same."""
    total, draws = sample.watched.size, spec.draws

    def p_values_of(kept: np.ndarray) -> sensitivity.PValues:
        drone = sample.rows["weapons"][kept].str.contains("drone").to_numpy(dtype=float)
        p = {
            "trend": lambda clock: ndtr(-trends.laplace(trends.inner_times(clock, total - 2), total - 2)),
            "progress_curve": lambda clock: trends.progress_p(clock, seed, draws)[0],
            "change_point": lambda clock: trends.break_p(clock, sample.breaks, total, seed, draws),
            "joint_share_total": lambda clock: ndtr(-trends.armitage(drone, clock)[0]),
        }[spec.test]
        return lambda dates: np.nan_to_num(p(sample.clock(dates)), nan=1.0)

    found = sensitivity.events_and_dates(p_values_of, sample, "greater", seed=seed, draws=draws)
    if spec.test == "trend":
        found.append(replace(trends.trend(trends.from_first_use(sample.series)), quantity="growth_from_first_use",
                             role="rival", method="a first use with no growth after it"))  # fmt: skip
    if spec.test == "joint_share_total":
        found.append(replace(rates.rate_ratio(*sample.halves(0), "less"), quantity="ratio_without_drones", role="rival",
                             method="drones that came on top of other attacks, which did not fall"))  # fmt: skip
    return found


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Shown, not counted: the likeliest break of the frame, drones by half, the power law behind b, Poisson checks."""
    found, days = [], sample.days
    if days.size:
        ratio, breaks = np.abs(sample.ratios), sample.watched[1:]
        best, near = breaks[ratio.argmax()], breaks[ratio >= ratio.max() - regression.CHI2_95]
        found.append(Finding("likeliest_break", f"one break in a Poisson rate, {best}", estimate=ratio.max(),
                             notes=(f"likelihood ratio; 95 % set within {near[0]} to {near[-1]}",), null_value=0.0,
                             n=days.size))  # fmt: skip
    if spec.test == "joint_share_total":
        found.append(replace(rates.rate_ratio(*sample.halves(1), "greater"), quantity="ratio_of_drones"))
    if spec.test == "progress_curve" and days.size > 1:
        beta = trends.crow_amsaa(sample.tested)
        b, low, high = (None if v is None else 1 - 1 / v for v in (beta.estimate, beta.low, beta.high))
        found.append(replace(beta, quantity="progress_power_law", estimate=b, low=low, high=high, null_value=0.0,
                             method="b = 1 - 1 / beta of the power-law process from the first use on"))  # fmt: skip
    return [*found, *regression.dispersion(sample.series)]


_RISES = {
    "trend": lambda sample, *_: trends.trend(sample.tested),
    "crow_amsaa": lambda sample, *_: trends.crow_amsaa(sample.tested),
    "lewis_robinson": lambda sample, *_: trends.lewis_robinson(sample.tested),
    "mann_kendall": lambda sample, *_: trends.mann_kendall(trends.block_counts(sample.tested), "14-day counts"),
    "nb_slope": lambda sample, *_: regression.nb_slope(sample.tested),
}
_SHARES = {"share_halves": _share_halves, "day_permutation": _permutation, "mann_kendall": _monthly_shares}
_REST = (_sensitivity, _shown)
DESIGNS = {
    "trend": Design(take_sample, _trend, _joint, _RISES, *_REST, _joint_null, _power),
    "progress_curve": Design(take_sample, _progress, _joint, _RISES, *_REST, _joint_null, _power),
    "change_point": Design(take_sample, _break, _places, _RISES, *_REST, _break_places, _power),
    "joint_share_total": Design(take_sample, _share, _permutation, _SHARES, *_REST, _order_null, _share_power, _total),
}
