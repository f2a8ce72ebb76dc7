"""Windows are whole days, both ends included."""

from datetime import date

import numpy as np
import pytest
from worlds import FRAME, WAR

from analysis_lib.errors import BadInput
from analysis_lib.windows import Window, outside, placebo_starts


def day(text: str) -> date:
    return date.fromisoformat(text)


def span(start: str, end: str) -> Window:
    return Window(day(start), day(end))


def test_the_war_of_may_2021_has_12_days_and_the_frame_53():
    assert (WAR.days, FRAME.days) == (12, 53)
    assert span("2021-05-10", "2021-05-10").days == 1


@pytest.mark.parametrize(
    ("text", "inside"), [("2021-05-09", False), ("2021-05-10", True), ("2021-05-21", True), ("2021-05-22", False)]
)
def test_both_ends_belong_to_the_window(text, inside):
    assert (day(text) in WAR) is inside
    assert WAR.mask(np.array([text], dtype="datetime64[D]")).tolist() == [inside]


def test_an_end_before_the_start_is_bad_input_and_says_what_to_do():
    with pytest.raises(BadInput, match=r"end before start.*swap the two dates"):
        span("2021-05-21", "2021-05-10")


@pytest.mark.parametrize(
    ("other", "common"),
    [
        (span("2021-05-01", "2021-05-09"), None),
        (span("2021-05-01", "2021-05-10"), span("2021-05-10", "2021-05-10")),
        (span("2021-05-21", "2021-06-01"), span("2021-05-21", "2021-05-21")),
        (span("2021-05-22", "2021-06-01"), None),
        (span("2021-05-12", "2021-05-13"), span("2021-05-12", "2021-05-13")),
        (span("2021-01-01", "2021-12-31"), WAR),
    ],
)
def test_clip_and_overlap_tell_the_same_story(other, common):
    assert WAR.clip(other) == common == other.clip(WAR)
    assert WAR.overlaps(other) is other.overlaps(WAR) is (common is not None)


@pytest.mark.parametrize(
    ("last", "left"),
    [
        (None, WAR),
        ("2021-05-09", None),
        ("2021-05-10", span("2021-05-10", "2021-05-10")),
        ("2021-05-15", span("2021-05-10", "2021-05-15")),
        ("2021-06-30", WAR),
    ],
)
def test_what_is_later_than_the_as_of_day_is_cut_off(last, left):
    assert WAR.until(last and day(last)) == left


def test_shift_keeps_the_length_and_moves_back_again():
    assert WAR.shift(30) == span("2021-06-09", "2021-06-20")
    assert WAR.shift(30).shift(-30) == WAR


def test_the_calendar_lists_every_day_once():
    assert WAR.calendar().astype(str).tolist() == [f"2021-05-{d}" for d in range(10, 22)]


@pytest.mark.parametrize("length", [1, 2, 3, 6, 7])
def test_placebo_starts_are_the_runs_of_watched_days(length):
    watched = np.array([1, 1, 0, 1, 1, 1, 1], dtype=bool)
    slow = [i for i in range(len(watched) - length + 1) if watched[i : i + length].all()]
    assert placebo_starts(watched, length).tolist() == slow


def test_a_window_longer_than_the_period_has_no_place():
    assert placebo_starts(np.ones(3, dtype=bool), 4).size == 0


def test_outside_is_no_day_of_any_window():
    days = span("2021-05-08", "2021-05-23").calendar()
    kept = days[outside(days, [WAR, span("2021-05-23", "2021-05-24")])]
    assert kept.astype(str).tolist() == ["2021-05-08", "2021-05-09", "2021-05-22"]
    assert outside(days, []).all()
