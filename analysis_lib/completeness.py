"""How complete a list is, matched with a second list: what that does to a rate ratio; the design of a stated total."""

from dataclasses import dataclass, replace
from datetime import date
from math import ceil, log

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest, chi2_contingency, hypergeom

from analysis_lib.claims import Population, Rule, Spec
from analysis_lib.design import Design
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding, number
from analysis_lib.rates import poisson_rate
from analysis_lib.richness import with_unseen
from analysis_lib.series import GROUPS, filters, select
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window

# the second list's words for a theatre (one incident may name two) and for weapons
THEATRE = {"iraq": "Iraq", "syria": "Syria", "jordan": "Jordan", "israel_long_range": "Israel", "red_sea": "Red Sea"}
KINDS = ("drone", "rocket", "missile")
BANDS = {"complete": 0.9, "usable": 0.7, "weak": 0.0}  # by the lower limit of the completeness
FEWEST = ceil(log(0.05) / log(BANDS["usable"]))  # with fewer incidents even a full match would not be usable
ONE_SIDED = "lists that share sources limit a total from below only, and no outcome could show that it is right"


# ---- two lists -------------------------------------------------------------------------------------------------------


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
    petersen = f"Lincoln–Petersen {number(n1 * n2 / m if m else np.inf)}"
    notes = (f"{n1} and {n2} in the lists, {m} in both", petersen, f"standard error {number(variance**0.5)}")
    found = Finding("total", "two-list estimate of Chapman, log-normal interval", n=union, notes=notes,
                    **with_unseen(union, total - union, variance))  # fmt: skip
    reason = "all of one list is in the other: no variance, no interval"
    return found if variance else replace(found, low=None, high=None, reason=reason)


def overlap_p(n1: int, n2: int, m, total) -> tuple[np.ndarray, np.ndarray]:
    """P(overlap <= m), P(overlap >= m) of independent lists of `n1` and `n2` among `total`: hypergeometric, broadcast.

    For fewer than the lists hold together the first is 0; the second is then that of the fewest possible.

    >>> [round(float(p), 4) for p in overlap_p(18, 9, 9, 39)]
    [1.0, 0.0002]
    """
    most, seen = np.maximum(total, max(n1, n2)), np.maximum(total, n1 + n2 - np.asarray(m))
    few = np.where(most > total, 0.0, hypergeom.cdf(m, most, n1, n2))
    return few, hypergeom.sf(np.asarray(m) - 1, seen, n1, n2)


def total_limits(n1: int, n2: int, m: int, tail: float = 0.05) -> tuple[float, float]:
    """Exact limits of the total, each with `tail` beyond it, from the law of the overlap; the upper may be infinite.

    >>> total_limits(18, 9, 9)
    (18.0, 23.0)
    """
    totals = np.arange(n1 + n2 - m, 100 * (n1 + n2))
    inside = totals[np.minimum(*overlap_p(n1, n2, m, totals)) > tail]
    return float(inside[0]), float(inside[-1]) if inside[-1] < totals[-1] else np.inf


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
    keep &= (population.sites == "any") | rows["target_type"].isin(["US/coalition base", "diplomatic"])
    return rows[keep & (("all" in population.weapons) | rows["weapon"].str.contains("|".join(population.weapons)))]


def link(incidents: pd.DataFrame, events: pd.DataFrame, days: int = 1) -> np.ndarray:
    """Position in `events` of each incident's match, -1 where it has none: int, shape (incidents,).

    A match lies within `days` and within 0.35 degrees of latitude and of longitude, or in the same theatre where a
    place is unknown, and shares a kind of weapon. Each row is used once, and as many as can be, the nearest first.
    Misleads as total: false matches make it too small, missed ones too large.
    """
    match, degrees = np.full(len(incidents), -1), 0.35
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


# ---- bands -----------------------------------------------------------------------------------------------------------


