"""The designs of claims on coordination: coincidences of two theatres, several sites hit on one day."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analysis_lib import coupling
from analysis_lib.claims import Rule, Spec
from analysis_lib.coupling import DONGES, equivalence, shift_counts, shift_law, site_law
from analysis_lib.design import Design, Null
from analysis_lib.finding import Finding, number
from analysis_lib.hawkes import cross_excitation
from analysis_lib.links import FRONTS, TARGETS, US_SITES, Sample, marked, take_sample, theatres, within
from analysis_lib.regression import dispersion, nb_effect
from analysis_lib.sensitivity import events_and_dates
from analysis_lib.shares import exact_null, one_of, powered, summed, tails

if TYPE_CHECKING:
    from analysis_lib.sources.bundled import Tables
    from analysis_lib.windows import Window

SHOCKS = ("war", "truce", "us_strike")
SAMPLED = "dates of a sample: shifted between the first and the last reported date"
WEEKS = 8  # watched in both theatres, that a pair needs
MOVES = 999  # sets of dates drawn within their precision: each needs a null of its own


# ---- coincidences ----------------------------------------------------------------------------------------------------


def coincidence(quantity: str, y: np.ndarray, x: np.ndarray, rule: Rule, strata: np.ndarray | None = None) -> Finding:
    """Attacks `y` on open days `x` divided by their mean under shifted days, by every shift; shapes (days,).

    H0: the place of the open days on the circle of days is arbitrary. `attainable_p` is that of the best shift. Limits
    and power (of an excess): see `coupling.exceedance`. Misleads when few long wars hold all open days: there are many
    shifts, but few of them tell anything new. Donges et al. 2016, doi 10.1140/epjst/e2015-50233-y.
    """
    law, count = shift_law(y, x, strata), int(y[x].sum())
    n, mean, side = law.size - 1, float(law @ np.arange(law.size)), rule.direction
    method = f"{DONGES}, every circular shift{'' if strata is None else ' inside each calendar year'}"
    if not 0 < mean < n:
        reason = "at every shift no attack, or all of them, on open days" if n else "no attack on the days that count"
        return Finding(quantity, method, alternative=side, n=n, exposure=float(y.size), reason=reason)
    (ratio, over), (_, above) = coupling.exceedance(law, count), coupling.exceedance(law, count + 1)
    low, limit_low = np.interp([0.025, 0.05], over, ratio).tolist()
    high, limit_high = np.interp([0.975, 0.95], above, ratio).tolist()
    found = replace(
        exact_null(law, count, side, quantity=quantity, method=method, n=n, exposure=float(y.size)),
        estimate=count / mean, null_value=1.0, low=low, high=high, limit_low=limit_low, limit_high=limit_high,
        notes=(f"{count} of {n} attacks on {int(x.sum())} open of {y.size} days, {mean:.3g} expected",),
    )  # fmt: skip
    return powered(found, partial(_excess, law, rule), n / mean, rule.claimed_effect) if side == "greater" else found


def _excess(law: np.ndarray, rule: Rule, ratios: np.ndarray) -> np.ndarray:
    """Power to find an excess of each size."""
    fewest = int(np.argmax(np.append(tails(law, "greater"), 0.0) <= rule.alpha))
    return np.interp(ratios, *coupling.exceedance(law, fewest))


def _shifted(yearly: bool, sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    y, x, years = sample.clock(sample.near, sample.years)
    found = coincidence("yearly_shift" if yearly else "coincidence_ratio", y, x, rule, years if yearly else None)
    notes = [SAMPLED] if sample.sampled else []
    if found.p_value is not None and not yearly:
        far = float(tails(shift_law(y, x, apart=coupling.APART), rule.direction)[int(y[x].sum())])
        notes.append(f"p = {number(far)} without shifts of less than {coupling.APART} days")
    return replace(found, notes=(*found.notes, *notes))


def _regression(held: bool, sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Open days in a regression with smooth trend and the attacks of three days; `held`: other windows' days too."""
    kinds = [kind for kind in SHOCKS if kind != spec.trigger_kind] if held else []
    other = [marked(sample.tables, sample.series.days, kind, (*US_SITES, *FRONTS)) for kind in kinds]
    y, x, *shocks = sample.clock(sample.near, *(within(days, spec.lag_days) for days in other))
    day, past = np.linspace(-1, 1, y.size), [np.log1p(np.append(np.zeros(k), y[:-k])) for k in (1, 2, 3)]
    design = np.column_stack([np.ones(y.size), day, day**2, *past, *(c for c in shocks if 0 < c.mean() < 1)])
    if not held:
        method = "negative binomial autoregression with trend, likelihood ratio"
        return nb_effect("nb_autoregression", method, y, x, design, rule.direction)
    found = nb_effect("common_shock", "a common shock", y, x, design, rule.direction)
    return replace(found, role="rival", notes=(f"days of {', '.join(kinds)} held fixed", *found.notes))


