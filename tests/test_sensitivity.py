"""One event fewer, dates a little off: the fast paths against loops over the whole test."""

from datetime import date, timedelta
from itertools import product

import numpy as np
import pytest
from scipy import stats

from analysis_lib.sensitivity import ENUMERATE, REACH, date_shift, leave_one_out

WINDOW = (np.datetime64("2021-05-10"), np.datetime64("2021-05-21"))
SHARE = 12 / 53


def p_values(dates: np.ndarray) -> np.ndarray:
    """P(X <= x) of the exact test, for sets of dates in a frame of 53 days; NaT and dates outside it do not count."""
    first, last = np.datetime64("2021-04-14"), np.datetime64("2021-06-05")
    valid = (dates >= first) & (dates <= last)
    inside = (dates >= WINDOW[0]) & (dates <= WINDOW[1])
    return stats.binom.cdf(inside.sum(axis=1), valid.sum(axis=1), SHARE)


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


EVENTS = days("2021-04-14", "2021-05-08", "2021-05-11", "2021-05-22", "2021-06-01")


def test_leave_one_out_is_the_largest_p_of_a_loop():
    slow = [float(p_values(np.delete(EVENTS, i)[None, :])[0]) for i in range(EVENTS.size)]
    found = leave_one_out(p_values, EVENTS, list("abcde"), "less")
    assert found.p_value == pytest.approx(max(slow))
    assert found.notes == (f"without {'abcde'[int(np.argmax(slow))]}; the smallest is {min(slow):.3g}",)
    assert (found.n, found.role) == (5, "leave_one_out")


def test_leaving_out_the_only_event_leaves_no_evidence():
    assert leave_one_out(p_values, days("2021-05-30"), ["a"], "less").p_value == 1.0


def test_no_event_is_a_reason_and_no_number():
    for found in (
        leave_one_out(p_values, days(), [], "less"),
        date_shift(p_values, days(), [], "less", seed=1, draws=99),
    ):
        assert found.p_value is None
        assert found.reason.startswith("no event")


@pytest.mark.parametrize(
    "precision",
    [
        ("day", "day", "day", "day", "day"),
        ("day", "pm1", "day", "pm1", "day"),
        ("pm1", "pm1", "pm1", "pm1", "pm1"),
        ("day", "week", "week", "pm1", "day"),
        ("month", "day", "day", "pm1", "week"),
    ],
)
def test_date_shift_lists_every_combination(precision):
    moves = [range(-REACH[word], REACH[word] + 1) for word in precision]
    every = [EVENTS + np.array(move) for move in product(*moves)]
    slow = p_values(np.array(every))
    found = date_shift(p_values, EVENTS, list(precision), "less", seed=1, draws=99)
    assert found.p_value == pytest.approx(slow.max())
    assert f"all {len(every)} combinations" in found.method
    assert f"p between {slow.min():.3g} and {slow.max():.3g}" in found.notes[0]
    assert (found.seed, found.draws, found.n) == (None, None, sum(word != "day" for word in precision))


def test_the_reach_of_each_precision_in_days():
    assert REACH == {"day": 0, "pm1": 1, "week": 3, "month": 15}


def test_a_date_that_may_be_a_day_off_can_leave_the_window():
    """10 May may be 9 May: with it outside, the window is emptier; with 9 May inside, fuller."""
    found = date_shift(p_values, days("2021-04-20", "2021-05-09"), ["day", "pm1"], "less", seed=1, draws=99)
    inside, outside = p_values(np.array([days("2021-04-20", "2021-05-10"), days("2021-04-20", "2021-05-09")]))
    assert found.p_value == pytest.approx(inside)
    assert inside > outside


@pytest.mark.parametrize(("movable", "listed"), [(8, True), (9, False)])  # 3^8 = 6561, 3^9 = 19683
def test_too_many_combinations_are_drawn(movable, listed):
    start = date(2021, 5, 6)
    dates = days(*(str(start + timedelta(i)) for i in range(movable)))
    found = date_shift(p_values, dates, ["pm1"] * movable, "less", seed=3, draws=500)
    assert (3**movable <= ENUMERATE) is listed
    assert (found.seed, found.draws) == ((None, None) if listed else (3, 500))


def test_draws_hold_the_stated_dates_and_follow_the_seed():
    dates, words = np.repeat(days("2021-05-10"), 20), ["week"] * 20

    def found(seed, draws=99):
        return date_shift(p_values, dates, words, "less", seed=seed, draws=draws)

    assert found(1) == found(1)
    assert found(1).p_value == float(p_values(dates[None, :])[0]) == 1.0  # all inside, which no draw would give
    assert len({found(seed).notes for seed in range(5)}) > 1
