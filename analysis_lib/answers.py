"""Attacks before and after answers: pooled ratio, matched peaks, change of level, hazard of the next, forecast."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from analysis_lib import hawkes
from analysis_lib.claims import Rule, Spec
from analysis_lib.design import Null
from analysis_lib.finding import Alternative, Finding
from analysis_lib.placebo import sign_flips
from analysis_lib.rates import METHOD, rate_ratio
from analysis_lib.regression import LIMITS, count_family, moment_theta, robust_fit, wald
from analysis_lib.series import Series, sum_before
from analysis_lib.shares import both_tails, one_of
from analysis_lib.windows import Window

FEWEST = 5  # responses with a matched peak: 2^-4 is above 0.05
PAST = (7, 14, 28)  # days of history that a matched peak shares
PEAKS = 10  # matched peaks of one response, the nearest
CALIPER = 1.0  # greatest difference of the square roots of past counts: two standard deviations of a Poisson count
SIMULATED = 499  # histories for each power


@dataclass(frozen=True)
class Sample:
    """Daily counts from 28 days before the frame on, the responses in it, and the days compared around each.

    Arrays of shape (days, …): `side`, int, 2i on the days before response i, 2i + 1 on those after it, -1 elsewhere,
    as many before as after; `answered`, days of a response; `usable`, watched days of the frame; `quiet`, those of them
    with neither a response nor the start of a truce; `past`, attacks of the 7, 14 and 28 days before and whether one of
    the last 7 had casualties, NaN where not all 28 were watched.
    """

    rows: pd.DataFrame
    frame: Window
    series: Series
    responses: tuple[Window, ...]
    side: np.ndarray
    answered: np.ndarray
    usable: np.ndarray
    quiet: np.ndarray
    past: np.ndarray
    window: None = None

    @cached_property
    def days(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Positions of the days before and after each response."""
        return [tuple(np.flatnonzero(self.side == 2 * i + j) for j in (0, 1)) for i in range(len(self.responses))]

    @cached_property
    def pairs(self) -> np.ndarray:
        """Attacks before and after each response: int (responses, 2)."""
        return np.array([[self.series.counts[days].sum() for days in pair] for pair in self.days])


def pooled_ratio(pairs: np.ndarray, alternative: Alternative = "less") -> Finding:
    """Rate after divided by rate before, pooled over responses: conditional Poisson, exact sign flips.

    `pairs`, int (m, 2): attacks in equally many days before and after each response. Each response has a rate of its
    own; given both counts, those after are Binomial with odds rho, so rho is the ratio of the sums. H0: before and
    after are exchangeable within each response; p from all 2^m swaps, which keep salvos whole. The interval takes the
    spread between responses (sandwich, t on m - 1), or Poisson's where that is wider. Misleads because answers follow
    peaks: after a peak the rate falls without any answer, see `matched_peaks`.

    >>> pooled_ratio(np.array([[6, 2], [5, 3], [4, 1], [7, 4], [3, 2], [5, 0]])).sentence()
    'answer ratio 0.4 (95 % interval 0.205 to 0.781), p = 0.0156, n = 42'
    """
    (x0, x1), m = pairs.sum(axis=0), len(pairs)
    informative = np.count_nonzero(pairs.any(axis=1))
    found = replace(
        rate_ratio(int(x1), 1, int(x0), 1), quantity="answer_ratio",
        method="rate after over before, pooled over responses (conditional Poisson), exact sign flips",
        **both_tails(*sign_flips(pairs[:, 1] - pairs[:, 0]), alternative),
        attainable_p=min(1.0, 0.5**informative * (2 if alternative == "two-sided" else 1)),
        notes=(f"{x0} attacks before, {x1} after; {m} responses, {informative} of them with an attack",),
    )  # fmt: skip
    if min(x0, x1, m - 1) == 0:
        return found
    spread = ((pairs @ [-x1 / x0, 1]) ** 2).sum() * m / (m - 1) / x1**2
    ends = np.array(list(LIMITS.values()))
    far = max(np.sqrt(spread) * stdtrit(m - 1, ends), np.sqrt(1 / x0 + 1 / x1) * ndtri(ends), key=np.ptp)
    return replace(found, **dict(zip(LIMITS, (found.estimate * np.exp(far)).tolist(), strict=True)))


def answer_power(before, effects, alpha: float, alternative: Alternative, seed: int) -> np.ndarray:
    """Power of the sign flips at each ratio (k,): Poisson counts of means `before` (m,), `effects` (k,) times as many.

    The counts after grow with the effect by independent steps, so that the curve has no noise between its points.
    """
    rng, order = np.random.default_rng(seed), np.argsort(effects)
    steps = np.multiply.outer(np.diff(np.asarray(effects)[order], prepend=0.0), before)[:, None]
    after = rng.poisson(steps, (order.size, SIMULATED, before.size)).cumsum(axis=0)
    p = one_of(*sign_flips(after - rng.poisson(before, (SIMULATED, before.size))), alternative)
    return (p <= alpha).mean(axis=1)[np.argsort(order)]


