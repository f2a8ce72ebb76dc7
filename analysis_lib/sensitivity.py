"""How much a p-value hangs on one event or on the dates: leave one out, dates within their stated precision."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from analysis_lib.finding import Alternative, Finding
from analysis_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd

REACH = {"day": 0, "pm1": 1, "week": 3, "month": 15}  # days either way
ENUMERATE = 10_000  # at most this many combinations of dates are listed one by one

PValues = Callable[[np.ndarray], np.ndarray]  # dates, datetime64[D] (sets, events), NaT = no such event → p, (sets,)


def leave_one_out(p_values: PValues, dates: np.ndarray, ids: list[str], alternative: Alternative) -> Finding:
    """The largest primary p after leaving out any single event. `dates` has shape (n,); NaT stands for "left out".

    Misleads where one report became several rows: then leave out the day (unit attack_day).
    """
    method = "primary p without each event in turn, the largest"
    if dates.size == 0:
        return Finding(
            "leave_one_out", method, role="leave_one_out", alternative=alternative, n=0, reason="no event in the frame"
        )
    sets = np.tile(dates, (dates.size, 1))
    np.fill_diagonal(sets, np.datetime64("NaT", "D"))
    p = p_values(sets)
    worst = int(np.argmax(p))
    return Finding("leave_one_out", method, role="leave_one_out", p_value=float(p[worst]), alternative=alternative,
                   n=int(dates.size), notes=(f"without {ids[worst]}; the smallest is {p.min():.3g}",))  # fmt: skip


def date_shift(
    p_values: PValues, dates: np.ndarray, precision: list[str], alternative: Alternative, *, seed: int, draws: int
) -> Finding:
    """The largest primary p over dates moved within their stated precision (day 0, pm1 ±1, week ±3, month ±15 days).

    Every combination where there are at most 10,000, else `draws` uniform draws, the stated dates among them. The
    spread is in the note. Misleads where a precision is stated too narrowly.
    """
    reach = np.array([REACH[word] for word in precision], dtype=int)
    moving = np.flatnonzero(reach)
    if dates.size == 0:
        return Finding(
            "date_shift",
            "dates within their precision",
            role="date_shift",
            alternative=alternative,
            n=0,
            reason="no event near the frame",
        )
    combinations = float(np.prod(2.0 * reach[moving] + 1))
    if combinations <= ENUMERATE:
        steps = [range(-reach[i], reach[i] + 1) for i in moving]
        moves = np.array(list(product(*steps)), dtype=int).reshape(int(combinations), moving.size)
        method, used_seed, used_draws = (
            f"all {int(combinations)} combinations of dates within their precision",
            None,
            None,
        )
    else:
        rng = np.random.default_rng(seed)
        moves = rng.integers(-reach[moving], reach[moving] + 1, size=(draws, moving.size))
        moves[0] = 0
        method, used_seed, used_draws = "dates drawn within their precision", seed, draws
    shifts = np.zeros((moves.shape[0], dates.size), dtype=int)
    shifts[:, moving] = moves
    p = p_values(dates + shifts.astype("timedelta64[D]"))
    spread = f"p between {p.min():.3g} and {p.max():.3g}, median {np.median(p):.3g}"
    note = f"{moving.size} of {dates.size} dates may move; {spread}"
    return Finding("date_shift", method, role="date_shift", p_value=float(p.max()), alternative=alternative,
                   n=int(moving.size), seed=used_seed, draws=used_draws, notes=(note,))  # fmt: skip


def events_and_dates(
    p_values_of: Callable[[np.ndarray], PValues], rows: pd.DataFrame, frame: Window, alternative: Alternative, *,
    seed: int, draws: int,
) -> list[Finding]:  # fmt: skip
    """Both for the rows of a frame; dates of rows just outside it may move in.

    `p_values_of` takes the rows whose dates will come, bool (rows,), for a p that needs more of them than their dates.
    """
    dates = rows["date"].to_numpy().astype("datetime64[D]")
    inside, near = frame.mask(dates), Window(frame.shift(-15).start, frame.shift(15).end).mask(dates)
    return [
        leave_one_out(p_values_of(inside), dates[inside], list(rows["event_id"][inside]), alternative),
        date_shift(p_values_of(near), dates[near], list(rows["date_precision"][near]), alternative, seed=seed,
                   draws=draws),
    ]  # fmt: skip
