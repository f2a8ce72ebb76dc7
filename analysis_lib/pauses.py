"""Rates inside and outside a window: the sample of a pause or surge claim, its tests, its sensitivity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from math import ceil, log
from typing import TYPE_CHECKING

import numpy as np

from analysis_lib.claims import Rule, Spec
from analysis_lib.completeness import contrast
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.gaps import gap_model, longest_gap, open_gap, running_gap, running_gap_p, running_gap_power, scan
from analysis_lib.placebo import FEWEST, placebo_counts, placebo_windows
from analysis_lib.rates import conditional_p, mid_p, none_expected, poisson_rate, rate_power, rate_ratio, with_power
from analysis_lib.sensitivity import PValues, events_and_dates
from analysis_lib.series import Series, chosen_windows, exposure, filters, select, series_of
from analysis_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from analysis_lib.sources.bundled import Tables


@dataclass(frozen=True)
class Sample:
    """What a test of two rates sees: the rows that count, the frame's series, the window, the placebo period."""

    rows: pd.DataFrame
    series: Series
    window: Window
    frame: Window
    reference: Series
    excluded: tuple[Window, ...]
    completeness: Finding

    @property
    def dates(self) -> np.ndarray:
        """Dates of the frame's events, datetime64[D], in order."""
        return np.repeat(self.series.days, self.series.counts)


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample of a specification, everything later than `as_of` unknown.

    Raises InputMissing where a table is missing or the window is not yet observed, BadInput where no row ever matches
    or no day of the window or of the baseline was watched.
    """
    known = tables.as_of(as_of)
    window, frame = spec.window.until(as_of), spec.frame.until(as_of)
    if window is None or frame is None:
        raise InputMissing(f"not yet observed: the window starts on {spec.window_start}, after {as_of}")
    population = select(tables.events, spec)
    if population.empty:
        raise BadInput(
            f"no row of events.csv matches {filters(spec)}; allowed: filters that some row passes; widen them"
        )
    rows = select(known.events, spec)
    dates = rows["date"].to_numpy().astype("datetime64[D]")
    series = series_of(dates, exposure(known.coverage, spec, frame), frame)
    _, t1, _, t0 = series.split(window)
    for name, days, span in (("window", t1, window), ("baseline", t0, frame)):
        if not days:
            raise BadInput(f"{name} {span}: no watched day; allowed: {covered(tables, spec)}; choose other dates")
    period = spec.placebo_period.until(as_of) if spec.placebo_start else frame
    period = period or frame
    reference = series_of(dates, exposure(known.coverage, spec, period), period)
    near = Window(frame.start, frame.end)
    excluded = (window, *(w for w in windows_of(known, spec) if w.overlaps(period)))
    return Sample(rows, series, window, near, reference, excluded, contrast(known, spec, window, frame))


def windows_of(tables: Tables, spec: Spec) -> list[Window]:
    """Windows of windows.csv of the specification's kind and theatre; one without an end lasts as long as the data."""
    if spec.window_kind is None:
        return []
    return chosen_windows(tables, [spec.window_kind], spec.window_theatre and [spec.window_theatre])


def covered(tables: Tables, spec: Spec) -> str:
    """The spans of coverage.csv that a specification's theatres have."""
    rows = tables.coverage[tables.coverage["theatre"].isin(spec.theatres) & (tables.coverage["level"] != "sample")]
    if rows.empty:
        return "nothing: coverage.csv has no usable interval for these theatres"
    return (
        f"days from {rows['start'].min():%Y-%m-%d} to {rows['end'].max():%Y-%m-%d} inside an interval of coverage.csv"
    )


# ---- tests: (sample, spec, rule, seed) → Finding ---------------------------------------------------------------------


