"""The designs of claims on answers: the responses of a frame, the days around them, the tests; strikes and waits."""

from dataclasses import replace
from datetime import date

import numpy as np

from analysis_lib import answers, coordination
from analysis_lib.answers import PAST, Sample
from analysis_lib.claims import Rule, Spec
from analysis_lib.coordination import Sample as Linked
from analysis_lib.coupling import scan, shift_counts
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.placebo import sign_flips
from analysis_lib.rates import rate_ratio
from analysis_lib.sensitivity import events_and_dates, leave_one_out
from analysis_lib.series import Series, chosen_windows, exposure, select, series_of, sum_before
from analysis_lib.shares import both_tails
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window, outside

HARM = ["killed", "wounded", "us_killed", "us_wounded"]


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample of a specification, everything later than `as_of` unknown; InputMissing without any response."""
    if spec.trigger_kind is None or spec.horizon_days is None:
        raise BadInput("test event_study: got no trigger_kind or no horizon_days; allowed: both; give them")
    known, frame = tables.as_of(as_of), spec.frame.until(as_of)
    if frame is None:
        raise InputMissing(f"not yet observed: the frame starts on {spec.frame_start}, after {as_of}")
    responses = tuple(w for w in triggers(known, spec) if w.start in frame)
    if not responses:
        raise InputMissing(f"windows.csv has no {spec.trigger_kind} in {frame} for these theatres: nothing to compare")
    rows = select(known.events, spec)
    span = Window(frame.shift(-PAST[-1]).start, frame.end)
    watched, hurt = exposure(known.coverage, spec, span), rows[rows[HARM].gt(0).any(axis=1)]
    series, harm = (series_of(r["date"].to_numpy().astype("datetime64[D]"), watched, span) for r in (rows, hurt))
    past = np.column_stack([*(sum_before(series.counts, k) for k in PAST), sum_before(harm.counts, PAST[0]) > 0])
    past = np.where(sum_before(watched, PAST[-1])[:, None] == PAST[-1], past, np.nan)
    usable, answered = watched & frame.mask(series.days), ~outside(series.days, responses)
    truces = chosen_windows(known, ["truce", "ceasefire_announcement"], spec.trigger_theatres)
    quiet = usable & ~answered & outside(series.days, (Window(w.start, w.start) for w in truces))
    side = compared_days(responses, series, usable, spec.horizon_days)
    return Sample(rows, frame, series, responses, side, answered, usable, quiet, past)


def triggers(tables: Tables, spec: Spec) -> list[Window]:
    """Windows of windows.csv of the asked kind, theatres and ids, in order; adjacent ones are one.

    One that lasts longer than two days (a truce) stands for its first day, on which it was announced.
    """
    found: list[Window] = []
    for day in sorted(chosen_windows(tables, [spec.trigger_kind], spec.trigger_theatres, spec.trigger_ids)):
        day = day if day.days <= 2 else Window(day.start, day.start)
        last = found.pop() if found and day.start <= found[-1].shift(1).end else day
        found.append(Window(last.start, max(last.end, day.end)))
    return found


def compared_days(responses: tuple[Window, ...], series: Series, usable: np.ndarray, horizon: int) -> np.ndarray:
    """Which days count before and after which response, see `answers.Sample.side`.

    At most `horizon` usable days on either side, equally many, the nearest ones. A response's own days are left out.
    Days between two responses are split at the middle, so that none counts twice.
    """
    side = np.full(series.days.size, -1)
    ends = np.array([(response.start, response.end) for response in responses], dtype="datetime64[D]")
    first, last = np.searchsorted(series.days, ends).T
    room = np.minimum(horizon, np.concatenate([[horizon], (first[1:] - last[:-1] - 1) // 2, [horizon]]))
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        near = (slice(max(0, a - room[i]), a), slice(b + 1, b + 1 + room[i + 1]))
        before, after = (days.start + np.flatnonzero(usable[days]) for days in near)
        k = min(before.size, after.size)
        side[before[before.size - k :]], side[after[:k]] = 2 * i, 2 * i + 1
    return side


# ---- the design: (sample, spec, rule, seed) → Finding ----------------------------------------------------------------


def _primary(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    effects = np.linspace(1, 0 if rule.direction == "less" else 5, 11)
    asked = np.append(effects, 1.0 if rule.claimed_effect is None else rule.claimed_effect)
    *power, claimed = answers.answer_power(sample.pairs[:, 0], asked, rule.alpha, rule.direction, seed)
    found, days = answers.pooled_ratio(sample.pairs, rule.direction), float((sample.side >= 0).sum())
    mde = float(np.interp(0.8, power, effects)) if max(power) >= 0.8 else None
    return replace(found, exposure=days, seed=seed, draws=answers.SIMULATED, power=float(claimed), mde=mde)


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Shown, not counted: the days before in two halves, the leads as placebo, and each response alone."""
    ends = ((b[: b.size // 2], b[b.size - b.size // 2 :]) for b, _ in sample.days)
    halves = np.array([[sample.series.counts[days].sum() for days in pair] for pair in ends])
    note = "{} attacks in the earlier half, {} in the later".format(*halves.sum(axis=0))
    found = [replace(answers.pooled_ratio(halves, "greater"), quantity="rise_before", notes=(note,),
                     method="later over earlier half of the days before: a peak, where above 1")]  # fmt: skip
    for response, (before, after), (x0, x1) in zip(sample.responses, sample.days, sample.pairs, strict=True):
        if x0 + x1:
            note = f"{x0} before, {x1} after, {after.size} days each"
            alone = rate_ratio(int(x1), after.size, int(x0), before.size, "two-sided")
            found.append(replace(alone, quantity=f"response_{response.start}", notes=(note,)))
    return found


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any single response, with dates moved within their precision, and the rival: a return to the mean."""
    tail, starts = int(rule.direction == "greater"), [response.start for response in sample.responses]

    def without(kept: np.ndarray) -> np.ndarray:
        return sign_flips(np.diff(sample.pairs)[:, 0] * ~np.isnat(kept))[tail]

    def moved(dates: np.ndarray) -> np.ndarray:
        counts = (sample.series.recount(dates) @ np.equal.outer(sample.side, np.arange(2 * len(starts)))).astype(int)
        return sign_flips(counts[:, 1::2] - counts[:, ::2])[tail]

    names = [f"the response of {day}" for day in starts]
    alone = leave_one_out(without, np.array(starts, dtype="datetime64[D]"), names, rule.direction)
    _, shift = events_and_dates(lambda _: moved, sample, rule.direction, seed=seed, draws=spec.draws)
    return [alone, shift, answers.forecast(sample, spec, rule, seed)]


def _null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null | None:
    null, sets = answers.placebo_shares(sample, seed, spec.draws)
    return null if sets else None


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray:
    return answers.answer_power(sample.pairs[:, 0], effects, rule.alpha, rule.direction, seed=0)


# ---- one attack as an answer to one strike, and the series of them ---------------------------------------------------


def single_case(strikes: int, attacks: int, days: float, reach: int) -> list[Finding]:
    """What one attack within `reach` days of one strike can show: the chance of such a pair when neither heeds any.

    >>> [round(f.estimate, 3) for f in single_case(29, 2, 365, 7)]
    [0.427, 0.038, 0.671]
    """
    before, after = (float(1 - np.exp(-reach * n / days)) for n in (strikes, attacks))
    notes = (f"{strikes} strikes and {attacks} attacks in {days:g} days, reach {reach} days, Poisson",)
    chances = {
        "strike_before": ("a day has a strike within the reach before it", before),
        "attack_after": ("a strike has an attack within the reach after it", after),
        "any_pair": ("one strike or more has an attack within the reach after it", 1 - (1 - after) ** strikes),
    }
    return [Finding(name, f"chance that {what}", estimate=p, notes=notes) for name, (what, p) in chances.items()]


def waiting_time(sample: Linked, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Mean wait for the next attack from shifted strikes, over that from the strikes: above 1, attacks come sooner.

    H0: the place of the strikes on the circle of days is arbitrary; exact over every shift. Misleads where attacks come
    in salvos: few waits are then long, and they decide.
    """
    y, strikes = sample.clock(sample.driver)
    attacks, day = np.flatnonzero(y), np.arange(y.size)
    found = Finding("waiting_time", "mean wait for the next attack, every circular shift", n=np.count_nonzero(strikes),
                    alternative=rule.direction)  # fmt: skip
    if not (attacks.size and found.n):
        return replace(found, reason="no attack or no strike on the days that count")
    waits = np.append(attacks, attacks[0] + y.size)[np.searchsorted(attacks, day)] - day
    total = shift_counts(waits, strikes > 0)
    less, greater = (float((side * total >= side * total[0]).mean()) for side in (1, -1))
    note = f"{total[0] / found.n:.3g} days from a strike, {waits.mean():.3g} from any day"
    return replace(found, estimate=float(total.mean() / total[0]) if total[0] else None, notes=(note,),
                   **both_tails(less, greater, rule.direction))  # fmt: skip


def lag_scan(sample: Linked, spec: Spec, rule: Rule, seed: int) -> Finding:
    """The strongest of the lags of 0 to 14 days, its p paid for by the largest of all lags at every shift.

    H0: the place of the strikes on the circle of days is arbitrary. The p is of the largest |z|, of either direction:
    read it with the sign of the estimate. Misleads where attacks come in salvos: one day then decides.
    """
    y, strikes = sample.clock(sample.driver)
    [(lag, z, p, _)] = scan({("attack", "strike"): (y, strikes)}, seed=seed, draws=99).values()
    return Finding("lag_scan", "strongest of the lags of 0 to 14 days, max-statistic over every shift", estimate=z,
                   null_value=0.0, p_value=p, alternative=rule.direction, notes=(f"lag {lag} days",))  # fmt: skip


def _case_shown(sample: Linked, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    y, strikes = sample.clock(sample.driver)
    case = single_case(int(strikes.sum()), int(y.sum()), y.size, spec.lag_days or 0)
    return [*case, *COINCIDENCE.shown(sample, spec, rule, seed)]


COINCIDENCE = coordination.DESIGNS["coincidence"]
DESIGNS = {
    "event_study": Design(
        take_sample, _primary, answers.matched_peaks,
        {"interrupted_series": answers.interrupted_series, "matched_peaks": answers.matched_peaks,
         "next_attack_hazard": answers.next_attack_hazard},
        _sensitivity, _shown, _null, _power,
    ),
    "retaliation": replace(COINCIDENCE, shown=_case_shown, robustness={
        **COINCIDENCE.robustness, "waiting_time": waiting_time, "lag_scan": lag_scan}),
}  # fmt: skip