def _granger(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return replace(coupling.granger(*_anscombe(sample), trend=True), alternative=rule.direction)


def _anscombe(sample: Sample) -> list[np.ndarray]:
    return [2 * np.sqrt(counts + 0.375) for counts in sample.clock(sample.driver)]


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
        return [*found, replace(coupling.granger(*_anscombe(sample)[::-1], trend=True), quantity="granger_reversed")]
    if spec.trigger_kind != "war":
        return found
    tested = (spec.theatres[0], *(spec.trigger_theatres or ()))
    others = pairs(sample.tables, sample.frame, spec.lag_days or 0, seed=seed, draws=spec.draws, tested=tested)
    return [*found, *(pair for pair, _ in others.values())]


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
    for pair in ((a, b) for a in TARGETS for b in known if a != b and (a, b) != tested):
        (a, part), (b, also) = (known[name] for name in pair)
        on = a.observed & b.observed
        y, x, near = a.counts[on], b.counts[on], within(b.counts, reach)[on]
        if on.sum() < 7 * WEEKS or y.sum() * near.mean() < 1 or near.all():
            continue
        daily[pair], law, count = (y, x), shift_law(y, near), int(y[near].sum())
        cells = {"quantity": "_after_".join(pair), "method": DONGES, "n": int(y.sum()), "exposure": float(y.size)}
        test = exact_null(law, count, "two-sided", notes=(SAMPLED,) if part or also else (), **cells)
        found[pair] = replace(test, estimate=count / test.null_value, null_value=1.0, seed=seed, draws=draws)
    own = {pair: days for pair, days in daily.items() if set(pair) == set(US_SITES)}
    others = {pair: days for pair, days in daily.items() if pair not in own}
    best = coupling.scan(others, seed=seed, draws=draws) | coupling.scan(own, seed=seed, draws=draws)
    q = dict(zip(others, fdrcorrection([found[pair].p_value for pair in others] or [1.0])[1], strict=False))
    for pair, f in found.items():
        held = f"q = {q[pair]:.2g}" if pair in q else "one umbrella of groups, kept apart"
        lags = "strongest lag {} d, z = {:.2g}, p = {:.2g} over lags, {:.2g} over pairs".format(*best[pair])
        found[pair] = replace(f, notes=("together" if f.estimate > 1 else "apart", held, lags, *f.notes))
    return {pair: (f, best[pair][0]) for pair, f in found.items()}


def _linked_p(sample: Sample, spec: Spec, rule: Rule, dates: np.ndarray) -> np.ndarray:
    _, x = sample.clock(sample.near)
    counts = shift_counts(sample.series.recount(dates)[:, sample.series.observed], x)
    return one_of(*((side * counts >= side * counts[:, :1]).mean(axis=1) for side in (-1, 1)), rule.direction)


def _linked_sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    moved = events_and_dates(lambda _: partial(_linked_p, sample, spec, rule), sample.rows, sample.frame,
                             rule.direction, seed=seed, draws=min(spec.draws, MOVES))  # fmt: skip
    return [*moved, _regression(True, sample, spec, rule, seed)]


def _linked_null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    y, x, years = sample.clock(sample.near, sample.years)
    label = "attacks on open days when these are shifted inside each year"
    return _in_ten_thousand(shift_law(y, x, years), int(y[x].sum()), label)


def _in_ten_thousand(law: np.ndarray, observed: int, label: str) -> Null:
    """An exact law for its picture: each count as often as in 10,000 draws."""
    times = np.diff(np.rint(10_000 * np.cumsum(law)), prepend=0).astype(int)
    return Null(np.repeat(np.arange(law.size), times), observed, label)


def _linked_power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    y, x = sample.clock(sample.near)
    usable = rule.direction == "greater" and y.any() and 0 < x.mean() < 1
    return _excess(shift_law(y, x), rule, effects) if usable else None


# ---- several sites on one day ----------------------------------------------------------------------------------------


def site_days(sample: Sample, block: str = "M") -> tuple[int, np.ndarray]:
    """Days with two or more sites hit, and their exact law when a site's nights lie anywhere in their month or week."""
    rows = sample.rows[sample.series.positions(sample.rows["date"].to_numpy().astype("datetime64[D]"))[1]]
    _, days = sample.clock(sample.series.days.astype(f"datetime64[{block}]").astype(int))
    mine = rows["date"].to_numpy().astype(f"datetime64[{block}]").astype(int)
    nights = rows.groupby([mine, "location"])["date"].nunique().unstack(fill_value=0)
    laws = (site_law(row[row > 0].tolist(), int((days == name).sum())) for name, row in nights.iterrows())
    return int((rows.groupby("date")["location"].nunique() >= 2).sum()), summed(laws)


def _multi_site(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    count, law = site_days(sample)
    found = equivalence(count, float(law @ np.arange(law.size)), rule.sesoi, rule.claimed_effect or 1.0, rule.alpha)
    n, exposure = sample.series.total
    return replace(found, quantity="multi_site_days", n=n, exposure=exposure)


def _permutation(block: str, sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    (count, law), name = site_days(sample, block), {"M": "month", "W": "week"}[block]
    return exact_null(law, count, rule.direction, quantity=f"{name}_permutation", n=sample.series.total[0],
                      method=f"nights of each site permuted within the {name}, exact law")  # fmt: skip


def _site_null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    count, law = site_days(sample)
    return _in_ten_thousand(law, count, "days with several sites hit, nights permuted within months")


def _site_power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    count, law = site_days(sample)
    power = [equivalence(count, float(law @ np.arange(law.size)), rule.sesoi, e, rule.alpha).power for e in effects]
    return None if None in power else np.array(power)


def _nothing(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    return []


DESIGNS = {
    "coincidence": Design(
        take_sample, partial(_shifted, False), partial(_shifted, True),
        {"nb_autoregression": partial(_regression, False), "granger": _granger, "cross_excitation": _cross},
        _linked_sensitivity, _linked_shown, _linked_null, _linked_power,
    ),
    "multi_site_days": Design(
        take_sample, _multi_site, partial(_permutation, "M"),
        {"week_permutation": partial(_permutation, "W"), "dispersion": lambda sample, *_: dispersion(sample.series)[0]},
        _nothing, _nothing, _site_null, _site_power,
    ),
}  # fmt: skip
