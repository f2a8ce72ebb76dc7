"""Small histories whose truth is known, as days in memory or as a data folder on disk.

A generator gives the days of the attacks (datetime64[D], sorted, one entry an attack); `write` turns them into
events.csv, windows.csv and coverage.csv with the columns of the bundled tables. Tests ask for the verdict that the
truth demands; calibration asks how often the rule gives it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from analysis_lib import Window
from analysis_lib.paths import DATA

YEAR = Window(date(2021, 1, 1), date(2021, 12, 31))
WAR = Window(date(2021, 5, 10), date(2021, 5, 21))
FRAME = Window(date(2021, 4, 14), date(2021, 6, 5))

EVENT = {
    "date_precision": "day", "theatre": "iraq", "country": "IQ", "location": "Base", "launch_from": "IQ",
    "weapons": "drone", "actor": "unknown", "bloc": "iran_aligned", "attribution": "none",
    "target_class": "us_military", "us_target": "yes", "intercepted": "unknown", "damage": "unknown",
    "confidence": "high", "sources": "https://example.org/report",
}  # fmt: skip


def steady_days(span: Window, per_day: int = 1, every: int = 1, phase: int = 0) -> np.ndarray:
    """`per_day` attacks on every `every`-th day, from day `phase` on: no chance in it."""
    return np.repeat(span.calendar()[phase::every], per_day)


def poisson_days(span: Window, rate: float, seed: int, *, window: Window = WAR, ratio: float = 1.0) -> np.ndarray:
    """Independent Poisson counts of `rate` attacks a day, `ratio` times as many inside `window`: that is the truth."""
    days = span.calendar()
    return np.repeat(days, np.random.default_rng(seed).poisson(np.where(window.mask(days), ratio, 1.0) * rate))


def salvo_days(span: Window, per_salvo: int, every: int, phase: int = 0) -> np.ndarray:
    """`per_salvo` attacks together, one salvo in `every` days: quiet spells belong to the pattern, none is a pause."""
    return steady_days(span, per_salvo, every, phase)


def without(days: np.ndarray, window: Window) -> np.ndarray:
    """The history with nothing inside `window`: a full pause."""
    return days[~window.mask(days)]


def event_row(day: date | str, number: int = 1, **cells: str) -> dict[str, str]:
    """One row of events.csv: a drone on a US base in Iraq, reported the same day; `cells` replaces any of it."""
    known = {"event_id": f"IQ-{str(day).replace('-', '')}-{number:02d}", "date": str(day), "first_reported": str(day)}
    return EVENT | known | cells


def event_rows(days: Iterable[np.datetime64], **cells: str) -> list[dict[str, str]]:
    """One row for each day given, numbered so that the event_id is unique."""
    return [event_row(str(day), number, **cells) for number, day in enumerate(days, 1)]


def window_row(window: Window, kind: str = "war", theatre: str = "israel_gaza", name: str = "war") -> dict[str, str]:
    """One row of windows.csv."""
    return {
        "window_id": name, "kind": kind, "start": str(window.start), "end": str(window.end), "theatre": theatre,
        "label": name, "confidence": "high", "sources": "https://example.org/window",
    }  # fmt: skip


def coverage_row(span: Window = YEAR, theatre: str = "iraq", group: str = "all") -> dict[str, str]:
    """One row of coverage.csv: every attack of these days would have been seen."""
    return {
        "theatre": theatre, "target_group": group, "start": str(span.start), "end": str(span.end), "level": "complete",
    }  # fmt: skip


def write(
    folder: Path, events: Sequence[dict[str, str]], windows: Sequence[dict[str, str]] = (),
    coverage: Sequence[dict[str, str]] | None = (),
) -> Path:  # fmt: skip
    """A data folder with these rows; by default one war and a year that was watched. `coverage` None: no such file."""
    tables = {"events": events, "windows": windows or [window_row(WAR)]}
    if coverage is not None:
        tables["coverage"] = coverage or [coverage_row()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "coverage.csv").unlink(missing_ok=True)
    for name, rows in tables.items():
        with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as bundled:
            header = next(csv.reader(bundled))
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, header, restval="")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def moved(window: Window, days: int) -> dict[str, str]:
    """First and last day of a window moved by so many days, as text."""
    return {"start": str(window.start + timedelta(days)), "end": str(window.end + timedelta(days))}
