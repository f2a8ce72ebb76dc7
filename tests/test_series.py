"""Which rows count, on which days, and what an unwatched day is not: a zero."""

from datetime import date

import numpy as np
import pytest
from worlds import WAR, coverage_row, event_row, event_rows, moved, steady_days, write

from analysis_lib import Population, Series, Window, daily_counts, load_tables, select
from analysis_lib.errors import InputMissing
from analysis_lib.series import exposure, series_of

MAY = Window(date(2021, 5, 1), date(2021, 5, 31))
DRONES = Population(theatres=("iraq",), weapons=("drone",))


@pytest.fixture
def world(tmp_path):
    """Rows and coverage → tables of a data folder that holds just these."""
    return lambda rows, coverage=(): load_tables(write(tmp_path, rows, coverage=coverage))


def ids(tables, **population) -> list[str]:
    return select(tables.events, Population(**population))["event_id"].tolist()


# ---- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        ({}, True),
        ({"us_target": "no"}, False),
        ({"us_target": "unknown"}, False),
        ({"theatre": "syria"}, False),
        ({"weapons": "rocket"}, False),
        ({"weapons": "rocket;drone"}, True),
        ({"confidence": "medium"}, True),
        ({"confidence": "low"}, False),
        ({"date_precision": "pm1"}, True),
        ({"date_precision": "week"}, False),
        ({"possible_duplicate_of": "other"}, False),
    ],
)
def test_the_primary_filter(world, cells, counts):
    rows = [event_row("2021-05-05", event_id="asked", **cells), event_row("2021-05-06", event_id="other")]
    found = ids(world(rows), weapons=("drone",))
    assert ("asked" in found) is counts
    assert "other" in found


@pytest.mark.parametrize(
    ("population", "found"),
    [
        ({"confidence": "high"}, ["high"]),
        ({"confidence": "medium"}, ["high", "medium"]),
        ({"confidence": "low"}, ["high", "low", "medium"]),
        ({"confidence": "low", "duplicates": True}, ["again", "high", "low", "medium"]),
    ],
)
def test_each_filter_can_be_widened(world, population, found):
    rows = [event_row("2021-05-05", event_id=word, confidence=word) for word in ("high", "medium", "low")]
    rows.append(event_row("2021-05-05", event_id="again", possible_duplicate_of="high"))
    assert ids(world(rows), **population) == found


@pytest.mark.parametrize(
    ("sites", "found"),
    [
        ("us_sites", ["base"]),
        ("us_interests", ["base", "convoy"]),
        ("launch_or_target", ["base", "outbound"]),
        ("any", ["base", "convoy", "other"]),
    ],
)
def test_which_targets_count(world, sites, found):
    no = {"us_target": "no", "weapons": "drone"}
    rows = [
        event_row("2021-05-01", event_id="base", launch_from=""),
        event_row("2021-05-02", event_id="convoy", target_class="logistics_convoy", launch_from="", **no),
        event_row("2021-05-03", event_id="other", launch_from="", **no),
        event_row("2021-05-04", event_id="outbound", theatre="israel_long_range", launch_from="SY|IQ", **no),
        event_row("2021-05-05", event_id="not ours", theatre="israel_long_range", bloc="turkey", **no),
    ]
    assert ids(world(rows), sites=sites) == found


def test_a_row_counts_once_however_many_weapons_it_lists(world):
    tables = world([event_row("2021-05-05", weapons="drone;rocket"), event_row("2021-05-06", weapons="rocket")])
    both = Population(weapons=("drone", "rocket"))
    assert daily_counts(tables, both, MAY).total == (2, 31)
    assert daily_counts(tables, DRONES, MAY).total == (1, 31)
    assert daily_counts(tables, Population(weapons=("all",)), MAY).total == (2, 31)


@pytest.mark.parametrize(("unit", "counted"), [("attack", 4), ("site_night", 3), ("attack_day", 2)])
def test_units(world, unit, counted):
    rows = [
        event_row("2021-05-05", 1, location="Erbil"),
        event_row("2021-05-05", 2, location="Erbil"),
        event_row("2021-05-05", 3, location="Harir"),
        event_row("2021-05-06", 4, location="Erbil"),
    ]
    assert len(ids(world(rows), unit=unit)) == counted


def test_rows_come_by_date_whatever_their_order_in_the_file_and_are_not_changed(world):
    rows = event_rows(steady_days(MAY, every=3))
    tables = world(rows[::-1])
    before = tables.events.copy()
    assert select(tables.events, DRONES)["date"].is_monotonic_increasing
    assert tables.events.equals(before)


# ---- days ------------------------------------------------------------------------------------------------------------


def test_counts_stand_on_their_days_and_dates_outside_the_frame_are_left_out():
    dates = np.array(["2021-04-30", "2021-05-01", "2021-05-03", "2021-05-03", "2021-06-01"], dtype="datetime64[D]")
    series = series_of(dates, np.ones(31, dtype=bool), MAY)
    assert series.counts[:4].tolist() == [1, 0, 2, 0]
    assert series.total == (3, 31)


