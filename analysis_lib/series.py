"""Events → the rows that count, and their complete daily counts with exposure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis_lib.claims import Population
from analysis_lib.errors import InputMissing
from analysis_lib.events import CONFIDENCE, window_end
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window, outside

if TYPE_CHECKING:
    import pandas as pd

COUNTRY = {"iraq": "IQ", "syria": "SY", "jordan": "JO", "israel_gaza": "PS", "israel_lebanon": "LB", "yemen_gulf": "YE"}
GROUPS = {"us_sites": ("us_sites",), "us_interests": ("us_sites", "convoys"), "launch_or_target": ("us_sites",)}
UNITS = {"attack": ["event_id"], "site_night": ["date", "location"], "attack_day": ["date"]}  # one row stands for each


@dataclass(frozen=True)
class Series:
    """Daily counts of a frame. A day that nobody watched is not a zero: `observed` says which days count.

    `days` datetime64[D], `counts` int and `observed` bool have shape (frame days,).
    """

    days: np.ndarray
    counts: np.ndarray
    observed: np.ndarray

    def within(self, mask: np.ndarray) -> tuple[int, int]:
        """Events and exposure (observed days) where `mask` (bool, shape (frame days,)) is True."""
        mask = mask & self.observed
        return int(self.counts[mask].sum()), int(mask.sum())

    def split(self, window: Window) -> tuple[int, int, int, int]:
        """Events and exposure inside the window, then outside it: x1, t1, x0, t0."""
        inside = window.mask(self.days)
        return *self.within(inside), *self.within(~inside)

    @property
    def total(self) -> tuple[int, int]:
        """Events and exposure of the whole frame."""
        return self.within(self.observed)

    @property
    def event_days(self) -> np.ndarray:
        """Positions of the events on the clock of observed days, one entry an event, in order: int, shape (n,)."""
        counts = self.counts[self.observed]
        return np.repeat(np.arange(counts.size), counts)

    def clock(self, window: Window) -> np.ndarray:
        """Positions of a window's watched days on that clock: int, shape (watched days,)."""
        return np.flatnonzero(window.mask(self.days[self.observed]))

    def positions(self, dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place of each date in the frame and whether it counts: NaT, days outside it and unwatched days do not."""
        offset = (dates - self.days[0]).astype("timedelta64[D]").astype(np.int64)
        valid = ~np.isnat(dates) & (offset >= 0) & (offset < self.days.size)
        position = np.where(valid, offset, 0)
        return position, valid & self.observed[position]

    def recount(self, dates: np.ndarray) -> np.ndarray:
        """Daily counts of many sets of dates, shape (sets, n), on the watched days: shape (sets, frame days)."""
        position, valid = self.positions(dates)
        counts = np.zeros((len(dates), self.days.size))
        np.add.at(counts, (np.arange(len(dates))[:, None], position), valid)
        return counts


def select(events: pd.DataFrame, population: Population) -> pd.DataFrame:
    """The rows of the event table that a population counts, by date; nothing is changed in them.

    A row counts once however many of the asked weapons it lists. With a unit other than `attack` the first row of
    each site and date, or of each date, stands for the others.
    """
    ranks = CONFIDENCE[: CONFIDENCE.index(population.confidence) + 1]
    keep = events["confidence"].isin(ranks) & events["date_precision"].isin(population.date_precision)
    if not population.duplicates:
        keep &= events["possible_duplicate_of"] == ""
    if "all" not in population.weapons:
        keep &= _lists_any(events["weapons"], ";", population.weapons)
    if population.bloc is not None:
        keep &= events["bloc"] == population.bloc
    if population.without:
        keep &= ~events["event_id"].isin(population.without)
    targets = events["theatre"].isin(population.theatres)
    if population.sites == "us_interests":
        targets &= (events["us_target"] == "yes") | (events["target_class"] == "logistics_convoy")
    elif population.sites != "any":
        targets &= events["us_target"] == "yes"
    if population.sites == "launch_or_target":
        countries = [COUNTRY[t] for t in population.theatres if t in COUNTRY]
        targets |= _lists_any(events["launch_from"], "|", countries) & (events["bloc"] == "iran_aligned")
    rows = events.loc[keep & targets, ["date", "event_id", "location"]].sort_values(["date", "event_id"], kind="stable")
    return events.loc[rows.drop_duplicates(UNITS[population.unit]).index]


def _lists_any(column: pd.Series, separator: str, wanted: object) -> pd.Series:
    """Does each cell's list hold one of the wanted words? Decided once for each distinct cell."""
    wanted = set(wanted)
    return column.map({cell: bool(wanted & set(cell.split(separator))) for cell in column.unique()}).astype(bool)


def exposure(coverage: pd.DataFrame | None, population: Population, frame: Window) -> np.ndarray:
    """Which days of the frame were watched for every theatre and target group counted: bool, shape (frame days,).

    Only days inside a coverage interval count; `sample` intervals are kept out, since a gap there is missing data.
    """
    if coverage is None:
        raise InputMissing("coverage.csv is not in the data folder: without it no day counts as watched")
    days = frame.calendar()
    covered = np.ones(days.size, dtype=bool)
    for theatre in population.theatres:
        rows = coverage[coverage["theatre"] == theatre]
        groups = GROUPS.get(population.sites) or tuple(rows["target_group"].unique()) or ("all",)
        for group in groups:
            spans = rows[rows["target_group"].isin((group, "all")) & (rows["level"] != "sample")]
            covered &= ~outside(days, _windows(spans["start"], spans["end"]))
    return covered


def _windows(starts: pd.Series, ends: pd.Series) -> list[Window]:
    return [Window(start.date(), end.date()) for start, end in zip(starts, ends, strict=True)]


def sum_before(x: np.ndarray, k: int) -> np.ndarray:
    """Sum of x over the k days before each day, fewer at the start: shape of x.

    >>> sum_before(np.array([1, 0, 2, 4]), 2).tolist()
    [0, 1, 1, 2]
    """
    total, day = np.concatenate([[0], np.cumsum(x)]), np.arange(x.size)
    return total[day] - total[np.maximum(day - k, 0)]


def daily_counts(tables: Tables, population: Population, frame: Window) -> Series:
    """Complete daily counts of a population over a frame, with the days that were watched.

    >>> from analysis_lib import Population, load_tables
    >>> from datetime import date
    >>> drones = Population(theatres=("iraq",), weapons=("drone",))
    >>> daily_counts(load_tables(), drones, Window(date(2021, 4, 14), date(2021, 6, 5))).total
    (3, 53)
    """
    dates = select(tables.events, population)["date"].to_numpy().astype("datetime64[D]")
    return series_of(dates, exposure(tables.coverage, population, frame), frame)


def chosen_windows(
    tables: Tables, kinds: Iterable[str], theatres: Iterable[str] | None = None, ids: Iterable[str] | None = None
) -> list[Window]:
    """Windows of windows.csv by kind, theatre and window_id (None: any); an open war lasts as long as the data."""
    rows = tables.windows
    for column, allowed in (("kind", kinds), ("theatre", theatres), ("window_id", ids)):
        rows = rows if allowed is None else rows[rows[column].isin(list(allowed))]
    return _windows(rows["start"], window_end(rows, tables.last_day))


def series_of(dates: np.ndarray, observed: np.ndarray, frame: Window) -> Series:
    """Count dates (datetime64[D], shape (n,)) on the days of a frame; dates outside the frame are left out."""
    days = frame.calendar()
    position = (dates[frame.mask(dates)] - days[0]).astype(int)
    return Series(days, np.bincount(position, minlength=days.size), observed)


def filters(population: Population) -> str:
    """The population in words, for messages and captions."""
    lists = f"theatres {', '.join(population.theatres)}, weapons {', '.join(population.weapons)}"
    return f"{lists}, sites {population.sites}, confidence {population.confidence} or better"
