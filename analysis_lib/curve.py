"""The specification curve: a claim's estimate and verdict under the combinations of its reasonable choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from analysis_lib.claims import Claim, Population, Spec
from analysis_lib.errors import ClaimsError
from analysis_lib.finding import Finding, number
from analysis_lib.pauses import Sample
from analysis_lib.rates import conditional_p, rate_power, rate_ratio
from analysis_lib.series import exposure, select, series_of
from analysis_lib.sources.bundled import Tables
from analysis_lib.specs import run_spec
from analysis_lib.verdicts import alone
from analysis_lib.windows import Window

REGISTERED = "as registered"
ASKS = ("weapons", "sites", "theatres")  # a change of these asks another question: another estimand
EDGES = (-3, -2, -1, 1, 2, 3)  # days by which a window's edge moves
LARGEST = {"rate_ratio": 6000}  # specifications drawn where the choices give more; of a slower test 60
SHIFTS = 199  # evenly spread over the frame


@dataclass(frozen=True)
class Curve:
    """Specifications by estimate; `table` has a column for each choice, then estimate, low, high, p_value, verdict.

    `possible` counts the combinations of all choices; where they are more than the table has rows, these were drawn
    with `seed`, the registered one and every single change among them. `shifted` holds the median log ratio and the
    share of specifications with p <= alpha of the observed history (first) and of its circular shifts: (shifts + 1, 2);
    None where the test has no closed form.
    """

    table: pd.DataFrame
    choices: tuple[str, ...]
    possible: int
    seed: int
    shifted: np.ndarray | None
    less: bool

    @cached_property
    def shares(self) -> pd.DataFrame:
        """Share of the specifications with each verdict, by estimand: description, not probability."""
        asks = [name for name in self.choices if name in ASKS]
        estimand = self.table[asks].agg("; ".join, axis=1) if asks else pd.Series(REGISTERED, self.table.index)
        estimand = estimand.str.replace(f"(; )?{REGISTERED}(; )?", "", regex=True).replace("", REGISTERED)
        groups = self.table.groupby(estimand.rename("estimand"), sort=False)
        shares = groups["verdict"].value_counts(normalize=True).unstack(fill_value=0.0)
        shares.insert(0, "specifications", groups.size())
        shares.insert(1, "median", groups["estimate"].median())
        return shares.sort_values("specifications", ascending=False)

    def findings(self) -> list[Finding]:
        """Median effect and share significant beside those of the circularly shifted histories.

        H0: attacks fall without regard to the windows; the shift keeps salvos, quiet spells and the choices' overlap.
        Misleads with few events, whose shifts all look alike. Simonsohn, Simmons and Nelson 2020,
        doi 10.1038/s41562-020-0912-z.
        """
        if self.shifted is None:
            return []
        side = "less" if self.less else "greater"
        observed, null = self.shifted[0], self.shifted * [-1 if self.less else 1, 1]
        p = (null >= null[0] - 1e-12).mean(axis=0)
        n = len(self.table)
        common = {"alternative": side, "n": n, "draws": len(null) - 1, "attainable_p": 1 / len(null)}
        return [
            Finding("curve_median", "median ratio of the specification curve beside circular shifts", null_value=1.0,
                    estimate=float(np.exp(observed[0])), p_value=float(p[0]), **common),
            Finding("curve_share", "share of specifications with p <= alpha beside circular shifts",
                    null_value=float(self.shifted[1:, 1].mean()), estimate=float(observed[1]), p_value=float(p[1]),
                    **common),
        ]  # fmt: skip


def specification_curve(claim: Claim, tables: Tables, *, seed: int, largest: int | None = None) -> Curve:
    """The primary test of every combination of the registry's variations, for windows also with edges moved.

    Verdicts are the rule with the primary test standing in for its other conditions, so that support is an upper
    bound: randomisation, robustness and single events can only take it away. `largest` bounds the specifications.
    """
    spec, size = claim.spec, largest or LARGEST.get(claim.spec.test, 60)
    options = choices(claim)
    picked, possible = combinations(options, size, seed)
    specs = [_changed(spec, [options[name][i] for name, i in zip(options, row, strict=True)]) for row in picked]
    kept = [(row, s) for row, s in zip(picked, specs, strict=True) if s is not None]
    specs, shifted = [s for _, s in kept], None
    if spec.test == "rate_ratio":
        found, shifted = _rates(specs, tables, claim)
    else:
        found = [_one(s, tables, claim, seed) for s in specs]
    table = pd.DataFrame([[options[n][i][0] for n, i in zip(options, row, strict=True)] for row, _ in kept],
                         columns=list(options))  # fmt: skip
    for name in ("estimate", "low", "high", "p_value"):
        table[name] = [getattr(f, name) for f in found]
    distinct = {id(f): f for f in found}  # many specifications share an outcome, and then its finding
    judged = {key: alone(claim, f).verdict for key, f in distinct.items()}
    table["verdict"] = [judged[id(f)] for f in found]
    table = table.astype(dict.fromkeys(("estimate", "low", "high", "p_value"), float))
    return Curve(table.sort_values("estimate", kind="stable", ignore_index=True), tuple(options), possible, seed,
                 shifted, claim.rule.direction == "less")  # fmt: skip


def choices(claim: Claim) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Every choice with its options (label, knobs), the registered one first; edges are days to add."""
    options: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for variation in claim.variations:
        if variation.choice != "placebo":  # the primary test has no placebo windows
            options.setdefault(variation.choice, [(REGISTERED, {})]).append((variation.label, variation.set))
    if claim.spec.test == "rate_ratio":
        for edge in ("window_start", "window_end"):
            moved = [(f"{days:+d} days", {f"move_{edge}": days}) for days in EDGES]
            options[edge.replace("_", " ")] = [(REGISTERED, {}), *moved]
    return options