def matched_days(sample: Sample, i: int) -> np.ndarray:
    """Positions of the matched peaks of response i, the nearest first: int (peaks,).

    A matched peak has as many quiet days on either side, the same casualty flag, and counts of the 7, 14 and 28 days
    before that differ by at most `CALIPER` on the square-root scale.
    """
    at, k = np.searchsorted(sample.series.days, np.datetime64(sample.responses[i].start)), sample.days[i][0].size
    free = sum_before(np.append(sample.quiet, [False] * (k + 1)), 2 * k + 1)[k + 1 :] == 2 * k + 1
    far = np.abs(np.sqrt(sample.past[:, :3]) - np.sqrt(sample.past[at, :3])).max(axis=1)
    near = np.flatnonzero(free & (sample.past[:, 3] == sample.past[at, 3]) & (far <= CALIPER))
    return near[np.argsort(far[near], kind="stable")[:PEAKS]] if k else near[:0]


def placebo_shares(sample: Sample, seed: int, draws: int) -> tuple[Null, list[np.ndarray]]:
    """Share of attacks that fall after, for `draws` random choices among each response and its matched peaks.

    Also, for every response that has a peak, the attacks before and after it and, in further rows, those before and
    after its peaks: int (1 + peaks, 2).
    """
    rng, total, sets = np.random.default_rng(seed), np.concatenate([[0], np.cumsum(sample.series.counts)]), []
    for i, pair in enumerate(sample.pairs):
        day, k = matched_days(sample, i), sample.days[i][0].size
        if day.size:
            peaks = [total[day] - total[day - k], total[day + 1 + k] - total[day + 1]]
            sets.append(np.vstack([pair, np.transpose(peaks)]))
    # the first choice is the responses themselves
    chosen = (rows[np.append(0, rng.integers(len(rows), size=draws))] for rows in sets)
    counts = sum(chosen, np.zeros((1 + draws, 2)))
    shares = counts[:, 1] / np.maximum(1, counts.sum(axis=1))
    return Null(shares[1:], shares[0], "share of attacks that fall after, responses and peaks mixed"), sets


