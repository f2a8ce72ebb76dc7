"""The design of a link that changes sign: shares of attacks after two wars' starts, compared."""

from dataclasses import replace
from datetime import date

import numpy as np

from analysis_lib.claims import Rule, Spec
from analysis_lib.coordination import Sample, marked, take_sample
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.regression import nb_effect
from analysis_lib.sensitivity import events_and_dates
from analysis_lib.shares import difference_power, one_of, share_difference
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


def _sides(counts: np.ndarray, at: np.ndarray, reach: int) -> np.ndarray:
    """Sums of `counts` (…, frame days) over as many days before and from each of the days `at`: int (2, …, at)."""
    total = np.insert(np.cumsum(counts, axis=-1), 0, 0, axis=-1).astype(int)
    return np.array([total[..., at] - total[..., at - reach], total[..., at + reach] - total[..., at]])


def _around(sample: Sample, spec: Spec, counts: np.ndarray | None = None) -> np.ndarray:
    """Attacks before the two starts and after them: int (2, 2), or (2, sets, 2) for other `counts` (sets, days)."""
    return _sides(sample.series.counts if counts is None else counts, _starts(sample), spec.horizon_days)


def _shares(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Share of the attacks around a start that fall after it, second start less first: Fisher's exact test.

    With as many days on both sides it compares the two rate ratios. Misleads where attacks cluster.
    """
    (a0, b0), (a1, b1) = _around(sample, spec).tolist()
    found = share_difference(b1, b0 + b1, a1, a0 + a1, rule.direction, rule.claimed_effect, rule.alpha)
    return replace(found, quantity="onset_shares", exposure=4.0 * spec.horizon_days,
                   notes=(f"before and after the first start {a0} and {a1}, the second {b0} and {b1}",))  # fmt: skip


def _null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    """The difference of shares, half an attack added to each side, at every pair of other days without a war around."""
    reach, days = spec.horizon_days, sample.series.days
    peace = marked(sample.tables, days, spec.trigger_kind, spec.trigger_theatres) == 0
    at = np.arange(reach, days.size - reach + 1)
    at = at[_sides(sample.series.observed & peace, at, reach).sum(axis=0) == 2 * reach]
    before, after = _sides(sample.series.counts, np.append(at, _starts(sample)), reach) + 0.5
    *scores, first, second = after / (before + after)
    values = np.subtract.outer(scores, scores)[~np.eye(len(scores), dtype=bool)]
    return Null(values, second - first, "difference of shares at pairs of other days")


def _placebos(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    null = _null(sample, spec, rule, seed)
    method = f"all {null.values.size} pairs of other days without a war around them"
    return null.finding("placebo_windows", method, rule.direction)


def _regression(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    reach = spec.horizon_days
    since, second = np.tile(np.arange(-reach, reach), 2), np.repeat([0, 1], 2 * reach)
    y = sample.series.counts[_starts(sample)[second] + since]
    design = np.column_stack([np.ones(y.size), second, since >= 0, since / reach])
    method = "negative binomial regression with trend around the starts, likelihood ratio"
    return nb_effect("nb_trend", method, y, (second == 1) & (since >= 0), design, rule.direction)


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    from scipy.stats import hypergeom

    def p_values(dates: np.ndarray) -> np.ndarray:
        before, after = _around(sample, spec, sample.series.recount(dates))
        law = hypergeom((before + after).sum(axis=-1), (before + after)[..., 1], after.sum(axis=-1))
        return one_of(law.cdf(after[..., 1]), law.sf(after[..., 1] - 1), rule.direction)

    return events_and_dates(lambda _: p_values, sample, rule.direction, seed=seed, draws=spec.draws)


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray | None:
    (a0, b0), (a1, b1) = _around(sample, spec).tolist()
    if not (a0 + a1 and b0 + b1):
        return None
    return difference_power(b0 + b1, a0 + a1, a1 / (a0 + a1), rule.direction, rule.alpha, effects)


_TESTS = {"nb_trend": _regression, "placebo_windows": _placebos}
DESIGNS = {"onset_shares": Design(take_onsets, _shares, _placebos, _TESTS, _sensitivity, lambda *_: [], _null, _power)}
