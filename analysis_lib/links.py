"""What two theatres have in common: the sample of a claim on links, and the daily series of every theatre."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from analysis_lib.claims import Population, Spec
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.series import Series, chosen_windows, daily_counts, select
from analysis_lib.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from analysis_lib.sources.bundled import Tables

US_SITES, FRONTS = ("iraq", "syria"), ("israel_gaza", "israel_lebanon")  # of the fronts only war days are coded
TARGETS = (*US_SITES, "israel_long_range", "yemen_gulf", "gulf_shipping", "red_sea")


@dataclass(frozen=True)
class Sample:
    """Attacks on the days that count (`series.observed`), and what they may follow.

    `driver`, counts or trigger days, and `near`, the days up to the lag after one, have shape (frame days,). `sampled`:
    of a theatre only sampled the days from first to last reported date count: no gap outside them reads as quiet.
    """

    rows: pd.DataFrame
    frame: Window
    series: Series
    driver: np.ndarray
    sampled: bool
    tables: Tables
    lag_days: int | None = None
    window: Window | None = None

    def clock(self, *values: np.ndarray) -> list[np.ndarray]:
        """The attacks, and each of `values`, on the days that count."""
        return [v[self.series.observed] for v in (self.series.counts, *values)]

    @property
    def near(self) -> np.ndarray:
        return within(self.driver, self.lag_days)

    @property
    def years(self) -> np.ndarray:
        return self.series.days.astype("datetime64[Y]").astype(int) + 1970


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample of a specification; see `design.Design` for what it raises."""
    known, frame = tables.as_of(as_of), spec.frame.until(as_of)
    if frame is None:
        raise InputMissing(f"not yet observed: the frame starts on {spec.frame_start}, after {as_of}")
    series, sampled = reported(known, spec, frame)
    driver = marked(known, series.days, spec.trigger_kind, spec.trigger_theatres, spec.trigger_ids)
    if spec.against is not None:
        other, also = reported(known, spec.against, frame)
        driver, sampled = other.counts, sampled or also
        series = replace(series, observed=series.observed & other.observed)
    if not series.observed.any():
        raise BadInput(f"{frame}: no day was watched in all theatres; allowed: days of coverage.csv; choose others")
    return Sample(select(known.events, spec), frame, series, driver, sampled, known, spec.lag_days)


def reported(tables: Tables, population: Population, frame: Window) -> tuple[Series, bool]:
    """Daily counts; of a theatre only sampled (True) the days of its samples from first to last reported date count."""
    series, cover = daily_counts(tables, population, frame), tables.coverage
    cover = cover[cover["theatre"].isin(population.theatres) & (cover["level"] == "sample")]
    spans = [Window(a.date(), b.date()).mask(series.days) for a, b in zip(cover["start"], cover["end"], strict=True)]
    known = np.any([series.observed, *spans], axis=0)
    place = np.flatnonzero(series.counts * known)
    if not np.any(spans) or not place.size:
        return series, False
    known[: place[0]] = known[place[-1] + 1 :] = False
    return replace(series, observed=known), True


def marked(
    tables: Tables, days: np.ndarray, kind: str | None, theatres: Iterable[str] | None, ids: Iterable[str] | None = None
) -> np.ndarray:
    """1 on the days of the windows of this kind, theatre and id, else 0: shape of `days`."""
    masks = [w.mask(days) for w in chosen_windows(tables, [kind], theatres, ids)]
    return np.any([np.zeros(days.size, dtype=bool), *masks], axis=0).astype(int)


def within(days: np.ndarray, reach: int | None) -> np.ndarray:
    """Which days lie on a marked day or up to `reach` days after one: bool, shape of `days`."""
    return np.convolve(days > 0, np.ones((reach or 0) + 1))[: days.size] > 0


def theatres(tables: Tables, frame: Window) -> dict[str, tuple[Series, bool]]:
    """By theatre of the target: daily counts, and whether only a sample is known. Of FRONTS the counts are war days."""
    found = {}
    for name in TARGETS:
        sites = "us_sites" if name in US_SITES else "any"
        found[name] = reported(tables, Population(theatres=(name,), sites=sites, bloc="iran_aligned"), frame)
    days = frame.calendar()
    watched = np.ones(days.size, dtype=bool)
    return found | {name: (Series(days, marked(tables, days, "war", [name]), watched), False) for name in FRONTS}
