"""The specification curve: a claim's estimate and verdict under the combinations of its reasonable choices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, cached_property, partial
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from scipy.special import bdtr

from analysis_lib.claims import Claim, Population, Spec
from analysis_lib.design import Null
from analysis_lib.errors import ClaimsError
from analysis_lib.finding import Finding, number
from analysis_lib.pauses import Sample
from analysis_lib.rates import rate_power, rate_ratio
from analysis_lib.series import UNITS, exposure, select, series_of
from analysis_lib.sources.bundled import Tables
from analysis_lib.specs import run_spec
from analysis_lib.verdicts import alone
from analysis_lib.windows import Window

REGISTERED = "as registered"
ASKS = {"weapons", "sites", "theatres", "bloc", "outcome", "against"}  # a change of these is another estimand
EDGES = (-3, -2, -1, 1, 2, 3)  # days by which an edge of the window, or the start of the frame, moves
LARGEST, SLOW = 5000, 60  # specifications drawn where the choices give more: with a closed form, and without
SHIFTS = 199  # evenly spread over the frame
NUMBERS = ["estimate", "low", "high", "p_value"]
DAY = TypeAdapter(date)  # a registry may hold a date as text
Option = tuple[str, Mapping[str, Any]]  # a label, the knobs that it sets; `move_` before a knob adds days to it


@dataclass(frozen=True)
class Curve:
    """Specifications by estimate.

    `table` has a column for each choice, then estimand, estimate, low, high, p_value, verdict. `possible` counts the
    combinations of all choices, those that contradict each other among them; where they are too many, the table's were
    drawn with `seed` (None: all are there), the registered one and every single change first. `shifted` holds the
    median ratio and the share of specifications with p <= alpha of the observed history (first) and of its circular
    shifts, float (shifts + 1, 2); None where the test has no closed form.
    """

    table: pd.DataFrame
    choices: tuple[str, ...]
    possible: int
    seed: int | None
    shifted: np.ndarray | None
    less: bool

    @cached_property
    def shares(self) -> pd.DataFrame:
        """Share of the specifications with each verdict, by estimand, the registered first: no probability."""
        groups = self.table.groupby("estimand", sort=False)
        shares = groups["verdict"].value_counts(normalize=True).unstack(fill_value=0.0)
        shares.insert(0, "specifications", groups.size())
        shares.insert(1, "median", groups["estimate"].median())
        return shares.sort_index(key=lambda names: names != REGISTERED, kind="stable")

    def findings(self) -> list[Finding]:
        """Median effect and share significant beside those of the circularly shifted histories.

        H0: attacks fall without regard to the windows; the shift keeps salvos, quiet spells and the choices' overlap.
        Misleads with few events, whose shifts all look alike. Simonsohn, Simmons and Nelson 2020,
        doi 10.1038/s41562-020-0912-z.
        """
        if self.shifted is None:
            return []
        side, found = "less" if self.less else "greater", []
        told = (("median", "median ratio", side), ("share", "share with p ≤ alpha", "greater"))
        for (name, what, side), values in zip(told, self.shifted.T, strict=True):
            low, middle, high = np.quantile(values[1:], [0.025, 0.5, 0.975]).tolist()
            method = f"{what} of the specifications, beside {SHIFTS} circular shifts of the history"
            notes = (f"{number(low)} to {number(high)} in the middle 95 % of the shifts",)
            cells = {"null_value": middle, "n": len(self.table), "seed": self.seed, "draws": SHIFTS, "notes": notes}
            found.append(Null(values[1:], float(values[0]), what).finding(f"curve_{name}", method, side, **cells))
        return found


def specification_curve(
    claim: Claim, tables: Tables, *, seed: int, as_of: date | None = None, largest: int | None = None
) -> Curve:
    """The primary test of every combination of the registry's variations, for two rates also with edges moved.

    Verdicts are the rule with the primary test standing in for its other conditions, so that support is an upper
    bound, and so is contradiction by an opposite effect: randomisation, robustness and single events can only take
    them away. `largest` bounds the specifications.
    Raises InputMissing where two rates are compared and nobody knows which days were watched.
    """
    options, closed = choices(claim), claim.spec.test == "rate_ratio"
    size = largest or (LARGEST if closed else SLOW)
    rows, possible = combinations(options, 2 * size, seed)
    taken = ([options[name][i] for name, i in zip(options, row, strict=True)] for row in rows)
    picked, specs = zip(*islice(((t, s) for t in taken if (s := _changed(claim, t))), size), strict=True)
    if closed:
        found, shifted = _rates(specs, tables.as_of(as_of), claim)
    else:
        found, shifted = [_one(s, tables, claim, seed, as_of) for s in specs], None
    table = pd.DataFrame([[label for label, _ in options] for options in picked], columns=list(options))
    table["estimand"] = ["; ".join(label for label, knobs in t if ASKS & knobs.keys()) or REGISTERED for t in picked]
    verdict = cache(lambda finding: alone(claim, finding).verdict)  # many share a finding
    table[[*NUMBERS, "verdict"]] = [[*(getattr(f, name) for name in NUMBERS), verdict(f)] for f in found]
    table = table.astype(dict.fromkeys(NUMBERS, float)).sort_values("estimate", kind="stable", ignore_index=True)
    drawn = possible > 2 * size or len(specs) == size < possible
    return Curve(table, tuple(options), possible, seed if drawn else None, shifted, claim.rule.direction == "less")


def choices(claim: Claim) -> dict[str, list[Option]]:
    """Every choice with its options, the registered one first. The end of a frame moves with a window's that it is."""
    options, spec = {}, claim.spec
    for variation in claim.variations:
        if variation.choice != "placebo":  # the primary test has no placebo windows
            options.setdefault(variation.choice, [(REGISTERED, {})]).append((variation.label, variation.set))
    for edge in ("window_start", "window_end", "frame_start") if spec.test == "rate_ratio" else ():
        both = (edge, *(["frame_end"] if edge == "window_end" and spec.window_end == spec.frame_end else []))
        moved = [(f"{days:+d} days", {f"move_{name}": days for name in both}) for days in EDGES]
        options[edge.replace("_", " ")] = [(REGISTERED, {}), *moved]
    return options


