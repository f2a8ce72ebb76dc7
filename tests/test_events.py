"""The checks of the tables: each has a tiny table that breaks it alone, and the line that tells so."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from table_rows import ROWS

from analysis_lib.events import COUNTRIES, TABLES, Problem, check_table, window_end


def checked(name, *changes, **options):
    """Valid rows of a table with some cells changed, one mapping a row, from line 2 on → values, errors, warnings."""
    rows = [ROWS[name] | change for change in changes]
    frame = pd.DataFrame(rows, dtype="str")
    lines = [2 + row for row in range(len(rows))]
    values, errors, warnings = check_table(name, frame, lines, f"{name}.csv", **options)
    assert len(values) == len(rows)
    return values, [str(error) for error in errors], [str(warning) for warning in warnings]


@pytest.mark.parametrize("name", TABLES)
def test_a_valid_row_has_no_errors_and_no_warnings(name):
    _, errors, warnings = checked(name, {})
    assert (errors, warnings) == ([], [])


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_has_no_errors(name):
    values, errors, _ = check_table(name, pd.DataFrame(columns=list(ROWS[name]), dtype="str"), [], "t.csv")
    assert (len(values), errors) == (0, [])


CELLS = [
    ("events", "theatre", "irak", "one of iraq syria jordan", "write iraq if that is meant"),
    ("events", "theatre", "mars", "one of iraq syria jordan", "write one of these"),
    ("events", "country", "UK", "an ISO 3166-1 two-letter code such as IQ", "mend the code"),
    ("events", "launch_from", "IQ|XX", "ISO 3166-1 two-letter codes, each once, joined by |", "mend the list"),
    ("events", "weapons", "drone,rocket", "words of drone rocket", "mend the list"),
    ("events", "weapons", "drone;drone", "words of drone rocket", "mend the list"),
    ("events", "weapons", "rockets", "words of drone rocket", "mend the list"),
    ("events", "bloc", "iran", "one of iran_aligned us_coalition", "write one of these"),
    ("events", "attribution", "alleged", "one of claimed attributed suspected none", "write"),
    ("events", "us_target", "maybe", "one of yes no unknown", "write one of these"),
    ("events", "intercepted", "most", "one of all some none unknown", "write"),
    ("events", "damage", "heavy", "one of none minor major unknown", "write one of these"),
    ("events", "confidence", "High", "one of high medium low", "write high if that is meant"),
    ("events", "date_precision", "hour", "one of day pm1 week month", "write one of these"),
    ("events", "date", "2021-02-30", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("events", "date", "14/04/2021", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("events", "date", "20210414", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("events", "date", "1999-12-31", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("events", "date", "2021-04-14 ", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("events", "first_reported", "soon", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("events", "lat", "90.5", "degrees from -90 to 90, or blank", "mend the number"),
    ("events", "lat", "36,2", "degrees from -90 to 90, or blank", "mend the number"),
    ("events", "lon", "-181", "degrees from -180 to 180, or blank", "mend the number"),
    ("events", "lon", "nan", "degrees from -180 to 180, or blank", "mend the number"),
    ("events", "killed", "-1", "a whole number from 0, or blank for unknown", "mend the number"),
    ("events", "wounded", "2.5", "a whole number from 0, or blank for unknown", "mend the number"),
    ("events", "munitions", "many", "a whole number from 0, or blank for unknown", "mend the number"),
    ("events", "munitions", "٣", "a whole number from 0, or blank for unknown", "mend the number"),
    ("events", "us_killed", "1e9", "a whole number from 0, or blank for unknown", "mend the number"),
    ("events", "us_wounded", "0x1", "a whole number from 0, or blank for unknown", "mend the number"),
    ("events", "location", " ", "text", "fill it in"),
    ("events", "sources", "AFP", "http or https addresses joined by ' | '", "name the pages it was read on"),
    ("events", "sources", "ftp://x.org/a", "http or https addresses", "name the pages"),
    ("events", "sources", "javascript:alert(1)", "http or https addresses", "name the pages"),
    ("events", "sources", "https://x.org/a | ", "http or https addresses", "name the pages"),
    ("windows", "kind", "ceasefire", "one of war truce us_strike", "write"),
    ("windows", "theatre", "irann", "one of iraq syria jordan", "write iran if that is meant"),
    ("windows", "start", "2021", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("windows", "end", "open", "a real date YYYY-MM-DD from 2000 to 2099", "mend the date"),
    ("windows", "confidence", "sure", "one of high medium low", "write one of these"),
    ("windows", "sources", "uncited", "http or https addresses", "name the pages"),
    ("counts", "count_qualifier", "over", "one of exact at_least about at_most", "write one of these"),
    ("counts", "kind", "total", "one of cumulative statement", "write one of these"),
    ("counts", "weapon", "all", "one of drone rocket", "write"),
    ("counts", "count", "39+", "a whole number from 0, or blank for unknown", "mend the number"),
    ("counts", "source", "AFP", "http or https addresses", "name the pages"),
    ("daily_counts", "theatre", "gaza", "one of iraq syria jordan", "write"),
    ("daily_counts", "weapon", "dron", "one of drone rocket", "write drone if that is meant"),
    ("daily_counts", "count_qualifier", "circa", "one of exact at_least about at_most", "write one of these"),
    ("coverage", "theatre", "iran", "one of iraq syria jordan", "write"),
    ("coverage", "target_group", "us_site", "one of us_sites convoys all", "write us_sites if that is meant"),
    ("coverage", "level", "full", "one of complete partial sample", "write one of these"),
    ("second_coding", "date_precision", "pm1", "one of day 1 day month announced", "write one of these"),
    ("second_coding", "date", "2021-13", "a real date YYYY-MM-DD from 2000 to 2099, or YYYY-MM", "mend the date"),
    ("second_coding", "joint_claim", "both", "one of yes no", "write one of these"),
    ("second_coding", "status", "claimed", "one of confirmed by officials reported claimed only", "write"),
    ("second_coding", "latitude", "91", "degrees from -90 to 90, or blank", "mend the number"),
    ("second_coding", "source_url", "x.org", "http or https addresses", "name the pages"),
]


@pytest.mark.parametrize(("name", "column", "cell", "allowed", "do"), CELLS)
def test_a_cell_that_is_not_allowed(name, column, cell, allowed, do):
    _, errors, _ = checked(name, {}, _other(name) | {column: cell})
    assert len(errors) == 1
    assert errors[0].startswith(f"{name}.csv:3:{column}: got {cell!r}, allowed {allowed}")
    assert f", do {do}" in errors[0]


def _other(name):
    """What a second row must have of its own."""
    return {
        "events": {"event_id": "IQ-20210415-01"},
        "windows": {"window_id": "second"},
        "daily_counts": {"date": "2021-05-11"},
        "ged": {"date": "2021-05-11"},
        "coverage": {"start": "2022-01-01", "end": "2022-12-31"},
        "second_coding": {"incident_id": "R002"},
    }.get(name, {})


MAY_BE_BLANK = {
    "events": "first_reported launch_from munitions claimed_by target killed wounded us_killed us_wounded "
    "possible_duplicate_of notes rights",
    "windows": "end notes",
    "counts": "period_start period_end count_qualifier notes",
    "daily_counts": "count count_qualifier notes",
    "ged": "",
    "coverage": "note",
    "second_coding": "target attributed_to claimed_by outcome note",
}
IN_PAIRS = {"lat": "lat", "lon": "lat", "latitude": "latitude", "longitude": "latitude"}


@pytest.mark.parametrize(("name", "column"), [(name, c) for name in TABLES for c in TABLES[name].columns])
def test_a_blank_is_an_error_unless_the_column_may_be_blank(name, column):
    _, errors, _ = checked(name, {column: ""})
    if column in MAY_BE_BLANK[name].split():
        assert errors == []
    else:
        [error] = errors
        assert error.startswith(f"{name}.csv:2:{IN_PAIRS.get(column, column)}: got ")


FREE = {"notes", "note", "claimed_by", "target", "possible_duplicate_of", "attributed_to", "outcome"}
CHECKED = [(name, column) for name in TABLES for column in TABLES[name].columns if column not in FREE]


@pytest.mark.parametrize(("name", "column"), CHECKED)
def test_a_cell_of_white_space_is_an_error_in_every_column_but_free_text(name, column):
    _, errors, _ = checked(name, {column: "\t"})
    assert [error.partition(", allowed")[0] for error in errors] == [f"{name}.csv:2:{column}: got '\\t'"]


RELATIONS = [
    ("events", [{}, {}], "3:event_id: got event_id 'IQ-20210414-01', allowed each only once"),
    (
        "events",
        [{"first_reported": "2021-04-12"}],
        "2:first_reported: got first_reported '2021-04-12', date '2021-04-14', allowed a day not before the attack",
    ),
    ("events", [{"lon": ""}], "2:lat: got lat '36.24', lon blank, allowed both or neither"),
    (
        "events",
        [{"us_killed": "2", "killed": "1"}],
        "2:us_killed: got us_killed '2', killed '1', allowed us_killed no more than killed",
    ),
    (
        "events",
        [{"us_wounded": "2", "wounded": "1"}],
        "2:us_wounded: got us_wounded '2', wounded '1', allowed us_wounded no more than wounded",
    ),
    (
        "events",
        [{"possible_duplicate_of": "IQ-20210413-01"}],
        "2:possible_duplicate_of: got possible_duplicate_of 'IQ-20210413-01', event_id 'IQ-20210414-01', "
        "allowed the event_id of another row, in no ring",
    ),
    (
        "events",
        [{"possible_duplicate_of": "IQ-20210414-01"}],
        "2:possible_duplicate_of: got possible_duplicate_of 'IQ-20210414-01', event_id 'IQ-20210414-01', "
        "allowed the event_id of another row, in no ring",
    ),
    ("windows", [{}, {}], "3:window_id: got window_id 'first', allowed each only once"),
    (
        "windows",
        [{"end": "2021-05-09"}],
        "2:end: got end '2021-05-09', start '2021-05-10', allowed end not before start",
    ),
    (
        "counts",
        [{"period_end": "2020-12-31"}],
        "2:period_end: got period_end '2020-12-31', period_start '2021-01-01', "
        "allowed period_end not before period_start",
    ),
    (
        "counts",
        [{"count": ""}],
        "2:count: got count blank, kind 'cumulative', allowed a number, blank only for statements",
    ),
    (
        "daily_counts",
        [{}, {"count": "7"}],
        "3:date: got date '2021-05-10', theatre 'israel_gaza', weapon 'rocket', allowed each only once",
    ),
    (
        "coverage",
        [{"end": "2020-12-31"}],
        "2:end: got end '2020-12-31', start '2021-01-01', allowed end not before start",
    ),
    (
        "coverage",
        [{"start": "2021-12-31", "end": "2022-05-01"}, {}],
        "2:start: got start '2021-12-31', theatre 'iraq', target_group 'us_sites', "
        "allowed intervals that do not overlap",
    ),
    ("second_coding", [{}, {}], "3:incident_id: got incident_id 'R001', allowed each only once"),
    ("second_coding", [{"latitude": ""}], "2:latitude: got latitude blank, longitude '44.26', allowed both or neither"),
]


@pytest.mark.parametrize(("name", "rows", "message"), RELATIONS)
def test_what_must_hold_between_cells_and_rows(name, rows, message):
    _, errors, _ = checked(name, *rows)
    assert [error.rpartition(", do ")[0] for error in errors] == [f"{name}.csv:{message}"]


@pytest.mark.parametrize(("precision", "earliest"), [("day", 13), ("pm1", 13), ("week", 7), ("month", None)], ids=str)
def test_a_report_may_precede_the_day_set_for_a_vague_date(precision, earliest):
    reported = f"2021-04-{earliest:02d}" if earliest else "2021-03-14"
    before = f"2021-04-{earliest - 1:02d}" if earliest else "2021-03-13"
    assert checked("events", {"date_precision": precision, "first_reported": reported})[1] == []
    assert len(checked("events", {"date_precision": precision, "first_reported": before})[1]) == 1


def test_rows_that_point_at_each_other_in_a_ring_are_errors_and_a_chain_is_none():
    def rows(*pointers):
        return [{"event_id": f"E{i}", "possible_duplicate_of": p} for i, p in enumerate(pointers)]

    assert checked("events", *rows("", "E0", "E1"))[1] == []
    assert [e.split(":")[1] for e in checked("events", *rows("E2", "E0", "E1"))[1]] == ["2", "3", "4"]
    assert [e.split(":")[1] for e in checked("events", *rows("E1", "E0", "E1"))[1]] == ["2", "3"]


def test_intervals_of_other_groups_and_one_inside_a_long_one():
    year, inside, after = (
        {"end": "2021-12-31"},
        {"start": "2021-02-01", "end": "2021-02-28"},
        {"start": "2021-06-01", "end": "2021-06-30"},
    )
    assert checked("coverage", year, inside | {"target_group": "convoys"})[1] == []
    lines = [error.split(":")[1] for error in checked("coverage", year, inside, after)[1]]
    assert lines == ["3", "4"]


def test_unknown_values_prove_nothing_against_a_row():
    row = {"us_killed": "2", "killed": "", "us_wounded": "", "wounded": "1", "first_reported": ""}
    assert checked("events", row)[1] == []


def test_a_cell_with_an_error_is_reported_once():
    _, errors, _ = checked("events", {"lat": "abc", "killed": "x", "us_killed": "3", "event_id": ""})
    assert [error.split(":")[2] for error in errors] == ["event_id", "lat", "killed"]


def test_all_errors_come_at_once_in_the_order_of_the_file():
    _, errors, _ = checked("events", {"theatre": "x", "damage": "x"}, {"date": "x", "bloc": "x"})
    where = [tuple(error.split(":")[1:3]) for error in errors]
    assert where == [("2", "theatre"), ("2", "damage"), ("3", "event_id"), ("3", "date"), ("3", "bloc")]


def test_a_missing_column_is_an_error_and_the_nearest_name_is_offered():
    rows = [{name: cell for name, cell in ROWS["events"].items() if name != "theatre"} | {"Theater": "iraq"}]
    _, errors, warnings = check_table("events", pd.DataFrame(rows, dtype="str"), [5], "e.csv", header=4)
    assert [str(error)[:38] for error in errors] == ["e.csv:4:theatre: got no such column, al"[:38]]
    assert str(errors[0]).endswith("do rename 'Theater'")
    assert warnings == []


def test_a_missing_column_that_may_be_blank_is_unknown_everywhere_with_a_warning():
    rows = [{name: cell for name, cell in ROWS["events"].items() if name != "killed"}]
    values, errors, warnings = check_table("events", pd.DataFrame(rows, dtype="str"), [2], "e.csv")
    assert errors == []
    assert [str(warning)[:34] for warning in warnings] == ["e.csv:1:killed: got no such column"]
    assert values["killed"].isna().all()


def test_a_misspelt_column_that_may_be_blank_is_an_error_since_its_cells_would_be_lost():
    rows = [{("kiled" if name == "killed" else name): cell for name, cell in ROWS["events"].items()}]
    _, errors, _ = check_table("events", pd.DataFrame(rows, dtype="str"), [2], "e.csv")
    assert [str(error).rpartition(", do ")[2] for error in errors] == ["rename 'kiled'"]


def test_an_unknown_column_is_a_warning_and_stays():
    values, errors, warnings = checked("events", {"weather": "fair"})
    assert errors == []
    assert warnings[0].startswith("events.csv:1:weather: got an unknown column 'weather', allowed columns event_id")
    assert list(values["weather"]) == ["fair"]


def test_a_column_twice_is_an_error():
    frame = pd.DataFrame([ROWS["events"]], dtype="str")
    frame = pd.concat([frame, frame[["date"]]], axis=1)
    _, errors, _ = check_table("events", frame, [2], "e.csv")
    assert list(map(str, errors)) == [
        "e.csv:1:date: got this column twice, allowed each column once, do remove or rename one"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actor": "huthi"}, "events.csv:3:actor: got 'huthi', allowed one of unidentified_militia houthi"),
        ({"target_class": "embassy"}, "events.csv:3:target_class: got 'embassy', allowed one of us_military"),
        ({"sources": "uncited"}, "events.csv:3:sources: got 'uncited', allowed http or https addresses"),
        ({"location": "erbil  airport"}, "events.csv:3:location: got 'erbil  airport', allowed one spelling, 'Erbil"),
        ({"claimed_by": "houthi"}, "events.csv:3:claimed_by: got 'houthi', allowed one spelling, 'Houthi'"),
    ],
)
def test_open_vocabularies_and_spellings_only_warn_once_for_each_value(change, message):
    usual = {"claimed_by": "Houthi"}
    rows = [usual, usual, usual] if "claimed_by" in change else [{}, {}, {}]
    changed = [rows[0], change, change]
    ids = [{"event_id": f"E{i}"} for i in range(6)]
    _, errors, warnings = checked("events", *(a | b for a, b in zip([*changed, *rows], ids, strict=True)))
    assert errors == []
    assert [warning[: len(message)] for warning in warnings] == [message]


@pytest.mark.parametrize(
    ("name", "column", "usual", "other"),
    [
        ("counts", "scope", "iraq", "Iraq"),
        ("second_coding", "place", "Camp Taji", "camp Taji"),
        ("second_coding", "claimed_by", "Houthis", "houthis"),
    ],
)
def test_two_spellings_of_a_name_in_the_other_tables(name, column, usual, other):
    rows = [{"incident_id": f"R{i}"} if name == "second_coding" else {} for i in range(3)]
    rows = [row | {column: cell} for row, cell in zip(rows, [other, usual, usual], strict=True)]
    _, _, warnings = checked(name, *rows)
    assert warnings == [f"{name}.csv:2:{column}: got {other!r}, allowed one spelling, {usual!r}, do write it alike"]


def test_values_have_types_and_a_blank_is_unknown_never_zero():
    values, _, _ = checked("events", {"killed": "0", "wounded": "", "first_reported": "", "claimed_by": ""})
    row = values.iloc[0]
    assert (row["killed"], row["date"], row["lat"]) == (0, pd.Timestamp(2021, 4, 14), 36.24)
    assert row["wounded"] is pd.NA
    assert row["first_reported"] is pd.NaT
    assert row["claimed_by"] == ""
    kinds = {str(values[column].dtype) for column in ("date", "first_reported")}
    assert kinds == {"datetime64[us]"}
    assert {str(values[c].dtype) for c in ("killed", "wounded", "munitions", "us_killed")} == {"Int64"}
    assert {str(values[c].dtype) for c in ("lat", "lon")} == {"Float64"}
    assert {str(values[c].dtype) for c in ("theatre", "claimed_by", "notes")} == {"str"}


def test_a_month_of_the_second_coding_is_read_as_its_first_day():
    values, errors, _ = checked("second_coding", {"date": "2021-06", "date_precision": "month"})
    assert errors == []
    assert values["date"].tolist() == [pd.Timestamp(2021, 6, 1)]


def test_a_problem_shows_hostile_cells_on_one_line_and_cut():
    _, errors, _ = checked("events", {"theatre": "a\n\x1b[31m" + "x" * 200})
    assert errors[0].startswith("events.csv:2:theatre: got 'a\\n\\x1b[31mxxx")
    assert len(errors[0]) < 320
    assert errors[0].isprintable()


def test_a_problem_reads_file_line_column_got_allowed_do():
    problem = Problem("a.csv", 3, "date", "'x'", "a date", "mend it")
    assert str(problem) == "a.csv:3:date: got 'x', allowed a date, do mend it"


def test_the_country_codes_are_those_of_iso_3166():
    assert len(COUNTRIES) == len(set(COUNTRIES)) == 249
    assert {"IQ", "SY", "IL", "PS", "YE", "SA", "AE", "IR", "JO", "LB", "BH"} <= set(COUNTRIES)


def test_the_end_of_a_window():
    rows = [
        {"window_id": "closed war", "kind": "war", "start": "2021-05-10", "end": "2021-05-21"},
        {"window_id": "open war", "kind": "war", "start": "2021-05-10", "end": ""},
        {"window_id": "open truce", "kind": "truce", "start": "2021-05-10", "end": ""},
        {"window_id": "strike", "kind": "us_strike", "start": "2021-05-10", "end": ""},
        {"window_id": "later war", "kind": "war", "start": "2021-07-01", "end": ""},
    ]
    values, _, _ = checked("windows", *rows)
    ends = window_end(values, date(2021, 6, 30)).dt.strftime("%m-%d").tolist()
    assert ends == ["05-21", "06-30", "06-30", "05-10", "07-01"]