def combinations(options: Mapping[str, list], size: int, seed: int) -> tuple[np.ndarray, int]:
    """Indices of options, int (specifications, choices), and how many there could be; the registered one is first.

    All of them where they are at most `size`; else every single change, then a uniform sample without repeats.
    """
    shape = [len(values) for values in options.values()]
    possible = prod(shape)
    if possible <= size:
        return np.array(list(product(*map(range, shape))), dtype=int).reshape(possible, len(shape)), possible
    single = [np.eye(len(shape), dtype=int)[k] * i for k, n in enumerate(shape) for i in range(1, n)]
    drawn = np.random.default_rng(seed).choice(possible, size, replace=False, shuffle=False)
    rows = np.vstack([np.zeros((1, len(shape)), dtype=int), *single, np.array(np.unravel_index(drawn, shape)).T])
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)][:size], possible


def _changed(spec: Spec, options: list[tuple[str, Mapping[str, Any]]]) -> Spec | None:
    """The specification with several options taken; None where two of them contradict each other or time's order."""
    knobs: dict[str, Any] = {}
    for _, change in options:
        if any(name in knobs and knobs[name] != value for name, value in change.items()):
            return None
        knobs |= change
    moved = {name.removeprefix("move_"): knobs.pop(name) for name in list(knobs) if name.startswith("move_")}
    knobs |= {name: knobs.get(name, getattr(spec, name)) + timedelta(days) for name, days in moved.items()}
    try:
        return Spec.model_validate(spec.model_dump() | knobs)
    except ValueError:
        return None


def _one(spec: Spec, tables: Tables, claim: Claim, seed: int) -> Finding:
    """The primary finding of one specification, or the reason why there is none."""
    try:
        return run_spec(spec, tables, claim.rule, seed=seed)
    except ClaimsError as error:
        return Finding(spec.test, "not computed", alternative=claim.rule.direction, reason=str(error))