def _rate_ratio(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    x1, t1, x0, t0 = sample.series.split(sample.window)
    found = rate_ratio(x1, t1, x0, t0, rule.direction)
    return with_power(found, x0, t1, t0, rule.claimed_effect, rule.alpha)


def _running_gap(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return running_gap(sample.series, sample.window, rule.direction, rule.alpha)


def _placebo(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return placebo_windows(sample.reference, sample.series, sample.window, list(sample.excluded), rule.direction,
                           seed=seed, draws=spec.draws)  # fmt: skip


def _longest_gap(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return longest_gap(sample.series, sample.window, rule.direction)


def _scan(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return scan(sample.series, sample.window, seed=seed, draws=spec.draws)


def _nb_trend(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    from analysis_lib.regression import nb_window

    return nb_window(sample.series, sample.window, rule.direction)


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Shown, not counted: mid-p, chance of an empty window, gap models, theta grid, Bayes, Poisson checks."""
    from analysis_lib.bayes import SHAPE, bayes_factors, predictive, ratio_posterior
    from analysis_lib.regression import dispersion, nb_window, theta_grid

    x1, t1, x0, t0 = sample.series.split(sample.window)
    n = x1 + x0
    exact = "exact conditional test, mid-p"
    share, less_is = t1 / (t1 + t0), rule.direction == "less"
    less, greater = mid_p(x1, n, share)
    expected, uncertain = n / (t1 + t0) * t1, predictive(SHAPE, 0.0, x0, t0, t1)["none"]
    found = [
        Finding("mid_p", exact, p_value=min(less if less_is else greater, 1.0),
                alternative=rule.direction, n=n, exposure=t1 + t0),
        replace(poisson_rate(x0, t0), quantity="baseline_rate", notes=("events a day outside the window",)),
        Finding("expected_events", "events expected in the window at the frame's mean rate", estimate=expected, n=n,
                exposure=t1, notes=(f"P(none) = {none_expected(expected):.3g}", f"Gamma–Poisson {uncertain:.3g}")),
        Finding("events_needed", f"events with which an empty {'window' if less_is else 'baseline'} reaches alpha",
                estimate=float(ceil(log(rule.alpha) / log(1 - share if less_is else share))), n=n, exposure=t1 + t0),
        nb_window(sample.series, sample.window, rule.direction, trend=False, interval=False),
        *theta_grid(sample.series, sample.window, rule.direction),
        *gap_model(sample.series, sample.window),
        *dispersion(sample.series),
        sample.completeness,
    ]  # fmt: skip
    if spec.test != "rate_ratio":
        found.insert(
            0, replace(_rate_ratio(sample, spec, rule, seed), notes=("the window begins after an event by choice",))
        )
    return [*found, ratio_posterior(x1, t1, x0, t0), *(bayes_factors(x1, t1, x0, t0) if less_is else [])]


def _ends(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """The ratio where window over baseline is as complete as the bands allow at least and at most."""
    (x1, t1, x0, t0), known = sample.series.split(sample.window), sample.completeness
    if spec.test != "rate_ratio" or not known.low or known.low == known.high:
        return []
    found = [with_power(rate_ratio(x1, t1 * c, x0, t0, rule.direction), x0, t1 * c, t0, rule.claimed_effect, rule.alpha)
             for c in (known.low, known.high)]  # fmt: skip
    names = ("rate_ratio_at_low_completeness", "rate_ratio_at_high_completeness")
    return [replace(f, quantity=name, role="band_end") for f, name in zip(found, names, strict=True)]


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any single event, and with dates moved within their precision, rows just outside the frame among them."""
    p_values = P_VALUES[spec.test](sample, rule)
    return events_and_dates(lambda _: p_values, sample.rows, sample.frame, rule.direction, seed=seed, draws=spec.draws)


# ---- the primary p of many sets of dates at once ---------------------------------------------------------------------


def _rate_p_values(sample: Sample, rule: Rule) -> PValues:
    inside, observed = sample.window.mask(sample.series.days), sample.series.observed
    share = (inside & observed).sum() / observed.sum()

    def p_values(dates: np.ndarray) -> np.ndarray:
        position, valid = sample.series.positions(dates)
        x1 = (valid & inside[position]).sum(axis=1)
        less, greater = conditional_p(x1, valid.sum(axis=1), share)
        return less if rule.direction == "less" else greater

    return p_values


def _running_gap_p_values(sample: Sample, rule: Rule) -> PValues:
    clock = np.cumsum(sample.series.observed) - 1
    last = clock[sample.window.mask(sample.series.days) & sample.series.observed][-1]

    def p_values(dates: np.ndarray) -> np.ndarray:
        position, valid = sample.series.positions(dates)
        at = np.where(valid, clock[position], -1)
        newest = at.max(axis=1)
        k = valid.sum(axis=1) - (at == 0).any(axis=1)
        p = running_gap_p(k, newest, last - newest)
        return p if rule.direction == "less" else 1 - p

    return p_values


P_VALUES = {"rate_ratio": _rate_p_values, "running_gap": _running_gap_p_values}


def _null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null | None:
    x1, t1, _, _ = sample.series.split(sample.window)
    values = placebo_counts(sample.reference, t1, list(sample.excluded))
    return None if values.size < FEWEST else Null(values, x1, f"attacks in a window of {t1} days")


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    _, t1, x0, t0 = sample.series.split(sample.window)
    if x0 == 0:
        return None
    if spec.test == "running_gap":
        return running_gap_power(*open_gap(sample.series, sample.window), rule.alpha, effects)
    return np.array([rate_power(e * x0 / t0 * t1, x0, t1, t0, rule.alpha, rule.direction) for e in effects])


_ROBUSTNESS = {"nb_trend": _nb_trend, "placebo_windows": _placebo, "longest_gap": _longest_gap, "scan": _scan}
DESIGNS = {
    name: Design(take_sample, primary, _placebo, _ROBUSTNESS, _sensitivity, _shown, _null, _power, _ends)
    for name, primary in (("rate_ratio", _rate_ratio), ("running_gap", _running_gap))
}
