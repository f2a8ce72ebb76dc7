"""The design of a link that changes sign: shares of attacks after two wars' starts, compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analysis_lib.claims import Rule, Spec
from analysis_lib.coordination import Sample, marked, take_sample
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.regression import nb_effect
from analysis_lib.sensitivity import events_and_dates
from analysis_lib.shares import difference_power, one_of, share_difference

if TYPE_CHECKING:
    from analysis_lib.sources.bundled import Tables


def take_onsets(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample of two starts, of the first and the last run of trigger days; `design.Design` says what it raises."""
    sample, reach = take_sample(spec, tables, as_of), spec.horizon_days
    starts = _starts(sample)
    if reach is None:
        raise BadInput("this specification has no horizon_days: give the days to compare on each side of a start")
    if np.unique(starts).size < 2 or starts[-1] + reach > sample.driver.size:
        raise InputMissing(f"not yet observed: two starts and {reach} days after the second, in {sample.frame}")
    if starts[0] < reach or not sample.series.observed[np.add.outer(starts, np.arange(-reach, reach))].all():
        raise BadInput(f"{sample.frame}: not all of {reach} days around the starts were watched; choose others")
    return sample


def _starts(sample: Sample) -> np.ndarray:
    """First day of the first and of the last run of trigger days: int, shape (2,), or less where there is none."""
    starts = np.flatnonzero(np.diff(sample.driver, prepend=0) == 1)
    return starts[[0, -1]] if starts.size else starts


def _sides(counts: np.ndarray, at: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of `counts` (last axis: frame days) over as many days before and from each of the days `at`."""
    total = np.insert(np.cumsum(counts, axis=-1), 0, 0, axis=-1).astype(int)
    return total[..., at] - total[..., at - reach], total[..., at + reach] - total[..., at]


def _shares(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Share of the attacks around a start that fall after it, second start less first: Fisher's exact test.

    With as many days on both sides it compares the two rate ratios. Misleads where attacks cluster.
    """
    (a0, b0), (a1, b1) = (side.tolist() for side in _sides(sample.series.counts, _starts(sample), spec.horizon_days))
    notes = (f"before and after the first start {a0} and {a1}, the second {b0} and {b1}",)
    if not (a0 + a1 and b0 + b1):
        return Finding("onset_shares", "Fisher's exact test", n=a0 + a1 + b0 + b1, alternative=rule.direction,
                       null_value=0.0, notes=notes, reason="no attack around one of the starts")  # fmt: skip
    found = share_difference(b1, b0 + b1, a1, a0 + a1, rule.direction, rule.claimed_effect, rule.alpha)
    return replace(found, quantity="onset_shares", exposure=4.0 * spec.horizon_days, notes=notes)


def _null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    """The difference of shares, half an attack added to each side, at every pair of other days without a war around."""
    reach, days = spec.horizon_days, sample.series.days
    wars = marked(sample.tables, days, spec.trigger_kind, spec.trigger_theatres)
    at = np.arange(reach, days.size - reach + 1)
    at = at[np.sum(_sides(sample.series.observed & (wars == 0), at, reach), axis=0) == 2 * reach]
    scores, (first, second) = (
        (after + 0.5) / (before + after + 1)
        for before, after in (_sides(sample.series.counts, days_at, reach) for days_at in (at, _starts(sample)))
    )
    values = np.subtract.outer(scores, scores)[~np.eye(scores.size, dtype=bool)]
    return Null(values, float(second - first), "difference of shares at pairs of other days")


def _placebos(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    null = _null(sample, spec, rule, seed)
    size = null.values.size
    found = Finding("placebo_windows", f"all {size} pairs of other days without a war around them", null_value=0.0,
                    estimate=null.observed, alternative=rule.direction, n=size)  # fmt: skip
    if not size:
        return replace(found, reason="no other day has as many days without a war around it")
    beyond = [(1 + int(np.sum(side * null.values >= side * null.observed - 1e-12))) / (1 + size) for side in (-1, 1)]
    p, two = (float(one_of(*beyond, side)) for side in (rule.direction, "two-sided"))
    return replace(found, p_value=p, p_two_sided=two, attainable_p=1 / (1 + size))


def _regression(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    reach = spec.horizon_days
    since, second = np.tile(np.arange(-reach, reach), 2), np.repeat([False, True], 2 * reach)
    y = sample.series.counts[_starts(sample)[second.astype(int)] + since]
    design = np.column_stack([np.ones(y.size), second, since >= 0, since / reach])
    method = "negative binomial regression with trend around the starts, likelihood ratio"
    return nb_effect("nb_trend", method, y, second & (since >= 0), design, rule.direction)


def _p_values(sample: Sample, spec: Spec, rule: Rule, dates: np.ndarray) -> np.ndarray:
    from scipy.stats import hypergeom

    before, after = _sides(sample.series.recount(dates), _starts(sample), spec.horizon_days)
    law = hypergeom((before + after).sum(axis=-1), (before + after)[..., 1], after.sum(axis=-1))
    return one_of(law.cdf(after[..., 1]), law.sf(after[..., 1] - 1), rule.direction)


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    return events_and_dates(lambda _: partial(_p_values, sample, spec, rule), sample.rows, sample.frame, rule.direction,
                            seed=seed, draws=spec.draws)  # fmt: skip


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    (a0, b0), (a1, b1) = (side.tolist() for side in _sides(sample.series.counts, _starts(sample), spec.horizon_days))
    if not (a0 + a1 and b0 + b1):
        return None
    return difference_power(b0 + b1, a0 + a1, a1 / (a0 + a1), rule.direction, rule.alpha, effects)


DESIGNS = {
    "onset_shares": Design(
        take_onsets, _shares, _placebos, {"nb_trend": _regression, "placebo_windows": _placebos}, _sensitivity,
        lambda *_: [], _null, _power,
    ),
}  # fmt: skip