def matched_peaks(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Attacks after / before the responses, divided by the same at peaks with equal history and no response.

    H0: within each response and its matched peaks, the response might have fallen on any of those days. p of the share
    of attacks that fall after, random choices of one day in each set, add-one (Phipson and Smyth 2010,
    doi 10.2202/1544-6115.1585). Below 1: attacks fell by more than after a peak without an answer. Misleads where what
    the answer hung on (intent, a casualty to come) is not in the counts.
    """
    null, sets = placebo_shares(sample, seed, spec.draws)
    here, typical = sum(rows[0] for rows in sets), sum(rows[1:].mean(axis=0) for rows in sets)
    found = Finding("matched_peaks", f"beside at most {PEAKS} peaks each with the same history and no response",
                    alternative=rule.direction, n=len(sets))  # fmt: skip
    if found.n < FEWEST or not here.any():
        few = f"{found.n} of {len(sample.responses)} responses have a matched peak without one; {FEWEST} are needed"
        return replace(found, reason=few)
    peaks = np.array([len(rows) - 1 for rows in sets])
    ratio, usual = (after / before if before else np.inf for before, after in (here, typical))
    note = f"after / before: {ratio:.3g} at {found.n} responses, {usual:.3g} at {peaks.sum()} peaks without one"
    less, greater = ((1 + (side * (null.values - null.observed) <= 1e-12).sum()) / (1 + spec.draws) for side in (1, -1))
    return replace(found, estimate=float(ratio / usual) if usual else None, seed=seed, draws=spec.draws, notes=(note,),
                   attainable_p=max(1 / (1 + spec.draws), float(np.prod(1 / (1 + peaks)))),
                   **both_tails(less, greater, rule.direction))  # fmt: skip


def interrupted_series(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Change of level at the response in a count regression of the days around it, each response with its own rate.

    log mean = response + slope x day + change of slope x day x after + level x after, day in horizons. H0: level 0.
    NB2 with theta from moments; Newey–West errors within responses. Bernal, Cummins and Gasparrini
    2017, doi 10.1093/ije/dyw098. Misleads where the rise before an answer is a peak: the line drawn on from it is too
    high, and any fall looks like an effect.
    """
    if not sample.pairs.sum(axis=0).all():
        compared = sample.side >= 0
        return _exact("interrupted_series", sample.series.counts[compared], sample.side[compared] % 2 == 1, rule)
    kept = [days for days, counts in zip(sample.days, sample.pairs, strict=True) if counts.any()]
    day, which = np.concatenate(sum(kept, ())), np.repeat(np.arange(len(kept)), [2 * b.size for b, _ in kept])
    time = np.concatenate([np.append(b - b[-1] - 1, a - a[0] + 1) for b, a in kept]) / spec.horizon_days
    y, after = sample.series.counts[day], time > 0
    design = np.column_stack([np.eye(len(kept))[which], time, time * after, after])
    theta = moment_theta(y, design)
    coef, covariance = robust_fit(y, design, count_family(theta), PAST[0], which)
    note = f"slope x {np.exp(coef[-2]):.3g} in {spec.horizon_days} days; theta {theta:.3g}"
    found = Finding("interrupted_series", "change of level beside slopes, Newey–West errors", n=int(y.sum()),
                    exposure=float(y.size), notes=(note,))  # fmt: skip
    return wald(found, coef[-1], covariance[-1, -1], rule.direction)


def _exact(quantity: str, y: np.ndarray, after: np.ndarray, rule: Rule) -> Finding:
    """Where a regression has no contrast (no attack on one side, or on every day): the exact test of the two rates."""
    (x1, t1), (x0, t0) = ((int(y[days].sum()), float(days.sum())) for days in (after, ~after))
    if not (t1 and t0):
        return Finding(quantity, METHOD, alternative=rule.direction, reason="no day after a response, or no other day")
    return replace(rate_ratio(x1, t1, x0, t0, rule.direction), quantity=quantity)


def next_attack_hazard(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Hazard ratio of an attack day within the horizon after a response, given the history, over all days of the frame.

    Discrete-time proportional hazards (complementary log-log) of "an attack today", the response as a time-varying
    covariate beside the attacks of the last 7 and 28 days and a casualty in the last 7; Newey–West errors. H0: ratio 1.
    Dugan, LaFree and Piquero 2005, doi 10.1111/j.1745-9125.2005.00043.x. Misleads where several attacks a day hide a
    fall: only days with and without an attack are told apart.
    """
    from statsmodels.genmod import families

    keep = sample.usable & np.isfinite(sample.past[:, 0])
    recent = ((sum_before(sample.answered, spec.horizon_days) > 0) & ~sample.answered)[keep]
    y, past = sample.series.counts[keep] > 0, sample.past[keep]
    if any(np.unique(y[group]).size < 2 for group in (recent, ~recent)):
        return _exact("next_attack_hazard", y, recent, rule)
    history = np.column_stack([np.log1p(past[:, [0, 2]]), past[:, 3]])
    design = np.column_stack([np.ones(y.size), history[:, np.ptp(history, axis=0) > 0], recent])
    coef, covariance = robust_fit(y.astype(float), design, families.Binomial(families.links.CLogLog()), PAST[0])
    found = Finding("next_attack_hazard", "hazard of an attack day given history and casualties, Newey–West errors",
                    n=int(y.sum()), exposure=float(y.size),
                    notes=(f"{recent.sum()} of {y.size} days follow a response",))  # fmt: skip
    return wald(found, coef[-1], covariance[-1, -1], rule.direction)


def forecast(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Attacks after the responses divided by what a self-exciting process, fitted to the frame, expects from before.

    Hawkes process with exponential kernel on the watched days of the series, times within a day drawn; from the
    history at the end of each response `draws` futures are simulated. H0: the attacks after are one of those futures,
    so that a peak dies down as peaks do. Misleads where the level drifts within the frame: drift is then taken for
    long memory. Ogata 1988, doi 10.1080/01621459.1988.10478560.
    """
    found = Finding("forecast", "a return to the mean, as a self-exciting process forecasts it", role="rival",
                    alternative=rule.direction, n=int(sample.pairs[:, 1].sum()))  # fmt: skip
    rng, day, clock = np.random.default_rng(seed), sample.series.event_days, np.cumsum(sample.series.observed)
    times, end = np.sort(day + rng.random(day.size)), float(clock[-1])
    if times.size < hawkes.FEWEST:
        return replace(found, reason=f"fewer than {hawkes.FEWEST} attacks, which say nothing of a decay")
    fits = [(*hawkes.fit(times, [times], end, beta), beta) for beta in hawkes.DECAYS]
    (mu, alpha), _, beta = max(fits, key=lambda each: each[1])
    branching, future = min(alpha / beta, 0.95), np.zeros(spec.draws, dtype=int)
    for after in (after for _, after in sample.days if after.size):
        start = clock[after[0]] - 1
        past = times[times < start] - start
        future += hawkes.ahead(past, mu, branching, beta, after.size, spec.draws, rng)
    less, greater = ((1 + (side * future <= side * found.n).sum()) / (1 + spec.draws) for side in (1, -1))
    note = f"{future.mean():.3g} expected, {found.n} came; {branching:.2g} brought by each, memory {1 / beta:.2g} days"
    return replace(found, estimate=float(found.n / future.mean()) if future.any() else None, notes=(note,), seed=seed,
                   draws=spec.draws, **both_tails(less, greater, rule.direction))  # fmt: skip