def bands(tables: Tables, spans: pd.DataFrame | None = None) -> pd.DataFrame:
    """Completeness of events.csv in the intervals of coverage.csv that give rates, or in `spans`: one row an interval.

    `incidents` of the second list, how many were `found`, the one-sided 95 % limits `low` and `high` (Clopper–Pearson)
    and the `band` by the lower one: complete (0.9), usable (0.7), weak; unknown with fewer than nine incidents. Where
    the US military's running total (`official`) exceeds the rows `listed` for its period, their ratio bounds `high`.
    Misleads where the second list holds what was widely reported: the true completeness is then lower.
    """
    rows = []
    for span in (tables.coverage[tables.coverage["level"] != "sample"] if spans is None else spans).itertuples():
        window = Window(span.start.date(), span.end.date())
        sites = "us_sites" if span.target_group == "us_sites" else "any"
        population = Population(theatres=(span.theatre,), sites=sites)
        events = select(tables.events, population).query("@span.start <= date <= @span.end")
        usable = tables.second_coding is not None and span.target_group != "convoys"
        matched = link(incidents_of(tables, population, window), events) if usable else np.empty(0)
        n, found = matched.size, int((matched >= 0).sum())
        low, high = binomtest(found, n).proportion_ci(0.9) if n else (0.0, 1.0)
        official = listed = None
        if tables.counts is not None and sites == "us_sites":
            # these count attacks on US sites, as events.csv does
            wanted = "issuer == 'US DoD' and scope == @span.theatre and `count`.notna()"
            totals = tables.counts.query(f"{wanted} and period_start >= @span.start and as_of <= @span.end")
            for last in totals.sort_values("as_of").tail(1).to_dict("records"):
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
    spans, days = tables.coverage.query("theatre in @spec.theatres and level != 'sample'"), frame.calendar()
    spans = spans[spans["target_group"].isin((*GROUPS[spec.sites], "all"))] if spec.sites in GROUPS else spans
    held = np.array([(days >= span.start) & (days <= span.end) for span in spans.itertuples()])
    inside, outside = held @ window.mask(days), held @ ~window.mask(days)
    if (inside == outside).all():
        return replace(found, estimate=1.0, low=1.0, high=1.0, notes=("window and baseline share their intervals",))
    known = bands(tables, spans[inside | outside])
    blind = known[known["band"] == "unknown"]
    if len(blind):
        where = ", ".join(f"{b.theatre} {b.interval}" for b in blind.itertuples())
        return replace(found, reason=f"completeness unknown, fewer than {FEWEST} incidents of the second list: {where}")
    one, zero = (known[part[inside | outside]] for part in (inside, outside))
    low, high = one["low"].min() / zero["high"].max(), one["high"].max() / zero["low"].min()
    return replace(found, low=float(low), high=float(high))


# ---- a stated total: (sample, spec, rule, seed) → Finding ------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A closed period: its rows of events.csv, running totals, and `sizes`: of this list, of the second, of both."""

    rows: pd.DataFrame
    counts: pd.DataFrame
    frame: Window
    sizes: tuple[int, int, int]
    window: None = None


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """Both lists of the frame. Raises InputMissing where one has nothing, or the frame ends after `as_of`."""
    known = tables.as_of(as_of)
    if spec.threshold is None:
        raise BadInput("threshold: got nothing; allowed: the stated total; give --set threshold=NUMBER")
    if spec.frame.until(as_of) != spec.frame:
        raise InputMissing(f"not yet observed: the count ends on {spec.frame_end}, after {as_of}")
    rows, incidents = select(known.events, spec), incidents_of(known, spec, spec.frame)
    rows = rows[rows["date"].between(str(spec.frame_start), str(spec.frame_end))]
    if rows.empty or incidents.empty or known.counts is None:
        raise InputMissing(f"one of the lists has no attack in {spec.frame}: {filters(spec)}")
    both = link(incidents, rows, 1 if spec.lag_days is None else spec.lag_days) >= 0
    return Sample(rows, known.counts, spec.frame, (len(rows), len(incidents), int(both.sum())))


