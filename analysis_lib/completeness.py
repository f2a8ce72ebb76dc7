"""How complete a list is: two lists matched with each other, what both leave unseen, what that does to a rate ratio."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from math import ceil, log
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis_lib.claims import Population, Spec
from analysis_lib.errors import InputMissing
from analysis_lib.finding import Finding, number
from analysis_lib.series import GROUPS, select
from analysis_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from analysis_lib.sources.bundled import Tables

# the second list's words for a theatre (one incident may name two), for targets that are US sites, for weapons
THEATRE = {"iraq": "Iraq", "syria": "Syria", "jordan": "Jordan", "israel_long_range": "Israel", "red_sea": "Red Sea"}
US_SITES = ("US/coalition base", "diplomatic")
KINDS = ("drone", "rocket", "missile")
BANDS = {"complete": 0.9, "usable": 0.7, "weak": 0.0}  # by the lower limit of the completeness
FEWEST = ceil(log(0.05) / log(BANDS["usable"]))  # with fewer incidents even a full match would not be usable
OFFICIAL = "US DoD"  # issuer of running totals that count attacks on US sites, as events.csv does


def incidents_of(tables: Tables, population: Population, span: Window) -> pd.DataFrame:
    """The incidents of the second list that a population counts, dated to about a day, inside `span`.

    Raises InputMissing without second_coding.csv, and where the population counts convoys, of which that list has none.
    """
    if tables.second_coding is None:
        raise InputMissing("second_coding.csv is not in the data folder: there is no second list to match")
    if population.sites == "us_interests":
        raise InputMissing("the second list holds no incident on a convoy, so what is missing of them is unknown")
    rows = tables.second_coding
    keep = rows["theatre"].str.contains("|".join(THEATRE.get(t, "–") for t in population.theatres))
    keep &= (rows["date_precision"] != "month") & rows["date"].between(str(span.start), str(span.end))
    keep &= (population.sites == "any") | rows["target_type"].isin(US_SITES)
    return rows[keep & (("all" in population.weapons) | rows["weapon"].str.contains("|".join(population.weapons)))]


def link(incidents: pd.DataFrame, events: pd.DataFrame, days: int = 1, degrees: float = 0.35) -> np.ndarray:
    """Position in `events` of each incident's match, -1 where it has none: int, shape (incidents,).

    A match lies within `days` and within `degrees` of latitude and of longitude, or in the same theatre where a place
    is unknown, and shares a kind of weapon. Each row is used once, and as many as can be, the nearest first. Misleads
    as total: false matches make it too small, missed ones too large.
    """
    from scipy.optimize import linear_sum_assignment

    match = np.full(len(incidents), -1)
    if incidents.empty or events.empty:
        return match
    gap = np.abs(incidents["date"].to_numpy()[:, None] - events["date"].to_numpy()) / np.timedelta64(1, "D")
    places = incidents[["latitude", "longitude"]], events[["lat", "lon"]]
    first, second = (place.to_numpy(float, na_value=np.nan) for place in places)
    far = np.abs(first[:, None] - second).max(axis=2)
    here = [[THEATRE.get(t, "–") in cell for t in events["theatre"]] for cell in incidents["theatre"]]
    one, two = (np.array([[k in cell for k in KINDS] for cell in t]) for t in (incidents["weapon"], events["weapons"]))
    fits = (gap <= days) & np.where(np.isnan(far), here, far <= degrees) & (one @ two.T)
    row, column = linear_sum_assignment(np.where(fits, gap + np.nan_to_num(far, nan=degrees), 1e6))
    match[row] = np.where(fits[row, column], column, -1)
    return match


def chapman(n1: int, n2: int, m: int) -> Finding:
    """Total number estimated from two lists of `n1` and `n2` with `m` in both, 95 % log-normal interval.

    Chapman 1951; variance of Seber 1970 (doi 10.2307/2529040), interval of Chao 1987 (doi 10.2307/2531532). Assumes a
    closed period and lists that draw from the same attacks independently: lists that copy each other, or that both
    have what is easily seen, make it a lower bound. Where all of one list is in the other the variance is 0 and there
    is no interval: see `total_limits`.

    >>> chapman(28, 20, 13).sentence()
    'total 42.5 (95 % interval 37.4 to 58), n = 35'
    """
    union, total = n1 + n2 - m, (n1 + 1) * (n2 + 1) / (m + 1) - 1
    variance = (n1 + 1) * (n2 + 1) * (n1 - m) * (n2 - m) / ((m + 1) ** 2 * (m + 2))
    factor = np.exp(1.96 * np.sqrt(np.log(1 + variance / (total - union) ** 2))) if variance else None
    low, high = (union + (total - union) / factor, union + (total - union) * factor) if variance else (None, None)
    notes = (f"{n1} and {n2} in the lists, {m} in both", f"Lincoln–Petersen {number(n1 * n2 / m if m else np.inf)}")
    return Finding("total", "two-list estimate of Chapman, log-normal interval", estimate=total, low=low, high=high,
                   n=union, notes=(*notes, f"standard error {number(variance**0.5)}"),
                   reason="" if variance else "all of one list is in the other: no variance, no interval")  # fmt: skip


def overlap_p(n1: int, n2: int, m: Any, total: Any) -> tuple[np.ndarray, np.ndarray]:
    """P(overlap <= m), P(overlap >= m) of independent lists of `n1` and `n2` among `total`: hypergeometric, broadcast.

    For fewer than the lists hold together the first is 0; the second is then that of the fewest possible.

    >>> [round(float(p), 4) for p in overlap_p(18, 9, 9, 39)]
    [1.0, 0.0002]
    """
    from scipy.stats import hypergeom

    most = np.maximum(total, max(n1, n2))
    few = np.where(most > total, 0.0, hypergeom.cdf(m, most, n1, n2))
    return few, hypergeom.sf(np.asarray(m) - 1, np.maximum(total, n1 + n2 - np.asarray(m)), n1, n2)


def total_limits(n1: int, n2: int, m: int, tail: float = 0.05) -> tuple[float, float]:
    """Exact limits of the total, each with `tail` beyond it, from the law of the overlap; the upper may be infinite.

    >>> total_limits(18, 9, 9)
    (18.0, 23.0)
    """
    totals = range(n1 + n2 - m, 100 * (n1 + n2))
    first = bisect_left(totals, True, key=lambda total: overlap_p(n1, n2, m, total)[0] > tail)
    over = bisect_left(totals, True, key=lambda total: overlap_p(n1, n2, m, total)[1] <= tail)
    return float(totals[first]), float(totals[over - 1]) if over < len(totals) else np.inf


def bands(tables: Tables, spans: pd.DataFrame | None = None) -> pd.DataFrame:
    """Completeness of events.csv in the intervals of coverage.csv that give rates, or in `spans`: one row an interval.

    `incidents` of the second list, how many were `found`, the one-sided 95 % limits `low` and `high` (Clopper–Pearson)
    and the `band` by the lower one: complete (0.9), usable (0.7), weak; unknown with fewer than nine incidents. Where
    the US military's running total (`official`) exceeds the rows `listed` for its period, their ratio bounds `high`.
    Misleads where the second list holds what was widely reported: the true completeness is then lower.
    """
    import pandas as pd
    from scipy.stats import binomtest

    rows = []
    for span in (tables.coverage[tables.coverage["level"] != "sample"] if spans is None else spans).itertuples():
        window = Window(span.start.date(), span.end.date())
        sites = "us_sites" if span.target_group == "us_sites" else "any"
        population = Population(theatres=(span.theatre,), sites=sites)
        events = select(tables.events, population)
        events = events[events["date"].between(span.start, span.end)]
        matched = np.empty(0, dtype=int)
        if tables.second_coding is not None and span.target_group != "convoys":
            matched = link(incidents_of(tables, population, window), events)
        n, found = matched.size, int((matched >= 0).sum())
        low, high = binomtest(found, n).proportion_ci(0.9) if n else (0.0, 1.0)
        official = listed = None
        if tables.counts is not None and sites == "us_sites":
            totals = tables.counts[(tables.counts["issuer"] == OFFICIAL) & (tables.counts["scope"] == span.theatre)]
            totals = totals[(totals["period_start"] >= span.start) & (totals["as_of"] <= span.end)]
            for last in totals.dropna(subset="count").sort_values("as_of").tail(1).to_dict("records"):
                official, listed = last["count"], events["date"].between(last["period_start"], last["as_of"]).sum()
                high = max(low, min(high, listed / official))
        band = "unknown" if n < FEWEST else next(word for word, least in BANDS.items() if low >= least)
        rows.append((span.theatre, span.target_group, window, n, found, low, high, official, listed, band))
    names = ("theatre", "target_group", "interval", "incidents", "found", "low", "high", "official", "listed", "band")
    return pd.DataFrame(rows, columns=names)


def contrast(tables: Tables, spec: Spec, window: Window, frame: Window) -> Finding:
    """Completeness of the window over that of the baseline, c1/c0: what the true rate ratio is multiplied by.

    1 where both lie in the same intervals of coverage, from `low` to `high` where each interval has a band, else
    unknown, with the reason. Misleads where completeness changes inside an interval.
    """
    found = Finding("completeness_ratio", "bands of matched incidents, window over baseline", role="check")
    spans = tables.coverage[tables.coverage["theatre"].isin(spec.theatres) & (tables.coverage["level"] != "sample")]
    spans = spans[spans["target_group"].isin((*GROUPS[spec.sites], "all"))] if spec.sites in GROUPS else spans
    days = frame.calendar()
    held = [Window(a.date(), b.date()).mask(days) for a, b in zip(spans["start"], spans["end"], strict=True)]
    now = window.mask(days)
    inside, outside = (np.array([(mask & part).any() for mask in held]) for part in (now, ~now))
    if (inside == outside).all():
        return replace(found, estimate=1.0, low=1.0, high=1.0, notes=("window and baseline share their intervals",))
    known = bands(tables, spans[inside | outside])
    blind = known[known["band"] == "unknown"]
    if len(blind):
        where = ", ".join(f"{b.theatre} {b.interval}" for b in blind.itertuples())
        return replace(found, reason=f"completeness unknown, fewer than {FEWEST} incidents of the second list: {where}")
    one, zero = (known[part[inside | outside]] for part in (inside, outside))
    ends = one["low"].min() / zero["high"].max(), one["high"].max() / zero["low"].min()
    return replace(found, low=float(ends[0]), high=float(ends[1]))
