"""Rates inside and outside a window: the sample of a pause or surge claim, its tests, its sensitivity."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial
from math import ceil, log

import numpy as np
import pandas as pd

from analysis_lib import gaps, placebo, rates, regression
from analysis_lib.claims import Rule, Spec
from analysis_lib.completeness import contrast
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.sensitivity import events_and_dates
from analysis_lib.series import Series, chosen_windows, exposure, filters, select, series_of
from analysis_lib.shares import one_of
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window


@dataclass(frozen=True)
class Sample:
    """What a test of two rates sees: the rows that count, the frame's series, the window, the placebo period."""

    rows: pd.DataFrame
    series: Series
    window: Window
    frame: Window
    reference: Series
    excluded: tuple[Window, ...]
    contrast: Callable[[], Finding]

    @cached_property
    def completeness(self) -> Finding:
        """How completely the window is seen beside the baseline: two lists matched, when it is first asked for."""
        return self.contrast()


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample of a specification, everything later than `as_of` unknown.

    Raises InputMissing where a table is missing or the window is not yet observed, BadInput where no row ever matches
    or no day of the window or of the baseline was watched.
    """
    known, window, frame = tables.as_of(as_of), spec.window.until(as_of), spec.frame.until(as_of)
    if window is None or frame is None:
        raise InputMissing(f"not yet observed: the window starts on {spec.window_start}, after {as_of}")
    rows = select(known.events, spec)
    if rows.empty and select(tables.events, spec).empty:
        allowed = "allowed: filters that some row passes; widen them"
        raise BadInput(f"no row of events.csv matches {filters(spec)}; {allowed}")
    period = (spec.placebo_period.until(as_of) if spec.placebo_start else None) or frame
    dates = rows["date"].to_numpy().astype("datetime64[D]")
    series, reference = (series_of(dates, exposure(known.coverage, spec, span), span) for span in (frame, period))
    _, t1, _, t0 = series.split(window)
    for name, days, span in (("window", t1, window), ("baseline", t0, frame)):
        if not days:
            raise BadInput(f"{name} {span}: no watched day; allowed: {covered(tables, spec)}; choose other dates")
    excluded = (window, *windows_of(known, spec))
    return Sample(rows, series, window, frame, reference, excluded, partial(contrast, known, spec, window, frame))


def windows_of(tables: Tables, spec: Spec) -> list[Window]:
    """Windows of windows.csv of the specification's kind and theatre; one without an end lasts as long as the data.

    None for a specification without a kind.
    """
    return chosen_windows(tables, [spec.window_kind], spec.window_theatre and [spec.window_theatre])


def covered(tables: Tables, spec: Spec) -> str:
    """The spans of coverage.csv that a specification's theatres have."""
    rows = tables.coverage[tables.coverage["theatre"].isin(spec.theatres) & (tables.coverage["level"] != "sample")]
    if rows.empty:
        return "nothing: coverage.csv has no usable interval for these theatres"
    first, last = rows["start"].min(), rows["end"].max()
    return f"days from {first:%Y-%m-%d} to {last:%Y-%m-%d} inside an interval of coverage.csv"


# ---- tests: (sample, spec, rule, seed) → Finding ---------------------------------------------------------------------


def _rate_ratio(sample: Sample, spec: Spec, rule: Rule, seed: int, seen: float = 1) -> Finding:
    """The primary, where the window is seen `seen` times as completely as the baseline."""
    x1, t1, x0, t0 = sample.series.split(sample.window)
    found = rates.rate_ratio(x1, t1 * seen, x0, t0, rule.direction)
    return rates.with_power(found, x0, t1 * seen, t0, rule.claimed_effect, rule.alpha)


