"""Two theatres: the sample of a claim on them, the designs of coincidences and of several sites hit on one day."""

from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import numpy as np
import pandas as pd

from analysis_lib import coupling
from analysis_lib.claims import Population, Rule, Spec
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding, number
from analysis_lib.hawkes import cross_excitation
from analysis_lib.regression import dispersion, nb_effect
from analysis_lib.sensitivity import events_and_dates
from analysis_lib.series import Series, chosen_windows, daily_counts, select
from analysis_lib.shares import exact_null, one_of, powered, summed, tails
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window, outside

US_SITES, FRONTS = ("iraq", "syria"), ("israel_gaza", "israel_lebanon")  # of the fronts only war days are coded
TARGETS = (*US_SITES, "israel_long_range", "yemen_gulf", "gulf_shipping", "red_sea")
FAR = 26.0  # rate ratio up to which a detectable effect is sought
SAMPLED = "dates of a sample: shifted between the first and the last reported date"


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
    near: np.ndarray
    sampled: bool
    tables: Tables
    window: Window | None = None

    def clock(self, *values: np.ndarray) -> list[np.ndarray]:
        """The attacks, and each of `values`, on the days that count."""
        return [v[self.series.observed] for v in (self.series.counts, *values)]

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
    return Sample(select(known.events, spec), frame, series, driver, within(driver, spec.lag_days), sampled, known)


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


def marked(tables: Tables, days: np.ndarray, kind: str | None, theatres, ids=None) -> np.ndarray:
    """1 on the days of the windows of this kind, of these theatres and ids (None: any), else 0: shape of `days`."""
    return (~outside(days, chosen_windows(tables, [kind], theatres, ids))).astype(int)


def within(days: np.ndarray, reach: int | None) -> np.ndarray:
    """Which days lie on a marked day or up to `reach` days after one: bool, shape of `days`."""
    return np.convolve(days > 0, np.ones((reach or 0) + 1))[: days.size] > 0


def theatres(tables: Tables, frame: Window) -> dict[str, tuple[Series, bool]]:
    """By theatre of the target: daily counts, and whether only a sample is known. Of FRONTS the counts are war days."""
    days, found = frame.calendar(), {}
    for name in TARGETS:
        sites = "us_sites" if name in US_SITES else "any"
        found[name] = reported(tables, Population(theatres=(name,), sites=sites, bloc="iran_aligned"), frame)
    wars = {name: marked(tables, days, "war", [name]) for name in FRONTS}
    return found | {name: (Series(days, war, np.full(days.size, True)), False) for name, war in wars.items()}


# ---- coincidences ----------------------------------------------------------------------------------------------------


def coincidence(quantity: str, y: np.ndarray, x: np.ndarray, rule: Rule, strata: np.ndarray | None = None) -> Finding:
    """Rate of the attacks `y` on open days `x` over that on other days, beside every shift of these; shapes (days,).

    The ratio is that of the odds that an attack falls on an open day, observed over expected. Attacks over their
    expected number, the usual coincidence ratio, could not pass 1 / (share of open days), however strong the link.
    H0: the place of the open days on the circle of days is arbitrary. `attainable_p` is that of the best shift. Limits
    and power (of an excess): see `coupling.exceedance`. Misleads when few long wars hold all open days: there are many
    shifts, but few of them tell anything new. Donges et al. 2016, doi 10.1140/epjst/e2015-50233-y.
    """
    law, count, side = coupling.shift_law(y, x, strata), int(y[x].sum()), rule.direction
    method = f"{coupling.DONGES}, every circular shift{'' if strata is None else ' inside each calendar year'}"
    found = exact_null(law, count, side, quantity=quantity, method=method, n=law.size - 1, exposure=float(y.size))
    n, mean = found.n, found.null_value
    if not 0 < mean < n:
        reason = "at every shift no attack, or all of them, on open days" if n else "no attack on the days that count"
        return Finding(quantity, method, alternative=side, n=n, exposure=found.exposure, reason=reason)
    (ratio, over), (_, above) = (coupling.exceedance(law, fewest) for fewest in (count, count + 1))
    low, limit_low = np.interp([0.025, 0.05], over, ratio).tolist()
    high, limit_high = np.interp([0.975, 0.95], above, ratio, right=np.inf).tolist()
    note = f"{count} of {n} attacks on {int(x.sum())} open of {y.size} days, {mean:.3g} expected"
    found = replace(found, estimate=coupling.rate_ratio(count, mean, n), null_value=1.0, low=low, high=high,
                    limit_low=limit_low, limit_high=limit_high, notes=(note,))  # fmt: skip
    return powered(found, partial(_excess, law, rule), FAR, rule.claimed_effect) if side == "greater" else found


def _excess(law: np.ndarray, rule: Rule, ratios: np.ndarray) -> np.ndarray:
    """Power to find an excess of each size."""
    fewest = int(np.argmax(np.append(tails(law, "greater"), 0.0) <= rule.alpha))
    return np.interp(ratios, *coupling.exceedance(law, fewest))


