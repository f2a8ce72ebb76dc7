"""Date arithmetic: closed windows of whole days, and the placebo windows of a reference period."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from analysis_lib.errors import BadInput


@dataclass(frozen=True, order=True)
class Window:
    """Whole days from `start` to `end`, both included.

    >>> war = Window(date(2021, 5, 10), date(2021, 5, 21))
    >>> war.days, date(2021, 5, 21) in war
    (12, True)
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise BadInput(f"window {self}: end before start; allowed: end on or after start; swap the two dates")

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end

    def __str__(self) -> str:
        return f"{self.start}…{self.end}"

    def overlaps(self, other: Window) -> bool:
        return self.start <= other.end and other.start <= self.end

    def clip(self, other: Window) -> Window | None:
        """The days of this window that lie in `other`; None where there are none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start, end) if start <= end else None

    def until(self, last: date | None) -> Window | None:
        """This window cut after the day `last`; None where it starts later."""
        return self if last is None else self.clip(Window(date.min, last))

    def shift(self, days: int) -> Window:
        return Window(self.start + timedelta(days), self.end + timedelta(days))

    def calendar(self) -> np.ndarray:
        """Every day, as datetime64[D], shape (days,)."""
        return np.arange(np.datetime64(self.start), np.datetime64(self.end) + np.timedelta64(1, "D"))

    def mask(self, days: np.ndarray) -> np.ndarray:
        """Which of `days` (datetime64[D], shape (n,)) lie in the window: bool, shape (n,)."""
        return (days >= np.datetime64(self.start)) & (days <= np.datetime64(self.end))


def placebo_starts(observed: np.ndarray, length: int) -> np.ndarray:
    """First positions of every run of `length` True days in `observed` (bool, shape (days,)).

    >>> placebo_starts(np.array([True, True, False, True, True, True]), 2)
    array([0, 3, 4])
    """
    total = np.concatenate([[0], np.cumsum(observed)])
    return np.flatnonzero(total[length:] - total[:-length] == length)


def outside(days: np.ndarray, windows: Iterable[Window]) -> np.ndarray:
    """Which of `days` lie in none of `windows`: bool, shape (n,)."""
    return ~sum((window.mask(days) for window in windows), np.zeros(days.size, dtype=bool))