def combinations(options: Mapping[str, Sequence], size: int, seed: int) -> tuple[np.ndarray, int]:
    """Indices of options, int (specifications, choices), and how many there could be.

    The registered one comes first, then every single change, then the others in random order, `size` at most.
    """
    shape = np.array([len(values) for values in options.values()], dtype=int)
    possible = prod(shape.tolist())
    steps = possible // np.cumprod(shape)  # a combination is one number, each choice a digit of it
    single = [i * step for n, step in zip(shape, steps, strict=True) for i in range(1, n)]
    drawn = np.random.default_rng(seed).choice(possible, min(size, possible), replace=False)
    kept = np.array([*dict.fromkeys([0, *single, *drawn])][:size])
    return kept[:, None] // steps % shape, possible


def _changed(claim: Claim, options: Sequence[Option]) -> Spec | None:
    """The specification with several options taken; None where they contradict each other or time's order."""
    knobs: dict[str, Any] = {}
    if any(knobs.setdefault(name, value) != value for _, change in options for name, value in change.items()):
        return None
    moved = {name.removeprefix("move_"): knobs.pop(name) for name in list(knobs) if name.startswith("move_")}
    edges = {name: DAY.validate_python(knobs.get(name, getattr(claim.spec, name))) for name in moved}
    knobs |= {name: edge + timedelta(moved[name]) for name, edge in edges.items()}
    try:
        return claim.with_knobs(knobs)
    except ClaimsError:
        return None


def _one(spec: Spec, tables: Tables, claim: Claim, seed: int, as_of: date | None) -> Finding:
    """The primary finding of one specification, or the reason why there is none."""
    try:
        return run_spec(spec, tables, claim.rule, seed=seed, as_of=as_of)
    except ClaimsError as error:
        return Finding(spec.test, "not computed", alternative=claim.rule.direction, reason=str(error))


def _rates(specs: Sequence[Spec], tables: Tables, claim: Claim) -> tuple[list[Finding], np.ndarray | None]:
    """Exact rate ratios of many specifications, and the summary of the observed and the shifted histories.

    Each population is selected and counted once, each window is a difference of cumulative counts, each distinct
    outcome is tested once. A specification without a watched day on either side has a reason and no estimate.
    """
    rule, less = claim.rule, claim.rule.direction == "less"
    dates = np.array([[s.window_start, s.window_end, s.frame_start, s.frame_end] for s in specs], "datetime64[D]")
    span = Window(dates[:, 2].min().item(), dates[:, 3].max().item())
    names, near = Population.model_fields, tables.events[span.mask(tables.events["date"])]
    populations = [Population.model_construct(**{name: getattr(s, name) for name in names}) for s in specs]
    places = {population: i for i, population in enumerate(dict.fromkeys(populations))}
    rows, watched = cache(partial(select, near)), cache(partial(exposure, tables.coverage, frame=span))
    clock = np.zeros((len(places), span.days + 1), dtype=int)  # watched days before each day
    total = np.zeros((len(places), 2 * span.days + 1), dtype=int)  # events before each, the history twice over
    for population, i in places.items():
        found = rows(population.model_copy(update={"unit": "attack"})).drop_duplicates(UNITS[population.unit])
        seen = watched(Population(theatres=population.theatres, sites=population.sites))
        counts = series_of(found["date"].to_numpy().astype("datetime64[D]"), seen, span).counts[seen]
        clock[i, 1:], total[i, 1 : 2 * counts.size + 1] = seen.cumsum(), np.tile(counts, 2).cumsum()
    place = [places[population] for population in populations]
    edges = (dates - np.datetime64(span.start)).astype(int).T + np.array([[0], [1], [0], [1]])
    edges, length = clock[place, edges.clip(edges[2], edges[3])], clock[place, -1]

    def inside_outside(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return at[1] - at[0], at[3] - at[2] - at[1] + at[0]

    tested = cache(partial(_rate, claim=claim))
    days = inside_outside(edges)
    found = [*map(tested, *(n.tolist() for n in (*inside_outside(total[place, edges]), *days)))]
    usable, shifted = (np.array(days) > 0).all(axis=0), []
    t1, t0 = (n[usable] for n in days)
    for k in range(SHIFTS + 1) if usable.any() else ():
        x1, x0 = (n[usable] for n in inside_outside(total[place, edges + k * length // (SHIFTS + 1)]))
        p = bdtr(x1 if less else x0, x1 + x0, (t1 if less else t0) / (t1 + t0))  # the tail that is asked for
        shifted.append((np.median((x1 + 0.5) / t1 * t0 / (x0 + 0.5)), (p <= rule.alpha).mean()))
    return found, np.array(shifted) if shifted else None


def _rate(x1: int, x0: int, t1: int, t0: int, claim: Claim) -> Finding:
    """The primary test of one outcome, with its power at the claimed effect."""
    rule = claim.rule
    if not t1 or not t0:
        return Finding("rate_ratio", "not computed", alternative=rule.direction, reason="no watched day")
    found, claimed = rate_ratio(x1, t1, x0, t0, rule.direction), rule.claimed_effect
    if claimed is None or found.attainable_p > rule.alpha:  # then nobody asks for its power
        return found
    return replace(found, power=rate_power(claimed * x0 / t0 * t1, x0, t1, t0, rule.alpha, rule.direction))


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