def _rates(specs: list[Spec], tables: Tables, claim: Claim) -> tuple[list[Finding], np.ndarray]:
    """Exact rate ratios of many specifications, and the summary of the observed and the shifted histories.

    Each population is selected and counted once, each window is a difference of cumulative counts, each distinct
    outcome is tested once. A specification without a watched day on either side has a reason and no estimate.
    """
    rule, frames = claim.rule, [s.frame for s in specs]
    span = Window(min(f.start for f in frames), max(f.end for f in frames))
    keys = [tuple(getattr(s, name) for name in Population.model_fields) for s in specs]
    places = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    counts, observed = np.zeros((2, len(places), span.days), dtype=int)
    for key, i in places.items():
        population = Population.model_construct(**dict(zip(Population.model_fields, key, strict=True)))
        dates = select(tables.events, population)["date"].to_numpy().astype("datetime64[D]")
        series = series_of(dates, exposure(tables.coverage, population, span), span)
        counts[i], observed[i] = series.counts * series.observed, series.observed
    clipped = [s.window.clip(f) or Window(f.start, f.start) for s, f in zip(specs, frames, strict=True)]
    edges = [(w.start, w.shift(1).end, f.start, f.shift(1).end) for w, f in zip(clipped, frames, strict=True)]
    at = (np.array(edges, dtype="datetime64[D]") - np.datetime64(span.start)).astype(int)
    population = np.array([places[key] for key in keys])[:, None]

    def inside_outside(values: np.ndarray) -> np.ndarray:
        total = np.pad(values.cumsum(axis=1), ((0, 0), (1, 0)))[population, at]
        inside = total[:, 1] - total[:, 0]
        return np.array([inside, total[:, 3] - total[:, 2] - inside])

    days, watched = inside_outside(observed), [row.nonzero()[0] for row in observed]
    usable = (days > 0).all(axis=0)
    less = rule.direction == "less"

    def summary(history: np.ndarray) -> tuple[float, float]:
        x1, x0 = inside_outside(history)[:, usable]
        t1, t0 = days[:, usable]
        p = conditional_p(x1, x1 + x0, t1 / (t1 + t0))[0 if less else 1]
        return float(np.median(np.log((x1 + 0.5) / t1 * t0 / (x0 + 0.5)))), float((p <= rule.alpha).mean())

    summaries, shifted = [summary(counts)], counts.copy()
    for k in np.linspace(0, span.days, SHIFTS + 2, dtype=int)[1:-1]:
        for i, place in enumerate(watched):
            shifted[i, place] = np.roll(counts[i, place], k)
        summaries.append(summary(shifted))
    outcomes = np.vstack([inside_outside(counts), days]).T.tolist()
    tested = {outcome: _rate(*outcome, claim) for outcome in set(map(tuple, outcomes))}
    return [tested[tuple(outcome)] for outcome in outcomes], np.array(summaries)


def _rate(x1: int, x0: int, t1: int, t0: int, claim: Claim) -> Finding:
    """The primary test of one outcome, with its power at the claimed effect."""
    if not t1 or not t0:
        return Finding("rate_ratio", "not computed", alternative=claim.rule.direction, reason="no watched day")
    rule, found = claim.rule, rate_ratio(x1, t1, x0, t0, claim.rule.direction)
    if rule.claimed_effect is None:
        return found
    return replace(found, power=rate_power(rule.claimed_effect * x0 / t0 * t1, x0, t1, t0, rule.alpha, rule.direction))


def window_grid(claim: Claim, sample: Sample, reach: int = 14) -> dict[str, Any]:
    """The primary test of every window whose first day and length lie within `reach` days of the sample's.

    `cells[i][k]` is the place among `outcomes` of the window that begins i days after `first` and lasts `shortest` + k
    days, cut at the frame's end. An outcome has attacks and watched days inside and outside, then estimate, p, smallest
    possible p, interval and the rule on the primary test alone, in the words in which a page shows them.
    """
    series, window, frame = sample.series, sample.window, sample.frame
    total = np.pad(np.cumsum([series.counts * series.observed, series.observed], axis=1), ((0, 0), (1, 0)))
    at, shortest = (window.start - frame.start).days, max(1, window.days - reach)
    begins = np.arange(max(0, at - reach), min(at + reach, frame.days - 1) + 1)
    ends = np.minimum(np.add.outer(begins, np.arange(shortest, window.days + reach + 1)), frame.days)
    inside = total[:, ends] - total[:, begins, None]
    counts = np.vstack([inside, total[:, -1, None, None] - inside]).reshape(4, -1)  # x1, t1, x0, t0
    distinct, cells = np.unique(counts, axis=1, return_inverse=True)
    outcomes = []
    for x1, t1, x0, t0 in distinct.T.tolist():
        found = _rate(x1, x0, t1, t0, claim)
        numbers = map(number, (found.estimate, found.p_value, found.attainable_p))
        outcomes.append((x1, t1, x0, t0, *numbers, found.interval or "none", *alone(claim, found).row().values()))
    places = {"begin": int(at - begins[0]), "days": window.days, "shortest": shortest, "last": str(frame.end)}
    first = str(window.shift(-places["begin"]).start)
    return places | {"first": first, "cells": cells.reshape(ends.shape).tolist(), "outcomes": outcomes}