def test_splitting_at_the_window_counts_events_and_days_on_both_sides():
    dates = np.array(["2021-05-09", "2021-05-10", "2021-05-21", "2021-05-22"], dtype="datetime64[D]")
    assert series_of(dates, np.ones(31, dtype=bool), MAY).split(WAR) == (2, 12, 2, 19)


def test_an_unwatched_day_is_no_zero_and_its_events_do_not_count():
    observed = np.ones(31, dtype=bool)
    observed[[4, 11]] = False  # 5 May outside the window, 12 May inside
    dates = np.array(["2021-05-05", "2021-05-09", "2021-05-12", "2021-05-13"], dtype="datetime64[D]")
    series = series_of(dates, observed, MAY)
    assert series.split(WAR) == (1, 11, 1, 18)
    assert series.total == (2, 29)


def test_the_clock_of_events_stops_on_unwatched_days():
    series = Series(MAY.calendar()[:5], np.array([1, 9, 0, 2, 1]), np.array([True, False, True, True, True]))
    assert series.event_days.tolist() == [0, 2, 2, 3]


def covered_days(population, *rows) -> list[int]:
    import pandas as pd

    table = pd.DataFrame(rows, columns=["theatre", "target_group", "start", "end", "level"])
    table[["start", "end"]] = table[["start", "end"]].apply(pd.to_datetime)
    return (np.flatnonzero(exposure(table, population, MAY)) + 1).tolist()


def spell(theatre, group, first, last, level="complete"):
    return theatre, group, f"2021-05-{first:02d}", f"2021-05-{last:02d}", level


@pytest.mark.parametrize(
    ("population", "rows", "days"),
    [
        (DRONES, [spell("iraq", "us_sites", 1, 3), spell("iraq", "us_sites", 6, 7)], [1, 2, 3, 6, 7]),
        (DRONES, [spell("iraq", "us_sites", 1, 3, "partial")], [1, 2, 3]),
        (DRONES, [spell("iraq", "us_sites", 1, 3), spell("iraq", "us_sites", 4, 9, "sample")], [1, 2, 3]),
        (DRONES, [spell("iraq", "convoys", 1, 31)], []),
        (DRONES, [spell("syria", "all", 1, 31)], []),
        # convoys count only where both groups were watched, two theatres only where both were
        (Population(sites="us_interests"), [spell("iraq", "us_sites", 1, 5), spell("iraq", "convoys", 4, 9)], [4, 5]),
        (Population(theatres=("iraq", "syria")), [spell("iraq", "all", 1, 5), spell("syria", "all", 5, 9)], [5]),
    ],
)
def test_a_day_counts_when_every_theatre_and_group_was_watched(population, rows, days):
    assert covered_days(population, *rows) == days


def test_without_a_coverage_table_no_day_counts_as_watched():
    with pytest.raises(InputMissing, match=r"coverage\.csv is not in the data folder"):
        exposure(None, DRONES, MAY)


# ---- what must change nothing ----------------------------------------------------------------------------------------


def changed_rows(rows, how):
    if how == "another order":
        return rows[::-1]
    if how == "more sources in a row":
        return [row | {"sources": "https://example.org/a | https://example.org/b"} for row in rows]
    if how == "more weapons in a row":
        return [row | {"weapons": "drone;rocket;mortar"} for row in rows]
    return [*rows, event_row("2021-05-15", 99, us_target="no"), event_row("2021-08-01", 98)]


@pytest.mark.parametrize(
    "how", ["another order", "more sources in a row", "more weapons in a row", "rows that do not count"]
)
def test_the_series_is_the_same_with(tmp_path, how):
    rows = event_rows(steady_days(MAY, every=3))
    plain = daily_counts(load_tables(write(tmp_path / "a", rows)), DRONES, MAY)
    other = daily_counts(load_tables(write(tmp_path / "b", changed_rows(rows, how))), DRONES, MAY)
    np.testing.assert_array_equal(plain.counts, other.counts)
    np.testing.assert_array_equal(plain.observed, other.observed)


@pytest.mark.parametrize("days", [-40, 1, 77])
def test_moving_everything_by_some_days_moves_the_series_alone(tmp_path, days):
    dates = steady_days(MAY, every=3)
    here = load_tables(write(tmp_path / "a", event_rows(dates), coverage=[coverage_row(MAY)]))
    there_rows = [coverage_row(MAY) | moved(MAY, days)]
    there = load_tables(write(tmp_path / "b", event_rows(dates + np.timedelta64(days, "D")), coverage=there_rows))
    first, second = daily_counts(here, DRONES, MAY), daily_counts(there, DRONES, MAY.shift(days))
    np.testing.assert_array_equal(first.counts, second.counts)
    np.testing.assert_array_equal(first.observed, second.observed)
    assert (second.days - first.days == np.timedelta64(days, "D")).all()