def _placebo(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return placebo.placebo_windows(sample.reference, sample.series, sample.window, sample.excluded, rule.direction,
                                   seed=seed, draws=spec.draws)  # fmt: skip


PRIMARY = {
    "rate_ratio": _rate_ratio,
    "running_gap": lambda s, spec, rule, seed: gaps.running_gap(s.series, s.window, rule.direction, rule.alpha),
}
ROBUSTNESS = {
    "nb_trend": lambda s, spec, rule, seed: regression.nb_window(s.series, s.window, rule.direction),
    "placebo_windows": _placebo,
    "longest_gap": lambda s, spec, rule, seed: gaps.longest_gap(s.series, s.window, rule.direction),
    "scan": lambda s, spec, rule, seed: gaps.scan(s.series, s.window, seed=seed, draws=spec.draws),
}


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Shown, not counted: mid-p, chance of an empty window, gap models, theta grid, Bayes, Poisson checks."""
    counts = x1, t1, x0, t0 = sample.series.split(sample.window)
    n, days, side, window = x1 + x0, t1 + t0, rule.direction, sample.window
    share, emptied = (t0 / days, "window") if side == "less" else (t1 / days, "baseline")  # of the days that are left
    expected, uncertain = n / days * t1, rates.predictive(rates.SHAPE, 0.0, x0, t0, t1)["none"]
    found = [
        Finding("mid_p", "exact conditional test, mid-p", p_value=one_of(*rates.mid_p(x1, n, t1 / days), side),
                alternative=side, n=n, exposure=days),
        replace(rates.poisson_rate(x0, t0), quantity="baseline_rate", notes=("events a day outside the window",)),
        Finding("expected_events", "events expected in the window at the frame's mean rate", estimate=expected, n=n,
                exposure=t1, notes=(f"P(none) = {rates.none_expected(expected):.3g}",
                                    f"Gamma–Poisson {uncertain:.3g}")),
        Finding("events_needed", f"events with which an empty {emptied} reaches alpha", n=n, exposure=days,
                estimate=float(ceil(log(rule.alpha) / log(share)))),
        regression.nb_window(sample.series, window, side, trend=False, interval=False),
        *regression.theta_grid(sample.series, window, side),
        *gaps.gap_model(sample.series, window),
        *regression.dispersion(sample.series),
        sample.completeness,
        *(rates.ratio_posterior(*counts, shape) for shape in (rates.SHAPE, *rates.OTHER_SHAPES)),
        *(rates.bayes_factors(*counts) if side == "less" else []),
    ]  # fmt: skip
    if spec.test == "rate_ratio" and side != "two-sided":
        found.append(rates.tipping_point(*counts, rule.alpha, side))
    if spec.test != "rate_ratio":
        note = "the window begins after an event by choice"
        found.insert(0, replace(_rate_ratio(sample, spec, rule, seed), notes=(note,)))
    return found


def _ends(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """The ratio where window over baseline is as complete as the bands allow at least and at most."""
    known = sample.completeness
    if spec.test != "rate_ratio" or not known.low or known.low == known.high:
        return []
    bands = {"rate_ratio_at_low_completeness": known.low, "rate_ratio_at_high_completeness": known.high}
    return [replace(_rate_ratio(sample, spec, rule, seed, c), quantity=q, role="band_end") for q, c in bands.items()]


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any single event, and with dates moved within their precision, rows just outside the frame among them."""
    series, inside = sample.series, sample.window.mask(sample.series.days)
    clock, spell = np.cumsum(series.observed) - 1, series.clock(sample.window)
    share, last = spell.size / series.observed.sum(), spell[-1]

    def p_values(dates: np.ndarray) -> np.ndarray:
        """The primary p of many sets of dates at once, shape (sets, events) → (sets,)."""
        position, valid = series.positions(dates)
        n = valid.sum(axis=1)
        if spec.test == "rate_ratio":
            return one_of(*rates.conditional_p((valid & inside[position]).sum(axis=1), n, share), rule.direction)
        at = np.where(valid, clock[position], -1)
        newest = at.max(axis=1)
        p = gaps.running_gap_p(n - (at == 0).any(axis=1), newest, last - newest)
        return one_of(p, 1 - p, rule.direction)

    return events_and_dates(lambda _: p_values, sample, rule.direction, seed=seed, draws=spec.draws)


def _null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null | None:
    x1, t1, _, _ = sample.series.split(sample.window)
    values = placebo.placebo_counts(sample.reference, t1, sample.excluded)
    return None if values.size < placebo.FEWEST else Null(values, x1, f"attacks in a window of {t1} days")


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    _, t1, x0, t0 = sample.series.split(sample.window)
    if x0 == 0:
        return None
    if spec.test == "running_gap":
        return gaps.running_gap_power(*gaps.open_gap(sample.series, sample.window), rule.alpha, effects)
    return np.array([rates.rate_power(e * x0 / t0 * t1, x0, t1, t0, rule.alpha, rule.direction) for e in effects])


DESIGNS = {
    name: Design(take_sample, primary, _placebo, ROBUSTNESS, _sensitivity, _shown, _null, _power, _ends)
    for name, primary in PRIMARY.items()
}