def _shifted(yearly: bool, sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    y, x, years = sample.clock(sample.near, sample.years)
    found = coincidence("yearly_shift" if yearly else "coincidence_ratio", y, x, rule, years if yearly else None)
    notes = [SAMPLED] if sample.sampled else []
    if found.p_value is not None and not yearly:
        far = float(tails(coupling.shift_law(y, x, apart=coupling.APART), rule.direction)[int(y[x].sum())])
        notes.append(f"p = {number(far)} without shifts of less than {coupling.APART} days")
    return replace(found, notes=(*found.notes, *notes))


def _regression(sample: Sample, spec: Spec, rule: Rule, seed: int, held: tuple[str, ...] = ()) -> Finding:
    """Open days beside a smooth trend, the attacks of three days and the windows of the kinds `held`."""
    other = [marked(sample.tables, sample.series.days, kind, (*US_SITES, *FRONTS)) for kind in held]
    y, x, *shocks = sample.clock(sample.near, *(within(days, spec.lag_days) for days in other))
    course = np.vander(np.linspace(-1, 1, y.size), 3, increasing=True)
    past = [np.log1p(np.append(np.zeros(k), y[:-k])) for k in (1, 2, 3)]
    design = np.column_stack([course, *past, *(days for days in shocks if 0 < days.mean() < 1)])
    method = "negative binomial autoregression with trend, likelihood ratio"
    return nb_effect("nb_autoregression", method, y, x, design, rule.direction)


def _granger(sample: Sample, spec: Spec, rule: Rule, seed: int, step: int = 1) -> Finding:
    """Granger's test on Anscombe's square roots; with the `step` -1 the attacks are the driver."""
    roots = [2 * np.sqrt(counts + 0.375) for counts in sample.clock(sample.driver)]
    return replace(coupling.granger(*roots[::step], trend=True), alternative=rule.direction)


def _cross(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    rng, series = np.random.default_rng(seed), sample.clock(sample.driver)
    times = [np.sort(np.repeat(np.arange(c.size), c) + rng.random(int(c.sum()))) for c in series]
    return cross_excitation(*times, float(series[0].size), seed=seed, draws=min(spec.draws, 199))


def _linked_shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Year by year; the chance that a day picked at random is open; the closed form; leads; all pairs of theatres."""
    y, x, driver, years = sample.clock(sample.near, sample.driver, sample.years)
    found = [coincidence(f"in_{year}", y[years == year], x[years == year], rule) for year in np.unique(years)]
    found.append(Finding("random_day", "chance that any single day is open", estimate=float(x.mean()), exposure=y.size))
    days = (np.flatnonzero(y), np.flatnonzero(driver))
    closed = coupling.event_coincidence(*days, y.size, spec.lag_days or 0, daily=True)
    found += [replace(f, role="check", notes=("on days with an attack",)) for f in closed]
    if spec.against is not None:
        found += [replace(_granger(sample, spec, rule, seed, -1), quantity="granger_reversed", alternative="two-sided")]
    elif spec.trigger_kind == "war":
        tested = (spec.theatres[0], *(spec.trigger_theatres or ()))
        others = pairs(sample.tables, sample.frame, spec.lag_days or 0, seed=seed, draws=spec.draws, tested=tested)
        found += [pair for pair, _ in others.values()]
    return found


def pairs(
    tables: Tables, frame: Window, reach: int, *, seed: int, draws: int, tested: tuple[str, ...] = ()
) -> dict[tuple[str, str], tuple[Finding, int]]:
    """Attacks in one theatre up to `reach` days after another's, (after, before) → the ratio and the strongest lag.

    Two-sided p by every shift. The notes hold the sign, q (Benjamini and Hochberg) and the strongest of 15 lags
    (`coupling.scan`), both corrected over all pairs but the `tested` one and Iraq and Syria, which are kept apart. Left
    out are pairs with less than eight weeks in common or less than one coincidence expected.
    """
    from statsmodels.stats.multitest import fdrcorrection

    known, found, daily = theatres(tables, frame), {}, {}
    for pair in ((after, before) for after in TARGETS for before in known):
        (a, part), (b, also) = (known[name] for name in pair)
        on = a.observed & b.observed
        y, x, near = a.counts[on], b.counts[on], within(b.counts, reach)[on]
        if a is b or pair == tested or on.sum() < 8 * 7 or y.sum() * near.mean() < 1 or near.all():
            continue
        test = exact_null(coupling.shift_law(y, near), int(y[near].sum()), "two-sided", quantity="_after_".join(pair),
                          method=coupling.DONGES, n=int(y.sum()), exposure=float(y.size), seed=seed, draws=draws,
                          notes=(SAMPLED,) if part or also else ())  # fmt: skip
        ratio = coupling.rate_ratio(int(test.estimate), test.null_value, test.n)
        daily[pair], found[pair] = (y, x), replace(test, estimate=ratio, null_value=1.0)
    own = {pair: days for pair, days in daily.items() if set(pair) == set(US_SITES)}
    others = {pair: days for pair, days in daily.items() if pair not in own}
    best = coupling.scan(others, seed=seed, draws=draws) | coupling.scan(own, seed=seed, draws=draws)
    q = dict(zip(others, fdrcorrection([found[pair].p_value for pair in others] or [1.0])[1], strict=False))
    for pair, f in found.items():
        held = f"q = {q[pair]:.2g}" if pair in q else "one umbrella of groups, kept apart"
        lags = "strongest lag {} d, z = {:.2g}, p = {:.2g} over lags, {:.2g} over pairs".format(*best[pair])
        notes = ("together" if f.estimate > 1 else "apart", held, lags, *f.notes)
        found[pair] = replace(f, notes=notes), best[pair][0]
    return found


def _linked_sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any single event, with dates moved within their precision; as rival, the days of other windows held."""
    _, x = sample.clock(sample.near)

    def p_values(dates: np.ndarray) -> np.ndarray:
        counts = coupling.shift_counts(sample.series.recount(dates)[:, sample.series.observed], x)
        return one_of(*((side * counts >= side * counts[:, :1]).mean(axis=1) for side in (-1, 1)), rule.direction)

    draws = min(spec.draws, 999)  # each needs a null of its own
    moved = events_and_dates(lambda _: p_values, sample, rule.direction, seed=seed, draws=draws)
    held = tuple(kind for kind in ("war", "truce", "us_strike") if kind != spec.trigger_kind)
    shock = _regression(sample, spec, rule, seed, held)
    notes = (f"days of {', '.join(held)} held fixed", *shock.notes)
    return [*moved, replace(shock, role="rival", quantity="common_shock", method="a common shock", notes=notes)]


def _null(observed: int, law: np.ndarray, label: str) -> Null:
    """An exact law for its picture: each count as often as in 10,000 draws."""
    times = np.diff(np.rint(10_000 * np.cumsum(law)), prepend=0).astype(int)
    return Null(np.repeat(np.arange(law.size), times), observed, label)


def _linked_null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    y, x, years = sample.clock(sample.near, sample.years)
    label = "attacks on open days when these are shifted inside each year"
    return _null(int(y[x].sum()), coupling.shift_law(y, x, years), label)


def _linked_power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    y, x = sample.clock(sample.near)
    usable = rule.direction == "greater" and y.any() and 0 < x.mean() < 1
    return _excess(coupling.shift_law(y, x), rule, effects) if usable else None


# ---- several sites on one day ----------------------------------------------------------------------------------------


def site_days(sample: Sample, block: str = "M") -> tuple[int, np.ndarray]:
    """Days with two or more sites hit, and their exact law when a site's nights lie anywhere in their month or week."""
    rows = sample.rows[sample.series.positions(sample.rows["date"].to_numpy().astype("datetime64[D]"))[1]]
    _, days = sample.clock(sample.series.days.astype(f"datetime64[{block}]").astype(int))
    mine = rows["date"].to_numpy().astype(f"datetime64[{block}]").astype(int)
    nights = rows.groupby([mine, "location"])["date"].nunique().unstack(fill_value=0)
    laws = (coupling.site_law(row[row > 0].tolist(), int((days == name).sum())) for name, row in nights.iterrows())
    return int((rows.groupby("date")["location"].nunique() >= 2).sum()), summed(laws)


def _tost(sample: Sample, rule: Rule, claimed) -> Finding:
    """Equivalence of the days with several sites hit and those expected, with its power at each ratio `claimed`."""
    (count, law), (n, exposure) = site_days(sample), sample.series.total
    found = coupling.equivalence(count, float(law @ np.arange(law.size)), rule.sesoi, claimed, rule.alpha)
    return replace(found, quantity="multi_site_days", n=n, exposure=exposure)


def _permutation(block: str, name: str, sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    count, law = site_days(sample, block)
    return exact_null(law, count, rule.direction, quantity=f"{name}_permutation", n=sample.series.total[0],
                      method=f"nights of each site permuted within the {name}, exact law")  # fmt: skip


DESIGNS = {
    "coincidence": Design(
        take_sample, partial(_shifted, False), partial(_shifted, True),
        {"nb_autoregression": _regression, "cross_excitation": _cross, "granger": _granger},
        _linked_sensitivity, _linked_shown, _linked_null, _linked_power,
    ),
    "multi_site_days": Design(
        take_sample, lambda sample, spec, rule, seed: _tost(sample, rule, rule.claimed_effect or 1.0),
        partial(_permutation, "M", "month"),
        {"week_permutation": partial(_permutation, "W", "week"),
         "dispersion": lambda sample, *_: dispersion(sample.series)[0]},
        lambda *_: [], lambda *_: [],
        lambda sample, *_: _null(*site_days(sample), "days with several sites hit, nights permuted within months"),
        lambda sample, spec, rule, effects: _tost(sample, rule, effects).power,
    ),
}  # fmt: skip
