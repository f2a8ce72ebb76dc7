"""How much a p-value hangs on one event or on the dates: leave one out, dates within their stated precision."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from analysis_lib.finding import Alternative, Finding
from analysis_lib.windows import Window

REACH = {"day": 0, "pm1": 1, "week": 3, "month": 15}  # days either way
ENUMERATE = 10_000  # at most this many combinations of dates are listed one by one

PValues = Callable[[np.ndarray], np.ndarray]  # dates, datetime64[D] (sets, events), NaT = no such event → p, (sets,)


def leave_one_out(p_values: PValues, dates: np.ndarray, ids: Sequence[str], alternative: Alternative) -> Finding:
    """The largest primary p after leaving out any single event. `dates` has shape (n,); NaT stands for "left out".

    Misleads where one report became several rows: then leave out the day (unit attack_day).
    """
    found = Finding("leave_one_out", "primary p without each event in turn, the largest", role="leave_one_out",
                    alternative=alternative, n=dates.size)  # fmt: skip
    if not dates.size:
        return replace(found, reason="no event in the frame")
    sets = np.tile(dates, (dates.size, 1))
    np.fill_diagonal(sets, np.datetime64("NaT"))
    p = p_values(sets)
    note = f"without {ids[p.argmax()]}; the smallest is {p.min():.3g}"
    return replace(found, p_value=float(p.max()), notes=(note,))


def date_shift(
    p_values: PValues, dates: np.ndarray, precision: Sequence[str], alternative: Alternative, *, seed: int, draws: int
) -> Finding:
    """The largest primary p over dates moved within their stated precision (day 0, pm1 ±1, week ±3, month ±15 days).

    Every combination where there are at most 10,000, else `draws` uniform draws, the stated dates among them. The
    spread is in the note. Misleads where a precision is stated too narrowly.
    """
    reach = np.array([REACH[word] for word in precision], dtype=int)
    found = Finding("date_shift", "dates drawn within their precision", role="date_shift", alternative=alternative,
                    n=np.count_nonzero(reach))  # fmt: skip
    if not dates.size:
        return replace(found, reason="no event near the frame")
    combinations = np.prod(2.0 * reach + 1)
    if combinations <= ENUMERATE:
        found = replace(found, method=f"all {combinations:.0f} combinations of dates within their precision")
        moves = np.array(list(product(*(range(-days, days + 1) for days in reach))))
    else:
        found = replace(found, seed=seed, draws=draws)
        moves = np.random.default_rng(seed).integers(-reach, reach + 1, size=(draws, reach.size))
        moves[0] = 0
    p = p_values(dates + moves.astype("timedelta64[D]"))
    spread = f"p between {p.min():.3g} and {p.max():.3g}, median {np.median(p):.3g}"
    return replace(found, p_value=float(p.max()), notes=(f"{found.n} of {dates.size} dates may move; {spread}",))


def events_and_dates(
    p_values_of: Callable[[np.ndarray], PValues], sample: Any, alternative: Alternative, *, seed: int, draws: int
) -> list[Finding]:
    """Both for a sample: its rows on watched days of the frame are left out in turn, dates just outside may move in.

    `p_values_of` takes the rows whose dates will come, bool (rows,), for a p that needs more of them than their dates.
    """
    dates, ids, precision = (sample.rows[name].to_numpy() for name in ("date", "event_id", "date_precision"))
    dates, frame = dates.astype("datetime64[D]"), sample.frame
    inside = frame.mask(dates) & sample.series.positions(dates)[1]
    near = Window(frame.shift(-15).start, frame.shift(15).end).mask(dates)
    alone = leave_one_out(p_values_of(inside), dates[inside], ids[inside], alternative)
    return [alone, date_shift(p_values_of(near), dates[near], precision[near], alternative, seed=seed, draws=draws)]