def _primary(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """The estimated number over the stated one, H0: it is not within the rule's factor of it.

    Lists that share sources limit the number from below only: no outcome can show agreement, so that there is no p
    unless they hold more than the factor allows. `low`…`high` is the exact interval of independent lists.
    """
    found, (low, high) = chapman(*sample.sizes), total_limits(*sample.sizes, 0.025)
    a, least = spec.threshold, total_limits(*sample.sizes)[0] / spec.threshold
    p, reason = (1.0, "") if least > rule.sesoi else (None, ONE_SIDED)
    return replace(found, quantity="total_over_stated", estimate=found.estimate / a, low=low / a, high=high / a,
                   method="exact law of the overlap of two lists, estimate of Chapman", limit_low=least,
                   limit_high=np.inf, p_value=p, attainable_p=1.0, power=0.0, exposure=float(sample.frame.days),
                   reason=reason)  # fmt: skip


def _overlap(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """H0: the stated total is true and the lists independent; two-sided p of the overlap, enumerated."""
    (n1, n2, m), a = sample.sizes, round(spec.threshold)
    p = np.minimum(1, 2 * np.minimum(*overlap_p(n1, n2, np.arange(min(n1, n2) + 1), a)))
    return Finding("overlap_if_true", "attacks in both lists if the stated total were true, enumerated", n=n2,
                   estimate=m, p_value=float(p[m]), attainable_p=float(p.min()), null_value=n1 * n2 / a)  # fmt: skip


def _increments(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Steps of the running totals of the agency that states the total, beside the rows of each step.

    H0: one ratio holds for all steps. Both counts are of the same attacks, so p is too large, and expected counts are
    small. A small p dates a change of definition.
    """
    found = Finding("count_increments", "steps of the agency's running totals beside the rows of each step, chi-square")
    span = f"'{spec.frame_start}' <= period_start and as_of <= '{spec.frame_end}'"
    totals = sample.counts.query(f"scope in @spec.theatres and weapon == 'any' and kind == 'cumulative' and {span}")
    agency = totals["issuer"].str.split(" via ").str[0]
    totals = totals[agency.isin(agency[totals["count"] == spec.threshold])]
    chains = totals.sort_values("as_of").drop_duplicates(["period_start", "count"]).groupby("period_start")
    chain = max((chain for _, chain in chains), key=len, default=totals)
    if len(chain) < 2:
        return replace(found, reason="no chain of running totals by one agency in the frame")
    official = np.diff(chain["count"].to_numpy(int), prepend=0)
    edges = [chain["period_start"].iat[0], *chain["as_of"]]
    listed = np.diff(sample.rows["date"].searchsorted(edges, side="right"))
    n, p = int(listed.sum()), chi2_contingency([official, listed]).pvalue
    notes = (f"rows {listed.tolist()} beside steps {official.tolist()}",)
    return replace(found, estimate=n / official.sum(), p_value=p, n=n, notes=notes)


def _count_ratio(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    notes = ("the first list alone; the interval is that of the underlying rate",)
    return replace(poisson_rate(len(sample.rows), spec.threshold), quantity="count_ratio", notes=notes)


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    (_, n2, m), stated = sample.sizes, poisson_rate(round(spec.threshold), 1)
    low, high = binomtest(m, n2).proportion_ci(0.95)
    found = Finding("completeness", "second list found in the first", estimate=m / n2, low=low, high=high, n=n2)
    notes = ("interval of the rate, were it a draw",)
    return [chapman(*sample.sizes), found, replace(stated, quantity="stated_total", notes=notes)]


# equivalence reads no single events or dates; how the lists are matched is varied by specifications
DESIGNS = {
    "recapture": Design(
        take_sample, _primary, _overlap, {"count_ratio": _count_ratio, "count_increments": _increments},
        lambda *_: [], _shown, lambda *_: None, lambda *_: None,
    ),
}  # fmt: skip
